//! Events that are kept, while servers are killed: nothing that was acknowledged is lost. And what operators see of them.

use crate::world::*;
use camlock_testing::{Fixtures, Server, request_with};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

/// So many events come to be acknowledged.
const EVENTS: u32 = 10_000;

/// So many emit at once.
const EMITTERS: u32 = 16;

fn put_there(world: &World) {
    fs::copy(Fixtures::quick().library("hearing"), world.site.path("plugins/hearing.so")).unwrap();
}

pub(crate) fn subscription(server: &Server, id: &str) -> Value {
    let all = server.get_as_admin("/api/v1/subscriptions").json();
    let found = all["items"].as_array().unwrap().iter().find(|one| one["id"] == id);
    found.cloned().unwrap_or_default()
}

fn emit(server: &Server, topic: &str, payload: Value) {
    let emitted = server.act_with("POST", "/api/v1/emit", &json!({ "topic": topic, "payload": payload }));
    assert_eq!(emitted.status, 202, "{emitted:?}");
}

fn ledger_text(world: &World) -> String {
    fs::read_to_string(world.site.path(".camlock/plugins/hearing/ledger")).unwrap_or_default()
}

/// Those that the plugin has in its file.
pub(crate) fn ledger(world: &World) -> BTreeSet<u32> {
    ledger_text(world).lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

/// Where they stood, in the order in which it heard of them.
pub(crate) fn positions(world: &World) -> Vec<u64> {
    ledger_text(world).lines().filter_map(|line| line.split(' ').nth(1)?.parse().ok()).collect()
}

/// Emits what is next until the server is gone: those that were acknowledged.
fn emit_until_gone(address: SocketAddr, token: &str, next: &Arc<AtomicU32>) -> Vec<u32> {
    let emitters: Vec<_> = (0..EMITTERS)
        .map(|_| {
            let (authorization, next) = (format!("Bearer {token}"), next.clone());
            thread::spawn(move || {
                let headers = [("authorization", &*authorization), ("content-type", "application/json")];
                let mut acknowledged = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= EVENTS {
                        return acknowledged;
                    }
                    let event = json!({ "topic": "order.made", "payload": { "do": "ledger", "number": number } });
                    match request_with(address, "POST", "/api/v1/emit", &headers, &event.to_string()) {
                        Ok(answer) if answer.status == 202 => acknowledged.push(number),
                        _ => return acknowledged,
                    }
                }
            })
        })
        .collect();
    emitters.into_iter().flat_map(|emitter| emitter.join().unwrap()).collect()
}

pub(crate) fn killed_in_the_middle_of_events(world: &World) {
    put_there(world);
    let (next, mut acknowledged) = (Arc::new(AtomicU32::new(0)), BTreeSet::new());
    let mut server = world.serve();
    for round in 0.. {
        server.until_serving("hearing");
        server.until(|server| subscription(server, "hearing:orders"), |view| !view.is_null());
        let token = fs::read_to_string(world.site.path(".camlock/admin-token")).unwrap().trim().to_owned();
        let (address, still) = (server.address, next.clone());
        let emitting = thread::spawn(move || emit_until_gone(address, &token, &still));
        if round < 4 {
            thread::sleep(Duration::from_millis(700 + 130 * round));
            server.kill();
            acknowledged.extend(emitting.join().unwrap());
            server = world.serve();
            continue;
        }
        acknowledged.extend(emitting.join().unwrap());
        break;
    }
    let lost = |_: &Server| acknowledged.difference(&ledger(world)).count();
    server.until(lost, |lost| *lost == 0);
    assert!(acknowledged.len() as u32 > EVENTS - 10 * EMITTERS, "{}", acknowledged.len());
    server.end();
}

