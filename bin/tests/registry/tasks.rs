//! Tasks through a plugin that is really loaded, in both databases: from being enqueued to their end, through reloads, and while servers
//! and databases are killed. The plugin's ledger says what ran, and when.

use crate::world::*;
use camlock_testing::{Answer, Fixtures, Server, request_with, rounds, set_clock};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

const PATH: &str = "/api/v1/p/chores";

fn put_there(world: &World) {
    fs::copy(Fixtures::quick().library("chores"), world.site.path("plugins/chores.so")).unwrap();
}

pub(crate) fn try_post(server: &Server, path: &str, body: &Value) -> std::io::Result<Answer> {
    let headers = [("content-type", "application/json")];
    request_with(server.address, "POST", &format!("{PATH}{path}"), &headers, &body.to_string())
}

fn post(server: &Server, path: &str, body: &Value) -> Answer {
    try_post(server, path, body).unwrap()
}

/// Enqueues one: its id.
fn enqueue(server: &Server, input: &Value) -> String {
    let answer = post(server, "/enqueue/CHORE", &json!({ "input": input }));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn task(server: &Server, id: &str) -> Value {
    server.get_as_admin(&format!("/api/v1/tasks/{id}")).json()
}

fn until(server: &Server, id: &str, state: &str) -> Value {
    server.until(|server| task(server, id), |task| task["state"] == state)
}

/// How many are in that state, or more than a page has.
pub(crate) fn count(server: &Server, state: &str) -> usize {
    let page = server.get_as_admin(&format!("/api/v1/tasks?plugin=chores&limit=500&state={state}")).json();
    page["items"].as_array().map_or(usize::MAX, Vec::len)
}

pub(crate) fn from_beginning_to_end(world: &World) {
    put_there(world);
    let server = world.serve();
    server.until_serving("chores");
    // What is known of it comes a moment after it serves.
    server.until(
        |server| post(server, "/enqueue/CHORE", &json!({ "input": { "do": "nothing" } })).status,
        |status| *status == 200,
    );
    let done = until(&server, &enqueue(&server, &json!({ "do": "nothing" })), "done");
    assert_eq!((&done["result"], &done["failures"]), (&json!({ "attempt": 1 }), &json!(0)));
    let again = until(&server, &enqueue(&server, &json!({ "do": "fail", "times": 2 })), "done");
    assert_eq!((&again["attempt"], &again["failures"]), (&json!(3), &json!(2)));
    let dead = until(&server, &enqueue(&server, &json!({ "do": "panic" })), "dead");
    assert!(dead["error"].as_str().unwrap().contains("a task panics"), "{dead}");
    let refused = until(&server, &enqueue(&server, &json!({ "do": "nothing", "refuse": 1 })), "dead");
    assert_eq!(refused["error"], "not today", "by what runs before");
    // What does not fit is told where it is written: by its schema, or by the plugin that reads it.
    let misfit = post(&server, "/enqueue/CHORE", &json!({ "input": {} }));
    assert!(
        misfit.status == 502 && misfit.text.starts_with("Invalid: the input of `CHORE` does not fit: "),
        "{}",
        misfit.text
    );
    let unread = until(&server, &enqueue(&server, &json!({ "do": "sing" })), "dead");
    assert!(
        unread["failures"] == 1 && unread["error"].as_str().unwrap().starts_with("the input does not fit: "),
        "{unread}"
    );
    let unknown = post(&server, "/enqueue/SONG", &json!({ "input": {} }));
    assert!(unknown.text.contains("takes no tasks of the type `SONG`; it takes `CHORE`, `single`"), "{}", unknown.text);

    // How far it is, and given up while it runs.
    let long = enqueue(&server, &json!({ "do": "tell", "milliseconds": 60_000 }));
    server.until(|server| task(server, &long), |task| task["progress"] == json!({ "part": 1 }));
    assert_eq!(post(&server, &format!("/cancel/{long}"), &json!({})).status, 200);
    until(&server, &long, "cancelled");
    let there = server.get(&format!("{PATH}/ledger")).text;
    assert!(there.lines().any(|line| line.ends_with(&format!("dropped {long} 1"))), "its future was dropped: {there}");

    // Within the plugin's own transaction: both, or neither.
    let kept = post(&server, "/transact/commit", &json!({}));
    assert_eq!(kept.status, 200, "{}", kept.text);
    assert_eq!(until(&server, &kept.text, "done")["priority"], 3);
    let gone = post(&server, "/transact/rollback", &json!({}));
    assert_eq!(server.get_as_admin(&format!("/api/v1/tasks/{}", gone.text)).status, 404);
    if matches!(world.place, Place::Postgres(_)) {
        let by_sql = post(&server, "/by-sql", &json!({}));
        assert_eq!(by_sql.status, 200, "{}", by_sql.text);
        until(&server, &by_sql.text, "done");
    }

    // Operators.
    let body =
        json!({ "type": "CHORE", "input": { "do": "nothing" }, "options": { "unique": "once", "delay": 60_000 } });
    let made = server.act_with("POST", "/api/v1/tasks", &body);
    assert_eq!((made.status, &made.json()["state"]), (201, &json!("waiting")));
    let same = server.act_with("POST", "/api/v1/tasks", &body);
    assert_eq!((same.status, &same.json()["id"]), (200, &made.json()["id"]));
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let (code, told) = world.command(&server, &["tasks", "cancel", &id]);
    assert_eq!((code, told.trim()), (Some(0), &*format!("task {id} is cancelled")));
    let (code, told) = world.command(&server, &["tasks", "list", "--state", "dead"]);
    assert!(code == Some(0) && told.contains("a task panics") && !told.contains("cancelled"), "{told}");
    let (code, told) = world.command(&server, &["tasks", "show", &id]);
    assert!(code == Some(0) && told.contains("cancelled") && told.contains(r#"{"do":"nothing"}"#), "{told}");
    let (code, told) = world.command(&server, &["tasks", "retry", done["id"].as_str().unwrap()]);
    assert!(code == Some(1) && told.contains("what is dead or cancelled is tried again"), "{told}");
    for (body, why) in [
        (json!({ "type": "SONG" }), "no plugin that serves takes tasks of the type `SONG`"),
        (json!({ "type": "CHORE", "input": {} }), "the input of `CHORE` does not fit"),
        (json!({ "type": "CHORE", "options": { "speed": 1 } }), "the task's options: unknown field `speed`"),
        (json!({ "type": "a b" }), "no plugin that serves takes"),
        (json!({ "type": "CHORE", "plugin": "steady" }), "`steady` takes no tasks, or does not serve"),
    ] {
        let answer = server.act_with("POST", "/api/v1/tasks", &body);
        assert!(answer.status == 400 && answer.text.contains(why), "{body}: {} {}", answer.status, answer.text);
    }
    assert_eq!(server.get_as_admin("/api/v1/tasks/x").status, 404);
    assert_eq!(server.get_as_admin("/api/v1/tasks?state=lost").status, 400);
    assert_eq!(server.get("/api/v1/tasks").status, 401);
    server.until(
        |server| server.get("/metrics").text,
        |text| text.contains("camlock_plugin_tasks_dead{plugin=\"chores\"} 3"),
    );
    assert!(server.get("/metrics").text.contains("camlock_plugin_tasks_done_total{plugin=\"chores\"} "));

    // Removed with all that was kept.
    assert_eq!(server.act("DELETE", "/api/v1/plugins/chores?purge=true").status, 200);
    let page = server.get_as_admin("/api/v1/tasks").json();
    assert_eq!(page["items"], json!([]));
}

/// At a drain's deadline a task goes elsewhere: here, to the next generation.
pub(crate) fn a_reload_in_the_middle(world: &World) {
    world.site.configure("limits.drain = \"500ms\"");
    put_there(world);
    let server = world.serve();
    server.until_serving("chores");
    server.until(
        |server| post(server, "/enqueue/CHORE", &json!({ "input": { "do": "nothing" } })).status,
        |status| *status == 200,
    );
    let short = enqueue(&server, &json!({ "do": "wait", "milliseconds": 300 }));
    let long = enqueue(&server, &json!({ "do": "wait", "milliseconds": 3_000 }));
    until(&server, &long, "running");
    assert_eq!(server.post("/api/v1/plugins/chores/reload").status, 200);
    assert_eq!(until(&server, &short, "done")["attempt"], 1, "it ended in time");
    let done = until(&server, &long, "done");
    assert_eq!((&done["failures"], done["attempt"].as_i64() > Some(1)), (&json!(0), true), "{done}");
}

/// What one line of the ledger says.
struct Noted {
    at: u128,
    what: String,
    id: String,
    attempt: i64,
}

fn ledger(world: &World) -> Vec<Noted> {
    let text = fs::read_to_string(world.site.path(".camlock/plugins/chores/ledger")).unwrap();
    let read = |line: &str| {
        let mut words = line.split(' ');
        let (at, what, id, attempt) = (words.next()?, words.next()?, words.next()?, words.next()?);
        Some(Noted { at: at.parse().ok()?, what: what.to_owned(), id: id.to_owned(), attempt: attempt.parse().ok()? })
    };
    text.lines().filter_map(read).collect()
}

/// All that was accepted came to its end, and nothing ran twice at once; one that was killed had no end, but ended with its process.
pub(crate) fn all_were_done(world: &World, ids: &BTreeSet<String>) {
    let noted = ledger(world);
    let done: BTreeSet<&String> = noted.iter().filter(|line| line.what == "done").map(|line| &line.id).collect();
    let lost: Vec<_> = ids.iter().filter(|id| !done.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), ids.len());
    let mut attempts = BTreeMap::<&String, Vec<&Noted>>::new();
    noted.iter().for_each(|line| attempts.entry(&line.id).or_default().push(line));
    for (id, mut lines) in attempts {
        lines.sort_by_key(|line| line.at);
        let mut open: Option<i64> = None;
        for line in lines {
            match (line.what.as_str(), open) {
                // What was open was killed with its process, before any other began: attempts only grow.
                ("begun", Some(before)) => assert!(line.attempt > before, "{id} ran twice at once"),
                ("begun", None) => {}
                (_, Some(before)) => assert_eq!(line.attempt, before, "{id}: an attempt ended after another began"),
                (_, None) => panic!("{id} ended twice"),
            }
            open = (line.what == "begun").then_some(line.attempt);
        }
    }
}

/// Those that began while they ran, where no process was killed.
pub(crate) fn begun_while_it_ran(world: &World) -> Vec<String> {
    let (mut noted, mut running, mut twice) = (ledger(world), BTreeSet::new(), Vec::new());
    noted.sort_by_key(|line| line.at);
    for line in noted {
        match line.what.as_str() {
            "begun" if !running.insert(line.id.clone()) => twice.push(line.id),
            "begun" => {}
            _ => _ = running.remove(&line.id),
        }
    }
    twice
}

pub(crate) fn killed_in_the_middle_of_ten_thousand(world: &World) {
    world.site.configure("fleet.heartbeat = \"500ms\"\nfleet.alive = \"2s\"");
    put_there(world);
    let mut server = world.serve();
    let (mut ids, kills) = (BTreeSet::new(), rounds(5));
    for kill in 0..kills {
        server.until_serving("chores");
        for _ in 0..(10_000 / kills / 500).max(1) {
            let input = json!({ "do": "wait", "milliseconds": 5 });
            let made = server.until(
                |server| try_post(server, "/many/500", &input),
                |made| made.as_ref().is_ok_and(|made| made.status == 200),
            );
            ids.extend(made.unwrap().json().as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
        }
        std::thread::sleep(Duration::from_millis(300 + 130 * (kill as u64 % 5)));
        server.kill();
        server = world.serve();
    }
    server.until_serving("chores");
    server.until(|server| count(server, "waiting") + count(server, "running"), |left| *left == 0);
    assert!(ids.len() >= 9_000, "{}", ids.len());
    assert_eq!(count(&server, "dead"), 0);
    all_were_done(world, &ids);
}

#[test]
fn of_a_database_that_is_killed() {
    let world = World::apart();
    put_there(&world);
    let server = world.serve();
    server.until_serving("chores");
    server.until(
        |server| post(server, "/enqueue/CHORE", &json!({ "input": { "do": "nothing" } })).status,
        |status| *status == 200,
    );
    let mut ids = BTreeSet::new();
    for _ in 0..rounds(3) {
        for _ in 0..7 {
            let made = post(&server, "/many/500", &json!({ "do": "wait", "milliseconds": 5 }));
            ids.extend(made.json().as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
        }
        world.server().kill();
        let refused = post(&server, "/enqueue/CHORE", &json!({ "input": { "do": "nothing" } }));
        assert!(refused.status == 502 && refused.text.starts_with("Unavailable: "), "{}", refused.text);
        let refused =
            server.act_with("POST", "/api/v1/tasks", &json!({ "type": "CHORE", "input": { "do": "nothing" } }));
        assert_eq!(refused.status, 503, "{}", refused.text);
        world.server().start_again();
        server.until(
            |server| post(server, "/enqueue/CHORE", &json!({ "input": { "do": "nothing" } })).status,
            |status| *status == 200,
        );
    }
    server.until(|server| count(server, "waiting") + count(server, "running"), |left| *left == 0);
    all_were_done(&world, &ids);
}

/// The clock is set back by five seconds between the death of a server and the next.
#[test]
fn a_clock_that_is_set_back() {
    let world = World::sqlite();
    put_there(&world);
    let later = |command: &mut std::process::Command| set_clock(command, &world.site.path(""), 5);
    let server = world.start_with(later);
    server.until_serving("chores");
    let input = json!({ "do": "wait", "milliseconds": 2_000 });
    let made = server.until(
        |server| try_post(server, "/many/100", &input),
        |made| made.as_ref().is_ok_and(|made| made.status == 200),
    );
    let ids: BTreeSet<String> =
        made.unwrap().json().as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    server.until(|server| count(server, "running"), |running| *running > 0);
    server.kill();
    let server = world.serve();
    server.until_serving("chores");
    server.until(|server| count(server, "waiting") + count(server, "running"), |left| *left == 0);
    assert_eq!(count(&server, "dead"), 0);
    let done: BTreeSet<String> =
        ledger(&world).into_iter().filter(|line| line.what == "done").map(|line| line.id).collect();
    assert_eq!(ids.difference(&done).count(), 0);
    server.end();
}
