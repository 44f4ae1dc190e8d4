//! The shipped plugin powertable on both databases: tables that its users make, rows in and out, and a client that was written for
//! somebody else.

use crate::world::World;
use camlock_testing::{Answer, Outside, Server, repository, request_with, rounds};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    sync::OnceLock,
    thread,
};

const MOUNT: &str = "/api/v1/p/powertable";

fn library() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || Outside::new("powertable").with_folder(&repository().join("plugins/powertable")).library();
    BUILT.get_or_init(build).clone()
}

fn served(world: &World) -> Server {
    fs::copy(library(), world.site.path("plugins/powertable.so")).unwrap();
    let server = world.start();
    server.until_text("/hello", "Hello from powertable!");
    server
}

fn send(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    request_with(server.address, method, &format!("{MOUNT}{path}"), headers, body).unwrap()
}

fn document(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    send(server, method, path, &[("content-type", "application/json")], &body.to_string())
}

#[track_caller]
fn expect(answer: Answer, status: u16) -> Answer {
    assert_eq!(answer.status, status, "{} {}", answer.head, answer.text);
    answer
}

/// The detail of a refusal.
#[track_caller]
fn refused(answer: Answer, status: u16) -> String {
    expect(answer, status).json()["detail"].as_str().unwrap().to_owned()
}