/// What a plugin emits in a transaction of its own is emitted exactly if that is committed.
pub(crate) fn in_a_transaction(world: &World) {
    put_there(world);
    let server = world.serve();
    server.until_serving("hearing");
    server.until(|server| subscription(server, "hearing:own"), |view| !view.is_null());
    let outbox = |topic: &str, end: &str, number: u32| {
        let payload = json!({ "do": "note", "number": number }).to_string();
        let path = format!("/api/v1/p/hearing/outbox/{topic}/{end}");
        request_with(server.address, "POST", &path, &[], &payload).unwrap()
    };
    let own = "plugin.hearing.order.made";
    for (end, number) in [("commit", 0), ("rollback", 1), ("drop", 2), ("commit", 3)] {
        let answer = outbox(own, end, number);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let denied = outbox("plugin.other.order.made", "commit", 4);
    assert_eq!(denied.status, 403, "{denied:?}");
    let mut expected = vec![json!(0), json!(3)];
    // On PostgreSQL also by a client of its own.
    if !matches!(world.place, Place::Sqlite) {
        let answer = outbox(own, "sql", 5);
        assert_eq!(answer.status, 200, "{answer:?}");
        expected.extend([json!(5), Value::Null]);
    }
    let heard = |server: &Server| {
        let heard = server.get("/api/v1/p/hearing/heard").json();
        let own = heard.as_array().unwrap().iter().filter(|event| event["topic"] == own).cloned();
        own.map(|event| event["payload"]["number"].clone()).collect::<Vec<_>>()
    };
    server.until(heard, |heard| heard.len() >= expected.len());
    assert_eq!(heard(&server), expected);
    // Revoked, it is refused: by the host where the plugin asks it, and by the database where a client of its own does.
    let ways: &[&str] = if matches!(world.place, Place::Sqlite) { &["commit"] } else { &["commit", "by-sql"] };
    let permission = "events:emit:plugin.hearing.**";
    for (command, status) in [("revoke", 403), ("grant", 200)] {
        let (code, said) = world.command(&server, &[command, "hearing", permission]);
        assert_eq!(code, Some(0), "{said}");
        for way in ways {
            server.until(|_| outbox(own, way, 6).status, |answered| *answered == status);
        }
    }
    if !matches!(world.place, Place::Sqlite) {
        // An operator's SQL holds from its commit on, before any server hears of it.
        world.sql("UPDATE plugin_grants SET granted = 'database' WHERE plugin = 'hearing'");
        let refused = outbox(own, "by-sql", 7);
        let why = "`events:emit:plugin.hearing.order.made` is not granted to this plugin";
        assert!(refused.status == 403 && refused.text.contains(why), "{refused:?}");
        // When one has, it takes away what it had written.
        let written = "SELECT string_agg(pattern, ' ') FROM event_emitters WHERE plugin = 'hearing'";
        world.until_sql(written, "");
    }
    server.end();
}

pub(crate) fn what_operators_see(world: &World) {
    put_there(world);
    let server = world.serve();
    server.until_serving("hearing");
    let heard = |server: &Server| {
        let heard = server.get("/api/v1/p/hearing/heard").json();
        heard.as_array().unwrap().iter().map(|event| event["topic"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // It hears of its own coming, and of what becomes of others.
    server.until(heard, |heard| heard.iter().any(|topic| topic == "camlock.plugin.hearing.loaded"));
    assert_eq!(server.act("POST", "/api/v1/plugins/steady/reload").status, 200);
    server.until(heard, |heard| heard.iter().any(|topic| topic == "camlock.plugin.steady.reloaded"));
    assert_eq!(server.act("POST", "/api/v1/plugins/steady/disable").status, 200);
    server.until(heard, |heard| heard.iter().any(|topic| topic == "camlock.plugin.steady.disabled"));
    let refused = server.act_with("POST", "/api/v1/emit", &json!({ "topic": "camlock.plugin.x.loaded" }));
    assert_eq!(refused.status, 403, "{refused:?}");
    // The command line does the same.
    server.until(|server| subscription(server, "hearing:orders"), |view| !view.is_null());
    let (code, said) = world.command(&server, &["emit", "order.made", r#"{"do":"note","number":1}"#]);
    assert_eq!(code, Some(0), "{said}");
    server.until(heard, |heard| heard.iter().any(|topic| topic == "order.made"));
    let view = server.until(|server| subscription(server, "hearing:orders"), |view| view["delivered"] == 1);
    assert_eq!((&view["durable"], &view["deliver"], &view["state"]), (&json!(true), &json!("one"), &json!("active")));
    let (code, said) = world.command(&server, &["subscriptions"]);
    assert!(code == Some(0) && said.contains("hearing:orders") && said.contains("hearing:session.*"), "{said}");
    // One that fails is seen to; meanwhile nothing that comes after it is brought.
    emit(&server, "order.made", json!({ "do": "stubborn" }));
    server.until(|server| subscription(server, "hearing:orders"), |view| view["state"] == "retrying");
    let (code, said) = world.command(&server, &["subscriptions", "pause", "hearing:orders"]);
    assert_eq!(code, Some(0), "{said}");
    server.until(|server| subscription(server, "hearing:orders"), |view| view["state"] == "paused");
    assert_eq!(server.post("/api/v1/p/hearing/yield").status, 200);
    let (code, said) = world.command(&server, &["subscriptions", "resume", "hearing:orders"]);
    assert_eq!(code, Some(0), "{said}");
    server.until(|server| subscription(server, "hearing:orders"), |view| view["delivered"] == 2);
    // A new generation goes on where the old one was; what comes while it is disabled is kept for it.
    assert_eq!(server.act("POST", "/api/v1/plugins/hearing/disable").status, 200);
    emit(&server, "order.made", json!({ "do": "note", "number": 2 }));
    assert_eq!(server.act("POST", "/api/v1/plugins/hearing/enable").status, 200);
    server.until(heard, |heard| {
        heard == &["order.made"] || heard.len() > 1 && heard.iter().any(|topic| topic == "order.made")
    });
    let metrics = server.get("/metrics").text;
    assert!(metrics.contains("camlock_plugin_events_delivered_total{plugin=\"hearing\"} "), "{metrics}");
    // With it goes what is kept for it.
    assert_eq!(server.act("DELETE", "/api/v1/plugins/hearing?purge=true").status, 200);
    server.until(
        |server| server.get_as_admin("/api/v1/subscriptions").json()["items"].clone(),
        |items| items == &json!([]),
    );
    server.end();
}
