//! An application that somebody wrote for plain axum becomes a plugin: only lines are added, and all of it works.

use crate::{
    capture,
    harness::{Answer, Host, Served, run},
};
use bytes::Bytes;
use camlock_loader::{Surroundings, VariablesOf};
use camlock_testing::{Outside, files_of, repository, trial};
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

fn folder(name: &str) -> PathBuf {
    repository().join("core/loader/fixtures/third-party").join(name)
}

/// The lines that are in one file and not in the other. Those of the other are all there, in their order.
fn added_lines(before: &str, after: &str) -> Vec<String> {
    let mut old = before.lines().peekable();
    let added = after.lines().filter(|line| old.next_if_eq(line).is_none()).map(str::to_owned).collect();
    assert_eq!(old.next(), None, "a line was changed or taken away");
    added
}

fn only_lines_are_added(plugin: &Path) {
    let (before, conversion) = (folder("before"), folder("conversion"));
    let named = |names: &[&str]| names.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
    assert_eq!(files_of(&conversion), named(&["Cargo.toml", "src/lib.rs", "src/plugin.rs"]));
    let read = |dir: &Path, file: &str| fs::read_to_string(dir.join(file)).expect("it can be read");
    let added = |file| added_lines(&read(&before, file), &read(&conversion, file));
    let manifest = [
        "[lib]",
        r#"crate-type = ["cdylib", "lib"]"#,
        "",
        r#"camlock-plugin = "1""#,
        "",
        "[package.metadata.camlock]",
        r#"category = "http""#,
    ];
    assert_eq!(added("Cargo.toml"), manifest);
    assert_eq!(added("src/lib.rs"), ["mod plugin;"]);

    let mut files = files_of(&before);
    files.insert("src/plugin.rs".into());
    assert_eq!(files_of(plugin), files);
    for file in files.difference(&files_of(&conversion)) {
        let [was, is] = [&before, plugin].map(|dir: &Path| fs::read(dir.join(file)).expect("it can be read"));
        assert!(was == is, "{} is another", file.display());
    }
}

#[trial]
fn an_application_becomes_a_plugin() {
    let application = Outside::new("notice-board").with_folder(&folder("before")).with_folder(&folder("conversion"));
    only_lines_are_added(application.dir());
    let built = application.build();
    run(async {
        let host = Host::new();
        let served = host.serve(&built.join("libnotice_board.so")).await;
        let manifest = &served.instance.description().manifest;
        assert_eq!((&*manifest.name, &*manifest.version), ("notice-board", "1.4.0"));
        todos(&served).await;
        feed(&served).await;
        chat(&served).await;
        uploads(&served).await;
        served.unload_wholly().await;
    });
    still_a_program(&built.join("notice-board"));
}

async fn send(served: &Served, method: &str, path: &str, document: Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    served.send(request.body(Full::new(document.to_string().into())).expect("a request")).await
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(answer.body()).expect("JSON")
}

