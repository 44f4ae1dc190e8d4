//! The plugin webhook on both databases: deliveries that a library of others verifies, tried again, given up, replayed.

use crate::world::*;
use camlock_testing::{Outside, Server, repository};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread,
};

const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn library() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || Outside::new("webhook").with_folder(&repository().join("plugins/_more/webhook")).library();
    BUILT.get_or_init(build).clone()
}

/// Somebody else's server, which knows both secrets.
struct Receiver {
    program: Child,
    port: u16,
    received: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start() -> Self {
        let brought = Command::new(repository().join("scripts/standardwebhooks")).output().unwrap();
        assert!(brought.status.success(), "{}", String::from_utf8_lossy(&brought.stderr));
        let python = String::from_utf8(brought.stdout).unwrap();
        let mut receiver = Command::new(python.trim());
        receiver.arg(repository().join("bin/tests/registry/webhooks/receiver.py")).args([FIRST, SECOND]);
        let mut program = receiver.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let received = Arc::<Mutex<Vec<Value>>>::default();
        let theirs = received.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                theirs.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Receiver { program, port, received }
    }

    fn endpoint(&self, path: &str, topics: &[&str], secrets: &[&str]) -> Value {
        json!({ "url": format!("http://127.0.0.1:{}{path}", self.port), "topics": topics, "secrets": secrets })
    }

    /// What came to a path, when there are so many.
    fn until(&self, server: &Server, path: &str, count: usize) -> Vec<Value> {
        let at_path = |_: &Server| -> Vec<Value> {
            self.received.lock().unwrap().iter().filter(|one| one["path"] == path).cloned().collect()
        };
        server.until(at_path, |all| all.len() >= count)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn emit(server: &Server, topic: &str, number: u32) {
    let body = json!({ "topic": topic, "payload": { "number": number }, "durable": true });
    let answer = server.act_with("POST", "/api/v1/emit", &body);
    assert!((200..300).contains(&answer.status), "{answer:?}");
}

/// What came of an order of operators.
fn order(server: &Server, input: Value) -> Value {
    let answer = server.act_with("POST", "/api/v1/plugins/webhook/execute", &json!({ "input": input }));
    let outcome = answer.json();
    assert_eq!((answer.status, &outcome["status"]), (200, &json!("success")), "{outcome}");
    outcome["result"].clone()
}

fn configure(server: &Server, endpoints: Value) {
    let config = json!({ "config": { "endpoints": endpoints, "private": true } });
    let answer = server.act_with("PUT", "/api/v1/plugins/webhook", &config);
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn states(server: &Server, endpoint: &str) -> Vec<(String, Value)> {
    let listed = order(server, json!({ "do": "list", "endpoint": endpoint }));
    let of = |one: &Value| (one["state"].as_str().unwrap().to_owned(), one["status"].clone());
    listed["deliveries"].as_array().unwrap().iter().map(of).collect()
}

pub(crate) fn deliveries_that_others_verify(world: &World) {
    let receiver = Receiver::start();
    fs::copy(library(), world.site.path("plugins/webhook.so")).unwrap();
    let server = world.serve();
    server.until_serving("webhook");
    let endpoints = |ok: &[&str]| {
        json!({
            "ok": receiver.endpoint("/ok", &["order.*"], ok),
            "slow": receiver.endpoint("/slow", &["order.slow"], &[FIRST]),
            "gone": receiver.endpoint("/gone", &["order.gone"], &[FIRST]),
        })
    };
    configure(&server, endpoints(&[FIRST]));
    for number in 0..20 {
        emit(&server, "order.paid", number);
    }
    emit(&server, "customer.made", 99);
    let came = receiver.until(&server, "/ok", 20);
    assert!(came.iter().all(|one| one["verified"] == json!([true, false])), "{came:?}");
    let mut numbers: Vec<_> = came.iter().map(|one| one["body"]["data"]["number"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    assert_eq!(came[0]["body"]["type"], "order.paid");
    server.until(|server| states(server, "ok"), |all| all.iter().all(|(state, _)| state == "delivered"));

    // While one secret takes the place of the other both sign.
    configure(&server, endpoints(&[FIRST, SECOND]));
    emit(&server, "order.paid", 20);
    assert_eq!(receiver.until(&server, "/ok", 21)[20]["verified"], json!([true, true]));

    // Who asks to be asked later is, by the same id.
    emit(&server, "order.slow", 21);
    let twice = receiver.until(&server, "/slow", 2);
    assert_eq!(twice[0]["id"], twice[1]["id"]);
    server.until(|server| states(server, "slow"), |all| *all == [("delivered".to_owned(), json!(200))]);

    // Who is gone is asked no more, until an operator says so.
    emit(&server, "order.gone", 22);
    server.until(|server| states(server, "gone"), |all| *all == [("failed".to_owned(), json!(410))]);
    emit(&server, "order.gone", 23);
    server
        .until(|server| states(server, "gone"), |all| all.len() == 2 && all.iter().all(|(state, _)| state == "failed"));
    assert_eq!(receiver.until(&server, "/gone", 1).len(), 1);
    let shown = order(&server, json!({ "do": "endpoints" }));
    assert_eq!(shown["endpoints"][0]["disabled"], "it answered 410 (Gone)");
    assert!(!shown.to_string().contains("whsec_"), "{shown}");
    let mended = json!({ "gone": receiver.endpoint("/ok", &["order.gone"], &[FIRST]) });
    configure(&server, mended);
    assert_eq!(order(&server, json!({ "do": "enable", "endpoint": "gone" })), json!({ "was_disabled": true }));
    assert_eq!(order(&server, json!({ "do": "replay", "endpoint": "gone" })), json!({ "replayed": 2 }));
    server.until(|server| states(server, "gone"), |all| all.iter().all(|(state, _)| state == "delivered"));

    // What was accepted is delivered, over a server that is killed.
    for number in 100..120 {
        emit(&server, "order.gone", number);
    }
    server.kill();
    let server = world.serve();
    server.until_serving("webhook");
    let all = server.until(
        |server| states(server, "gone"),
        |all| all.len() == 22 && all.iter().all(|(state, _)| state == "delivered"),
    );
    assert_eq!(all.len(), 22);
}
