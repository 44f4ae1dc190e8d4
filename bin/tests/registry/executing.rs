//! What plugins work out for whoever asks over HTTP, and the log of it, on both databases.

use crate::world::*;
use camlock_testing::{Answer, Fixtures, Server, request_with};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    net::TcpStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

fn put_there(world: &World) {
    fs::copy(Fixtures::quick().library("working"), world.site.path("plugins/working.so")).unwrap();
}

fn execute(server: &Server, body: &Value) -> Answer {
    server.act_with("POST", "/api/v1/plugins/working/execute", body)
}

/// What came of an input.
fn outcome(server: &Server, input: &Value) -> Value {
    let answer = execute(server, &json!({ "input": input }));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn logged(server: &Server, query: &str) -> Value {
    let answer = server.get_as_admin(&format!("/api/v1/plugins/working/executions{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// How it was used in the last hour.
fn used(server: &Server) -> Value {
    let answer = server.get_as_admin("/api/v1/plugins/working/analytics");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

pub(crate) fn what_comes_of_it(world: &World) {
    put_there(world);
    let server = world.serve();
    server.until_serving("working");
    let answer = execute(&server, &json!({ "input": { "do": "echo" }, "context": { "who": "a user" } })).json();
    assert_eq!((&answer["status"], &answer["error"]), (&json!("success"), &Value::Null), "{answer}");
    assert_eq!(answer["result"], json!({ "id": answer["id"], "context": { "who": "a user" } }));
    // What is not said is filled in.
    assert_eq!(outcome(&server, &json!({ "do": "wait" }))["result"], "waited");

    for (input, status, told) in [
        (json!({ "do": "fail" }), "error", "nothing was worked out: the disk is full"),
        (json!({ "do": "panic" }), "error", "it panicked: an execution panics (src/lib.rs:"),
        (json!({ "do": "number" }), "error", "what it came to is not what the plugin says of it: expected "),
        (json!({ "do": "large", "bytes": 5_000_000 }), "error", "what it came to has more than the 4194304 bytes"),
    ] {
        let answer = outcome(&server, &input);
        let error = answer["error"].as_str().unwrap_or_default().replace("working/src", "src");
        assert!(answer["status"] == status && error.contains(told), "{input}: {answer}");
        assert_eq!(answer["result"], Value::Null);
    }
    let begun = Instant::now();
    let late =
        execute(&server, &json!({ "input": { "do": "wait", "milliseconds": 60_000 }, "timeout_ms": 100 })).json();
    assert_eq!((&late["status"], &late["error"]), (&json!("timeout"), &json!("it did not end within 100 ms")));
    assert!(begun.elapsed() < Duration::from_secs(45) && late["execution_time_ms"].as_u64().unwrap() >= 100);

    // What is not begun is not logged.
    let misfit = execute(&server, &json!({ "input": { "do": "dance", "milliseconds": -1 } }));
    let problem = misfit.json();
    assert_eq!((misfit.status, problem["violations"].as_array().unwrap().len()), (400, 2), "{problem}");
    assert_eq!(problem["violations"][0]["pointer"], "/do");
    assert_eq!(execute(&server, &json!({ "input": {}, "inputs": 1 })).status, 400);
    let large = json!({ "input": { "do": "echo", "why": "x".repeat(1 << 20) } });
    assert_eq!(execute(&server, &large).status, 413);
    let steady = server.act_with("POST", "/api/v1/plugins/steady/execute", &json!({}));
    assert_eq!((steady.status, detail(&steady)), (422, "`steady` executes nothing: it has no `execute`".to_owned()));
    assert_eq!(server.act("POST", "/api/v1/plugins/working/disable").status, 200);
    assert_eq!(execute(&server, &json!({ "input": { "do": "echo" } })).status, 503);
    assert_eq!(server.act("POST", "/api/v1/plugins/working/enable").status, 200);

    let all = logged(&server, "");
    let statuses: Vec<_> = all["items"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["timeout", "error", "error", "error", "error", "success", "success"]);
    assert!(all["items"].as_array().unwrap().iter().all(|one| one["by"] == "admin" && one["input"].is_null()));
    assert_eq!(all["items"][6]["id"], answer["id"]);
    let first = logged(&server, "?status=error&limit=3");
    let rest = logged(&server, &format!("?status=error&limit=3&cursor={}", first["next"].as_str().unwrap()));
    let count = |page: &Value| page["items"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&rest), &rest["next"]), (3, 1, &Value::Null));
    let counted = server.get("/metrics").text;
    for line in [
        "camlock_plugin_executions_total{plugin=\"working\",status=\"error\"} 4",
        "camlock_plugin_executions_total{plugin=\"working\",status=\"timeout\"} 1",
        "camlock_plugin_execution_duration_seconds_count{plugin=\"working\"} 7",
        "camlock_plugin_executions_running{plugin=\"working\"} 0",
    ] {
        assert!(counted.lines().any(|counted| counted == line), "{line}\n{counted}");
    }
    by_hand(world, &server);
}

/// The same at the command line.
fn by_hand(world: &World, server: &Server) {
    let camlock = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_camlock"));
        let token = fs::read_to_string(world.site.path(".camlock/admin-token")).unwrap();
        command.args(arguments).env("CAMLOCK_SERVER", format!("http://{}", server.address));
        let output = command.env("CAMLOCK_TOKEN", token.trim()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    };
    server.until_serving("working");
    assert_eq!(camlock(&["execute", "working", r#"{"do": "wait"}"#]), (0, "\"waited\"".to_owned(), String::new()));
    let (code, printed, told) = camlock(&["execute", "working", r#"{"do": "fail"}"#]);
    assert!(code == 1 && printed.is_empty(), "{printed}");
    assert!(told.contains("working: error after ") && told.ends_with("the disk is full"), "{told}");
    let (code, _, told) = camlock(&["execute", "working", r#"{"do": "dance"}"#]);
    assert!(code == 1 && told.contains("the input does not fit: at `/do`: expected "), "{told}");
    let (code, printed, _) = camlock(&["executions", "working", "-n", "2"]);
    assert_eq!((code, printed.lines().count()), (0, 3), "{printed}");
    let (code, printed, _) = camlock(&["stats", "working"]);
    assert!(
        code == 0 && printed.starts_with("working: last used ") && printed.contains(" 9 executions, "),
        "{printed}"
    );
    let (code, printed, _) = camlock(&["stats", "working", "--last", "year", "--json"]);
    let told: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &told["analytics"]["step"], &told["problems"]), (0, &json!(604_800), &json!([])));
    assert_eq!(told["analytics"]["usage"]["failed_executions"], json!(6), "{told}");
}

/// Many at once, one that nobody waits for, and those that are at it when the plugin is replaced.
pub(crate) fn what_is_under_way(world: &World) {
    world.site.configure("services.execute.at_once = 120\nlimits.drain = \"500ms\"\nlimits.farewell = \"500ms\"");
    put_there(world);
    let server = world.serve();
    server.until_serving("working");
    let address = server.address;
    let token = fs::read_to_string(world.site.path(".camlock/admin-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let asked = |milliseconds: u64| {
        let headers = [("authorization", &*bearer), ("content-type", "application/json")];
        let body = json!({ "input": { "do": "wait", "milliseconds": milliseconds } }).to_string();
        request_with(address, "POST", "/api/v1/plugins/working/execute", &headers, &body).unwrap()
    };
    let begun = Instant::now();
    let ended: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = (0..150).map(|_| scope.spawn(|| asked(5_000))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let took = begun.elapsed();
    let successes = ended.iter().filter(|answer| answer.status == 200 && answer.json()["status"] == "success").count();
    let refused: Vec<_> = ended.iter().filter(|answer| answer.status == 429).collect();
    assert_eq!((successes, refused.len()), (120, 30));
    assert_eq!(detail(refused[0]), "120 executions of `working` are under way, and no more are taken at once");
    assert!(took < Duration::from_secs(120), "{took:?}");

    let running = |server: &Server| server.get("/api/v1/p/working/running").text;
    let mut leaves = TcpStream::connect(address).unwrap();
    let body = json!({ "input": { "do": "wait", "milliseconds": 60_000 } }).to_string();
    let length = body.len();
    let head = format!(
        "POST /api/v1/plugins/working/execute HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    leaves.write_all(head.as_bytes()).unwrap();
    server.until(running, |count| count == "1");
    drop(leaves);
    server.until(running, |count| count == "0");
    let last = server.until(|server| logged(server, "?limit=1"), |page| page["items"][0]["status"] == "cancelled");
    assert_eq!(last["items"][0]["error"], "nobody waited any more");

    let replaced = thread::scope(|scope| {
        let long = scope.spawn(|| asked(60_000));
        server.until(running, |count| count == "1");
        assert_eq!(server.act("POST", "/api/v1/plugins/working/reload").status, 200);
        long.join().unwrap().json()
    });
    assert_eq!(replaced["status"], "cancelled", "{replaced}");
    assert_eq!(replaced["error"], "it did not end before its generation had to go");
    server.until_plugin("working", |plugin| plugin["draining"] == json!([]) && plugin["pinned"] == json!([]));
}

/// What is kept of them: their content, if that is asked for; so many, over restarts; nothing of a plugin that is purged.
pub(crate) fn what_is_kept(world: &World) {
    world.site.configure("services.execute.content = true\nservices.execute.keep = 3");
    put_there(world);
    let server = world.serve();
    server.until_serving("working");
    for number in 0..5 {
        let input = json!({ "do": "echo", "number": number, "text": "zero \u{0} byte" });
        assert_eq!(outcome(&server, &input)["status"], "success");
    }
    assert!(server.end().0.success());
    let server = world.serve();
    server.until_serving("working");
    // How it was used is known too, over restarts.
    let before = used(&server);
    assert_eq!(
        (&before["usage"]["executions"], &before["usage"]["failed_executions"]),
        (&json!(5), &json!(0)),
        "{before}"
    );
    let last_used: String = before["usage"]["last_used_at"].as_str().unwrap().into();
    assert_eq!(outcome(&server, &json!({ "do": "echo", "number": 5 }))["status"], "success");
    assert_eq!(server.get("/api/v1/p/working/running").status, 200);
    let after = used(&server);
    let counted = |what: &str| -> u64 {
        let points = after["points"].as_array().unwrap();
        points.iter().map(|point| point[what].as_u64().unwrap()).sum()
    };
    assert_eq!((counted("executions"), counted("failed_executions"), counted("swaps")), (6, 0, 2), "{after}");
    assert!(counted("requests") >= 1 && after["usage"]["last_used_at"].as_str().unwrap() >= &*last_used, "{after}");
    let generations = after["generations"].as_array().unwrap();
    let in_all: u64 = generations.iter().map(|one| one["executions"].as_u64().unwrap()).sum();
    assert!((1..=2).contains(&generations.len()) && in_all == 6, "{after}");
    let numbers = |page: &Value| -> Vec<Value> {
        page["items"].as_array().unwrap().iter().map(|one| one["input"]["number"].clone()).collect()
    };
    let kept = server.until(|server| logged(server, ""), |page| numbers(page).len() == 3);
    assert_eq!(numbers(&kept), [json!(5), json!(4), json!(3)]);
    assert_eq!(kept["items"][0]["result"]["context"], Value::Null);
    assert_eq!(server.act("DELETE", "/api/v1/plugins/working?purge=true").status, 200);
    put_there(world);
    server.until_serving("working");
    assert_eq!(logged(&server, "")["items"], json!([]));
    assert_eq!(used(&server)["usage"]["executions"], json!(0));
}

/// While the database is away it goes on, and what ended meanwhile is logged afterwards.
#[test]
fn without_the_database() {
    let world = World::apart();
    put_there(&world);
    let server = world.serve();
    server.until_serving("working");
    world.server().kill();
    for _ in 0..20 {
        assert_eq!(outcome(&server, &json!({ "do": "echo" }))["status"], "success");
    }
    assert_eq!(server.get_as_admin("/api/v1/plugins/working/executions").status, 503);
    world.server().start_again();
    let path = "/api/v1/plugins/working/executions?limit=100";
    let read = |server: &Server| server.get_as_admin(path);
    let enough = |answer: &Answer| answer.status == 200 && answer.json()["items"].as_array().unwrap().len() == 20;
    server.until(read, enough);
}