async fn todos(served: &Served) {
    let milk = send(served, "POST", "/todos", json!({"text": "buy milk"})).await;
    assert_eq!(milk.status(), StatusCode::CREATED);
    send(served, "POST", "/todos", json!({"text": "water the plants"})).await;
    let milk = send(served, "PATCH", "/todos/1", json!({"done": true})).await;
    assert_eq!(json_of(&milk), json!({"id": 1, "text": "buy milk", "done": true}));
    assert_eq!(json_of(&served.get("/todos/1").await), json_of(&milk));
    assert_eq!(send(served, "DELETE", "/todos/1", json!(null)).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(served.get("/todos/1").await.status(), StatusCode::NOT_FOUND);
    let left = json_of(&served.get("/todos").await);
    assert_eq!(left, json!([{"id": 2, "text": "water the plants", "done": false}]));
    assert_eq!(send(served, "POST", "/todos", json!({})).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let traced = capture::records("finished processing request");
    assert!(traced.iter().any(|record| record["plugin"] == "notice-board"), "the trace layer speaks to the host");
}

async fn next_event(body: &mut Incoming) -> String {
    let frame = body.frame().await.expect("an event").expect("no failure");
    String::from_utf8_lossy(&frame.into_data().expect("data")).into_owned()
}

async fn feed(served: &Served) {
    // The answer's head comes after the handler has subscribed.
    let request = Request::get("/todos/feed").body(Full::<Bytes>::default()).expect("a request");
    let mut body = served.open(request).await.into_body();
    send(served, "PATCH", "/todos/2", json!({"text": "water them all"})).await;
    let saved = "event: saved\ndata: {\"id\":2,\"text\":\"water them all\",\"done\":false}\n\n";
    assert_eq!(next_event(&mut body).await, saved);
    send(served, "DELETE", "/todos/2", json!(null)).await;
    assert_eq!(next_event(&mut body).await, "event: removed\ndata: 2\n\n");
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn join(served: &Served, name: &str) -> Socket {
    let url = served.url(&format!("/chat/{name}")).replace("http://", "ws://");
    tokio_tungstenite::connect_async(url).await.expect("a WebSocket").0
}

async fn hears(socket: &mut Socket, text: &str) {
    assert_eq!(socket.next().await.expect("a message").expect("no failure"), Message::text(text));
}

async fn chat(served: &Served) {
    let mut ada = join(served, "ada").await;
    hears(&mut ada, "ada joined").await;
    let mut grace = join(served, "grace").await;
    hears(&mut grace, "grace joined").await;
    hears(&mut ada, "grace joined").await;
    grace.send(Message::text("hello")).await.expect("it is sent");
    for socket in [&mut ada, &mut grace] {
        hears(socket, "grace: hello").await;
    }
    grace.close(None).await.expect("it is sent");
    hears(&mut ada, "grace left").await;
    ada.close(None).await.expect("it is sent");
    while ada.next().await.is_some() {}
}

async fn uploads(served: &Served) {
    let part = |disposition: &str, content: &str| {
        format!("--edge\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    };
    let large = "z".repeat(3 << 20);
    let form =
        part("name=\"title\"", "Notes") + &part("name=\"notes\"; filename=\"notes.txt\"", &large) + "--edge--\r\n";
    let answer = served.post("/uploads", "multipart/form-data; boundary=edge", form).await;
    let expected = json!([
        {"field": "title", "file": null, "bytes": 5},
        {"field": "notes", "file": "notes.txt", "bytes": 3 << 20},
    ]);
    assert_eq!(json_of(&answer), expected);
    let torn = served.post("/uploads", "multipart/form-data; boundary=edge", part("name=\"a\"", "b")).await;
    assert_eq!(torn.status(), StatusCode::BAD_REQUEST);
}

/// What it was before it still is: a program that serves itself.
fn still_a_program(program: &Path) {
    let mut child = Command::new(program)
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be started");
    let mut said = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut said).expect("a line");
    let address = said.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let answer = crate::harness::runtime().block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(b"GET /todos HTTP/1.1\r\nhost: board\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    });
    child.kill().expect("it can be ended");
    child.wait().expect("it ends");
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("[]"), "{answer}");
}

#[trial]
fn one_with_pages_assets_a_database_and_variables() {
    let folder = |name| repository().join("core/loader/fixtures/third-party/guestbook").join(name);
    let application = Outside::new("guestbook").with_folder(&folder("before")).with_folder(&folder("conversion"));
    for (file, added) in [("Cargo.toml", 4), ("src/lib.rs", 2)] {
        let read = |dir| fs::read_to_string(folder(dir).join(file)).expect("it can be read");
        assert_eq!(added_lines(&read("before"), &read("conversion")).len(), added, "{file}");
    }
    let library = application.build().join("libguestbook.so");
    run(async {
        let mut host = Host::new();
        let variables: VariablesOf = Arc::new(|_| BTreeMap::from([("TITLE".to_owned(), "<Guests>".to_owned())]));
        let dirs = Some(host.dir().join("plugins"));
        host.loader =
            host.loader.with_surroundings(Surroundings { dirs, variables: Some(variables), ..Surroundings::default() });
        let first = host.serve(&library).await;
        let request = Request::post("/lines").header("content-type", "application/x-www-form-urlencoded");
        let signed = first.send(request.body(Full::from("text=We+were+here")).expect("a request")).await;
        assert_eq!((signed.status(), &signed.headers()["location"]), (StatusCode::SEE_OTHER, &"./".parse().unwrap()));
        // What was written is there for the next build, and the page's own links lead to its assets.
        let second = host.serve(&library).await;
        first.unload_wholly().await;
        let page = second.text("/").await;
        assert!(page.contains("<h1>&lt;Guests></h1>\n<ul><li>We were here</li></ul>"), "{page}");
        let (_, style) = page.split_once("href=\"").expect("a style sheet");
        let (style, _) = style.split_once('"').expect("the end of its path");
        assert!(second.text(&format!("/{style}")).await.starts_with("body {"));
        second.unload_wholly().await;
    });
}
