//! The plugin audit-log on both databases: every event in one chain, over servers that are killed, and what is changed is seen.

use crate::world::*;
use camlock_testing::{Outside, Server, repository, request};
use serde_json::{Value, json};
use std::{fs, path::PathBuf, process::Command, sync::OnceLock};

const MOUNT: &str = "/api/v1/p/audit-log";
const TOKEN: &str = "a-token-of-some-length";

fn library() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || Outside::new("audit-log").with_folder(&repository().join("plugins/_more/audit-log")).library();
    BUILT.get_or_init(build).clone()
}

fn served(world: &World) -> Server {
    let server = world.serve();
    server.until_serving("audit-log");
    server
}

fn emit(server: &Server, topic: &str, number: u32) {
    let body = json!({ "topic": topic, "payload": { "number": number }, "durable": true });
    let answer = server.act_with("POST", "/api/v1/emit", &body);
    assert!((200..300).contains(&answer.status), "{answer:?}");
}

fn read(server: &Server, path: &str) -> Value {
    let bearer = format!("Bearer {TOKEN}");
    let answer = request(server.address, "GET", &format!("{MOUNT}{path}"), &[("authorization", &bearer)]).unwrap();
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// The numbers of the events of a topic, in their order.
fn numbers(server: &Server, topic: &str) -> Vec<u64> {
    let page = read(server, &format!("/events?limit=1000&topic={topic}"));
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["payload"]["number"].as_u64().unwrap()).collect()
}

fn verified(server: &Server) -> Value {
    server.get(&format!("{MOUNT}/verify")).json()
}

/// What somebody does to the table who may write to the database.
fn tamper(world: &World, sql: &str) {
    match &world.place {
        Place::Sqlite => {
            let mut shell = Command::new("sqlite3");
            shell.args(["-cmd", ".timeout 60000"]).arg(world.site.path(".camlock/plugins.db")).arg(sql);
            let done = shell.output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        Place::Postgres(_) | Place::Apart(..) => _ = world.sql(sql),
    }
}

pub(crate) fn every_event_in_one_chain(world: &World) {
    fs::copy(library(), world.site.path("plugins/audit-log.so")).unwrap();
    let server = served(world);
    let set = server.act_with("PUT", "/api/v1/plugins/audit-log", &json!({ "config": { "token": TOKEN } }));
    assert_eq!(set.status, 200, "{set:?}");
    for number in 0..50 {
        emit(&server, "order.paid", number);
    }
    server.until(|server| numbers(server, "order.paid"), |numbers| numbers.len() == 50);
    // What becomes of plugins is told too.
    assert_eq!(server.act("POST", "/api/v1/plugins/steady/disable").status, 200);
    assert_eq!(server.act("POST", "/api/v1/plugins/steady/enable").status, 200);
    let topics = |server: &Server| -> Vec<String> {
        let page = read(server, "/events?limit=1000&topic=camlock.plugin.steady.**");
        page["items"].as_array().unwrap().iter().map(|item| item["topic"].as_str().unwrap().to_owned()).collect()
    };
    server.until(topics, |topics| topics.contains(&"camlock.plugin.steady.disabled".to_owned()));

    // Killed while it is told of more, and told of some while it does not serve.
    for number in 50..100 {
        emit(&server, "order.paid", number);
    }
    server.kill();
    let server = served(world);
    server.until(|server| numbers(server, "order.paid"), |numbers| numbers.len() == 100);
    assert_eq!(server.act("POST", "/api/v1/plugins/audit-log/disable").status, 200);
    for number in 100..120 {
        emit(&server, "order.paid", number);
    }
    assert_eq!(server.act("POST", "/api/v1/plugins/audit-log/enable").status, 200);
    let all = server.until(|server| numbers(server, "order.paid"), |numbers| numbers.len() >= 120);
    assert_eq!(all, (0..120).collect::<Vec<u64>>(), "each once, in their order");
    let whole = verified(&server);
    assert_eq!((&whole["ok"], &whole["first"]), (&json!(true), &json!(1)), "{whole}");

    tamper(world, "UPDATE p_audit_log__events SET depth = 7 WHERE number = 10");
    let changed = verified(&server);
    assert_eq!(changed["ok"], json!(false));
    assert_eq!(changed["why"], "entry 10 is not what it was, or what came before it was another");
    tamper(world, "UPDATE p_audit_log__events SET depth = 0 WHERE number = 10");
    assert_eq!(verified(&server)["ok"], json!(true));
    tamper(world, "DELETE FROM p_audit_log__events WHERE number = 20");
    assert_eq!(verified(&server)["why"], "entry 20 is missing");
}
