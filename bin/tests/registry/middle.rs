//! What goes on in the middle of ten thousand events and ten thousand tasks: reloads, versions, rollbacks, a database that is killed. The
//! ledger of a counting plugin says that nothing is lost, and that nothing runs twice at once. Servers that are killed: `heard`, `tasks`.

use crate::{heard, tasks, world::*};
use camlock_testing::{Fixtures, Server, request_with, rounds};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// So many of each.
const ALL: u32 = 10_000;

/// So many emit at once.
const EMITTERS: u32 = 8;

/// Puts the same code there in other bytes, at once as a whole: another version.
fn put_version(world: &World, plugin: &str, version: u32) {
    let mut bytes = fs::read(Fixtures::quick().library(plugin)).unwrap();
    bytes.extend(format!("version {version}").bytes());
    let beside = world.site.path("next.so");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, world.site.path(&format!("plugins/{plugin}.so"))).unwrap();
}

/// Whatever changes what serves: a reload, another version, and back.
fn change(world: &World, server: &Server, plugin: &str, round: u32) {
    let before = server.generation(plugin);
    match round % 3 {
        0 => assert_eq!(server.act("POST", &format!("/api/v1/plugins/{plugin}/reload")).status, 200),
        1 => put_version(world, plugin, round),
        _ => assert_eq!(server.act("POST", &format!("/api/v1/plugins/{plugin}/rollback")).status, 200),
    }
    server.until(|server| server.generation(plugin), |generation| *generation > before);
}

/// Emits all of them, also while some are refused: those that were acknowledged.
fn emit_all(server: &Server, next: &Arc<AtomicU32>) -> Vec<JoinHandle<Vec<u32>>> {
    let emit = |_| {
        let (address, authorization, next) = (server.address, server.bearer(), next.clone());
        thread::spawn(move || {
            let headers = [("authorization", &*authorization), ("content-type", "application/json")];
            let mut acknowledged = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= ALL {
                    return acknowledged;
                }
                let event = json!({ "topic": "order.made", "payload": { "do": "ledger", "number": number } });
                match request_with(address, "POST", "/api/v1/emit", &headers, &event.to_string()) {
                    Ok(answer) if answer.status == 202 => acknowledged.push(number),
                    Ok(answer) => {
                        assert_eq!(answer.status, 503, "{}", answer.text);
                        thread::sleep(Duration::from_millis(50));
                    }
                    Err(error) => panic!("the server is there: {error}"),
                }
            }
        })
    };
    (0..EMITTERS).map(emit).collect()
}

/// Waits until so many were begun to be emitted.
fn until_emitted(server: &Server, next: &AtomicU32, count: u32) {
    server.until(|_| next.load(Ordering::SeqCst), |emitted| *emitted >= count);
}

/// All that was acknowledged was handled, and in order: what comes again is behind what it was before.
fn all_were_heard(world: &World, server: &Server, acknowledged: &BTreeSet<u32>) {
    let lost = |_: &Server| acknowledged.difference(&heard::ledger(world)).count();
    server.until(lost, |lost| *lost == 0);
    let mut last = 0;
    for position in heard::positions(world) {
        assert!(position <= last + 1, "{position} comes behind {last}");
        last = last.max(position);
    }
}

pub(crate) fn events_and_versions(world: &World) {
    put_version(world, "hearing", 0);
    let server = world.serve();
    server.until_serving("hearing");
    server.until(|server| heard::subscription(server, "hearing:orders"), |view| !view.is_null());
    let next = Arc::new(AtomicU32::new(0));
    let emitting = emit_all(&server, &next);
    for round in 0..6 {
        until_emitted(&server, &next, (round + 1) * ALL / 8);
        change(world, &server, "hearing", round);
    }
    let acknowledged: BTreeSet<u32> = emitting.into_iter().flat_map(|emitting| emitting.join().unwrap()).collect();
    assert_eq!(acknowledged.len() as u32, ALL, "nobody who emits notices");
    all_were_heard(world, &server, &acknowledged);
    server.end();
}

pub(crate) fn tasks_and_versions(world: &World) {
    put_version(world, "chores", 0);
    let server = world.serve();
    server.until_serving("chores");
    let mut ids = BTreeSet::new();
    for round in 0..20 {
        // What is known of a version comes a moment after it serves.
        let made = server.until(
            |server| tasks::try_post(server, "/many/500", &json!({ "do": "wait", "milliseconds": 5 })),
            |made| made.as_ref().is_ok_and(|made| made.status == 200),
        );
        ids.extend(made.unwrap().json().as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
        if round % 3 == 2 {
            change(world, &server, "chores", round / 3);
        }
    }
    server.until(|server| tasks::count(server, "waiting") + tasks::count(server, "running"), |left| *left == 0);
    assert_eq!((ids.len() as u32, tasks::count(&server, "dead")), (ALL, 0));
    tasks::all_were_done(world, &ids);
    assert_eq!(tasks::begun_while_it_ran(world), Vec::<String>::new());
    server.end();
}

#[test]
fn events_of_a_database_that_is_killed() {
    let world = World::apart();
    put_version(&world, "hearing", 0);
    let server = world.serve();
    server.until_serving("hearing");
    server.until(|server| heard::subscription(server, "hearing:orders"), |view| !view.is_null());
    let next = Arc::new(AtomicU32::new(0));
    let emitting = emit_all(&server, &next);
    let kills = rounds(3) as u32;
    for kill in 0..kills {
        until_emitted(&server, &next, (kill + 1) * ALL / (kills + 2));
        world.server().kill();
        let refused: Value = json!({ "topic": "order.made", "payload": { "do": "ledger", "number": ALL } });
        assert_eq!(server.act_with("POST", "/api/v1/emit", &refused).status, 503);
        world.server().start_again();
    }
    let acknowledged: BTreeSet<u32> = emitting.into_iter().flat_map(|emitting| emitting.join().unwrap()).collect();
    assert!(acknowledged.len() as u32 > ALL / 2, "{}", acknowledged.len());
    all_were_heard(&world, &server, &acknowledged);
    server.end();
}