/// The README's commands, of which each comment is what the one before printed.
fn as_the_readme_says(server: &Server) {
    let text = fs::read_to_string(repository().join("plugins/powertable/README.md")).unwrap();
    let block = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let url = format!("url=http://{}{MOUNT}\n", server.address);
    let commands = block.split_once('\n').map(|(_, rest)| format!("set -eo pipefail\n{url}{rest}")).unwrap();
    let commands = commands.replace("curl ", "curl --silent --show-error --fail ");
    let ran = Command::new("bash").args(["-c", &commands]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let told: String = block.lines().filter_map(|line| line.strip_prefix("# ")).collect();
    let printed = String::from_utf8(ran.stdout).unwrap().replace('\n', "");
    assert!(printed.ends_with(&told), "{printed}");
    assert_eq!(
        server.get(&format!("{MOUNT}/people?select=name,born")).json(),
        json!([{"name": "Grace", "born": 1906}])
    );
    expect(send(server, "DELETE", "/tables/people", &[], ""), 204);
}

/// With npm's client of PostgREST, and by hand.
pub(crate) fn postgrest_js_over_http(world: &World) {
    let brought = Command::new(repository().join("scripts/postgrest-js")).output().unwrap();
    assert!(brought.status.success(), "{}", String::from_utf8_lossy(&brought.stderr));
    let folder = String::from_utf8(brought.stdout).unwrap();
    let server = served(world);
    as_the_readme_says(&server);
    let script = repository().join("bin/tests/registry/postgrest/drive.mjs");
    let url = format!("http://{}{MOUNT}", server.address);
    let driven = Command::new("node").arg(script).args([folder.trim(), &url]).output().unwrap();
    let told = String::from_utf8_lossy(&driven.stdout);
    assert!(driven.status.success(), "{told}{}", String::from_utf8_lossy(&driven.stderr));
    assert!(told.contains("all is as PostgREST has it"), "{told}");
}

/// Waits until the server's document describes a table, or does not any more.
fn until_described(server: &Server, table: &str, is_there: bool) {
    let path = format!("{MOUNT}/{table}");
    let document = |server: &Server| server.get("/openapi.json").json();
    let document = server.until(document, |document| document["paths"][&path].is_object() == is_there);
    assert!(document["paths"][format!("{MOUNT}/hello")].is_object(), "{document}");
    assert_eq!(document["components"]["schemas"][format!("powertable.{table}")].is_object(), is_there);
    let endpoints = server.plugin("powertable")["endpoints"].clone();
    let is_listed = endpoints.as_array().unwrap().iter().any(|endpoint| endpoint["path"] == path);
    assert_eq!(is_listed, is_there, "{endpoints}");
}

/// Tables come, change and go; what is refused changes nothing; a restart keeps all.
pub(crate) fn tables_over_http(world: &World) {
    let server = served(world);
    let columns = json!([{"name": "name", "type": "text", "required": true}, {"name": "born", "type": "integer"}]);
    let people = json!({"name": "people", "columns": columns});
    let created = expect(document(&server, "POST", "/tables", &people), 201);
    assert!(created.head.contains("location: tables/people"), "{}", created.head);
    until_described(&server, "people", true);
    assert_eq!(refused(document(&server, "POST", "/tables", &people), 409), "there is a table `people` already");
    for (body, status, told) in [
        (json!({"name": "hello", "columns": columns}), 422, "no table may be called `hello`"),
        (json!({"name": "p__x", "columns": columns}), 422, "is no name for a table"),
        (json!({"name": "x", "columns": []}), 422, "a table has 1 to 100 columns, not 0"),
        (json!({"name": "x"}), 422, "missing field `columns`"),
    ] {
        let said = refused(document(&server, "POST", "/tables", &body), status);
        assert!(said.contains(told), "{said}");
    }
    let rows = json!([{"name": "Ada", "born": 1815}, {"name": "Grace", "born": 1906}]);
    expect(document(&server, "POST", "/people", &rows), 201);

    let change = |change: Value| document(&server, "PATCH", "/tables/people", &change);
    expect(change(json!({"add_column": {"name": "kind", "type": "text", "required": true, "default": "it's"}})), 200);
    expect(change(json!({"add_column": {"name": "at", "type": "timestamp", "default": "now"}})), 200);
    expect(change(json!({"rename_column": {"from": "born", "to": "year"}})), 200);
    expect(change(json!({"set_unique": {"column": "name", "unique": true}})), 200);
    assert_eq!(
        server.get(&format!("{MOUNT}/people?select=name,year,kind,at&order=year.desc")).json(),
        json!([{"name": "Grace", "year": 1906, "kind": "it's", "at": null}, {"name": "Ada", "year": 1815, "kind": "it's", "at": null}])
    );
    let said = refused(change(json!({"set_unique": {"column": "kind", "unique": true}})), 409);
    assert!(said.starts_with("the rows that are there"), "{said}");
    let one = &[("prefer", "return=representation"), ("accept", "application/vnd.pgrst.object+json")];
    let row = send(&server, "POST", "/people?select=at,kind", one, r#"{"name": "Jean"}"#);
    assert!(expect(row, 201).json()["at"].as_str().is_some_and(|time| time.ends_with("+00:00")));
    expect(change(json!({"drop_column": "name"})), 200);
    let definition = server.get(&format!("{MOUNT}/tables/people")).json();
    assert_eq!(definition["columns"].as_array().unwrap().len(), 3, "{definition}");

    // Changes at once: each is made of what is there, or refused.
    let add = |number| change(json!({"add_column": {"name": format!("more{number}"), "type": "integer"}})).status;
    let statuses: Vec<_> = thread::scope(|scope| {
        let adding: Vec<_> = (0..6).map(|number| scope.spawn(move || add(number))).collect();
        adding.into_iter().map(|adding| adding.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
    let columns = server.get(&format!("{MOUNT}/tables/people")).json()["columns"].as_array().unwrap().len();
    let added = statuses.iter().filter(|status| **status == 200).count();
    assert!(added > 0 && columns == 3 + added, "{statuses:?}, {columns} columns");
    let definition = server.get(&format!("{MOUNT}/tables/people")).json();
    expect(send(&server, "GET", "/people", &[], ""), 200);

    // What others refer to stays.
    let pets =
        json!({"name": "pets", "columns": [{"name": "owner", "type": "integer", "references": {"table": "people"}}]});
    expect(document(&server, "POST", "/tables", &pets), 201);
    let dropped = refused(send(&server, "DELETE", "/tables/people", &[], ""), 409);
    assert_eq!(dropped, "the column `owner` of `pets` refers to it");

    server.end();
    let server = served(world);
    let tables = server.get(&format!("{MOUNT}/tables")).json();
    assert_eq!(tables["items"][0], definition);
    until_described(&server, "people", true);
    assert_eq!(server.get(&format!("{MOUNT}/people?year=lt.1900&select=year")).json(), json!([{"year": 1815}]));
    for table in ["pets", "people"] {
        expect(send(&server, "DELETE", &format!("/tables/{table}"), &[], ""), 204);
    }
    assert_eq!(server.get(&format!("{MOUNT}/")).json(), json!({"tables": 0}));
    until_described(&server, "people", false);
    assert_eq!(refused(server.get(&format!("{MOUNT}/people")), 404), "there is no table `people`");
}

/// CSV and NDJSON, in and out, with all that may stand in a cell.
pub(crate) fn formats_over_http(world: &World) {
    let server = served(world);
    let columns = json!([
        {"name": "text", "type": "text"}, {"name": "number", "type": "real"}, {"name": "yes", "type": "boolean"},
        {"name": "data", "type": "json"}, {"name": "at", "type": "timestamp"},
    ]);
    for name in ["one", "two", "three"] {
        expect(document(&server, "POST", "/tables", &json!({"name": name, "columns": columns})), 201);
    }
    let csv = "text,number,yes,data,at\n\
               \"a,\"\"b\"\"\nc\",1.5,true,\"[1,2]\",2026-01-31T12:00:00.25+00:00\n\
               \"\",,f,,\n\
               NULL,-0.5,,\"\"\"NULL\"\"\",1969-12-31T23:59:59Z\n";
    expect(send(&server, "POST", "/one", &[("content-type", "text/csv")], csv), 201);
    let rows = json!([
        {"text": "a,\"b\"\nc", "number": 1.5, "yes": true, "data": [1, 2], "at": "2026-01-31T12:00:00.25+00:00"},
        {"text": "", "number": null, "yes": false, "data": null, "at": null},
        {"text": null, "number": -0.5, "yes": null, "data": "NULL", "at": "1969-12-31T23:59:59+00:00"},
    ]);
    let question = "?select=text,number,yes,data,at&order=id";
    assert_eq!(server.get(&format!("{MOUNT}/one{question}")).json(), rows);
    // Out in each format, and in again.
    for (kind, table) in [("text/csv", "two"), ("application/x-ndjson", "three")] {
        let out = expect(send(&server, "GET", &format!("/one{question}"), &[("accept", kind)], ""), 200);
        assert!(out.head.contains(&format!("content-type: {kind}")), "{}", out.head);
        expect(send(&server, "POST", &format!("/{table}"), &[("content-type", kind)], &out.text), 201);
        assert_eq!(server.get(&format!("{MOUNT}/{table}{question}")).json(), rows, "{kind}");
    }
    for (kind, body, told) in [
        ("text/csv", "text,number\na,1\nb,x\n", "line 3: `number`: a column that holds numbers takes no `x`"),
        ("text/csv", "text,number\na\n", "line 2 of the CSV: it has 1 cells, and the first line 2"),
        ("text/csv", "text\n\"a\n", "line 3 of the CSV: a `\"` is not closed"),
        ("application/x-ndjson", "{\"text\":\"a\"}\n[]\n", "line 2: it is no JSON object"),
        ("application/x-ndjson", "{\"text\":\"a\"}\n{\"yes\":true}\n", "line 2: All object keys must match"),
        ("application/json", "{\"text\":\"a\"", "it is no JSON"),
        ("application/json", "[7]", "a row is a JSON object"),
    ] {
        let said = refused(send(&server, "POST", "/one", &[("content-type", kind)], body), 400);
        assert!(said.contains(told), "{said}");
    }
    let said = refused(send(&server, "POST", "/one", &[("content-type", "text/html")], "x"), 415);
    assert_eq!(said, "`text/html` is not read here");
    assert_eq!(server.get(&format!("{MOUNT}/one{question}")).json(), rows);
}

/// How much memory the server has that is not a file's.
fn memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// Adds so many rows as CSV, which nobody has as a whole.
fn add_rows(server: &Server, rows: std::ops::Range<usize>) {
    let mut stream = TcpStream::connect(server.address).unwrap();
    write!(
        stream,
        "POST {MOUNT}/many HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: text/csv\r\n\
         transfer-encoding: chunked\r\n\r\n"
    )
    .unwrap();
    let mut chunk = "number,text\n".to_owned();
    for row in rows {
        chunk += &format!("{row},\"row number {row}, with some text beside it\"\n");
        if chunk.len() > 60_000 {
            write!(stream, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
            chunk.clear();
        }
    }
    write!(stream, "{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

/// Takes all lines of an answer as they come: how many there are, and the most memory that the server had meanwhile.
fn take_rows(server: &Server, question: &str) -> (usize, u64) {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head =
        format!("GET {MOUNT}/many{question} HTTP/1.0\r\nhost: localhost\r\naccept: application/x-ndjson\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).split(b'\n').map(Result::unwrap);
    let head: Vec<_> = lines.by_ref().take_while(|line| line != b"\r").collect();
    assert!(head[0].starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&head[0]));
    let (mut count, mut most) = (0, 0);
    for line in lines {
        if count % 50_000 == 0 {
            most = most.max(memory(server));
        }
        assert!(line.starts_with(b"{") && line.ends_with(b"}"), "{}", String::from_utf8_lossy(&line));
        count += 1;
    }
    (count, most)
}

/// Many rows are added, listed and filtered, and never in memory all at once: 50,000, and with `--all` a million.
pub(crate) fn many_rows_over_http(world: &World) {
    /// A request takes so many: it is one transaction, which has its time.
    const PIECE: usize = 25_000;
    let server = served(world);
    let columns = json!([{"name": "number", "type": "integer", "unique": true}, {"name": "text", "type": "text"}]);
    expect(document(&server, "POST", "/tables", &json!({"name": "many", "columns": columns})), 201);
    let many = rounds(50_000);
    for piece in 0..many / PIECE {
        add_rows(&server, piece * PIECE..(piece + 1) * PIECE);
    }
    // Once, to have all that is kept for good.
    assert_eq!(take_rows(&server, "?limit=20000").0, 20_000);
    let before = memory(&server);
    let all = take_rows(&server, "");
    let half = take_rows(&server, &format!("?number=gte.{}&text=like.*row%20number*&order=number.desc", many / 2));
    assert_eq!((all.0, half.0), (many, many / 2));
    // A row takes some 100 bytes as it is sent, and more as it is kept: with a million this is a tenth of them.
    let grown = all.1.max(half.1).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more than {before}");
    let counted = send(&server, "HEAD", "/many?number=lt.7", &[("prefer", "count=exact")], "");
    assert!(counted.head.contains("content-range: 0-6/7"), "{}", counted.head);
}
