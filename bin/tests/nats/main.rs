//! `camlock serve` whose kept events lie on a real NATS server, through a plugin that is loaded: while servers of both kinds are killed.

use camlock_testing::{Answer, Fixtures, NatsServer, Server, Site};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
};

/// A site whose events lie there, and whose log goes to a file.
fn site(nats: &NatsServer) -> Site {
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    site.configure(&format!("events.url = {:?}", nats.url()));
    fs::create_dir_all(site.plugins()).unwrap();
    fs::copy(Fixtures::quick().library("hearing"), site.path("plugins/hearing.so")).unwrap();
    site
}

fn serve(site: &Site) -> Server {
    let log = OpenOptions::new().create(true).append(true).open(site.path("log")).unwrap();
    let server = site.start_with(|command| _ = command.stderr(log));
    server.until_serving("hearing");
    server.until(
        |server| server.get_as_admin("/api/v1/subscriptions").json(),
        |all| all["items"].as_array().is_some_and(|all| all.iter().any(|one| one["id"] == "hearing:orders")),
    );
    server
}

fn emit(server: &Server, number: u32) -> Answer {
    let event = json!({ "topic": "order.made", "payload": { "do": "ledger", "number": number } });
    server.act_with("POST", "/api/v1/emit", &event)
}

/// Emits these, and waits until there is somewhere to keep them: all of them are acknowledged then.
fn emit_all(server: &Server, numbers: std::ops::Range<u32>) {
    for number in numbers {
        server.until(
            |server| emit(server, number),
            |answer| {
                assert!([202, 503].contains(&answer.status), "{answer:?}");
                answer.status == 202
            },
        );
    }
}

/// What the plugin has heard of: numbers, with positions.
fn heard(site: &Site) -> Vec<(u32, u64)> {
    let text = fs::read_to_string(site.path(".camlock/plugins/hearing/ledger")).unwrap_or_default();
    let read = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        Some((words.get(3)?.parse().ok()?, words.get(1)?.parse().ok()?))
    };
    text.lines().filter_map(read).collect()
}

fn until_heard(site: &Site, server: &Server, numbers: std::ops::Range<u32>) {
    let missing = |_: &Server| {
        let heard: BTreeSet<u32> = heard(site).into_iter().map(|(number, _)| number).collect();
        numbers.clone().filter(|number| !heard.contains(number)).count()
    };
    server.until(missing, |missing| *missing == 0);
}

#[test]
fn whoever_is_killed_nothing_is_lost() {
    let nats = NatsServer::start();
    let site = site(&nats);
    let server = serve(&site);
    emit_all(&server, 0..200);
    server.kill();
    let server = serve(&site);
    emit_all(&server, 200..400);
    until_heard(&site, &server, 0..400);
    // Without NATS what is to be kept is refused, in a sentence, and the server goes on.
    nats.kill();
    let refused = server.until(|server| emit(server, 400), |answer| answer.status == 503);
    let why: Value = refused.json();
    assert!(why["detail"].as_str().unwrap().contains("NATS"), "{why}");
    assert_eq!(server.get("/api/v1/p/hearing/heard").status, 200);
    let in_memory = json!({ "topic": "session.created", "payload": { "do": "note" } });
    assert_eq!(server.act_with("POST", "/api/v1/emit", &in_memory).status, 202, "events in memory go on");
    nats.start_again();
    emit_all(&server, 400..600);
    until_heard(&site, &server, 0..600);
    let mut last = 0;
    for (number, position) in heard(&site) {
        assert!(position <= last + 1, "{number} stands at {position}, behind {last}");
        last = last.max(position);
    }
    // What a plugin emits in a transaction of its own is carried over.
    let outbox = "/api/v1/p/hearing/outbox/plugin.hearing.order.made/commit";
    assert_eq!(server.post(outbox).status, 200);
    server.until(
        |server| server.get("/api/v1/p/hearing/heard").json(),
        |heard| heard.as_array().unwrap().iter().any(|event| event["topic"] == "plugin.hearing.order.made"),
    );
    server.end();
}

/// NATS comes back without anything of what it had: operators are told, and it goes on.
#[test]
fn a_nats_server_that_has_lost_everything() {
    let nats = NatsServer::start();
    let site = site(&nats);
    let server = serve(&site);
    emit_all(&server, 0..50);
    until_heard(&site, &server, 0..50);
    nats.kill();
    nats.wipe();
    nats.start_again();
    emit_all(&server, 50..100);
    until_heard(&site, &server, 0..100);
    assert_eq!(heard(&site).last().unwrap().1, 50, "positions begin anew");
    let log = fs::read_to_string(site.path("log")).unwrap();
    assert!(log.contains("has lost its streams"), "{log}");
    server.end();
}
