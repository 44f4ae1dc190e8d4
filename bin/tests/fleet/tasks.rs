//! Tasks and schedules of a fleet: each is done by one server, also if servers die in the middle.

use crate::{Fleet, Node};
use camlock_testing::{Fixtures, Server, Site, request_with};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

const PATH: &str = "/api/v1/p/chores";

pub(crate) fn put_there(fleet: &Fleet) {
    for node in &fleet.nodes {
        fs::create_dir_all(node.site.path("plugins")).unwrap();
        fs::copy(Fixtures::quick().library("chores"), node.site.path("plugins/chores.so")).unwrap();
    }
    for node in &fleet.nodes {
        node.server.until_serving("chores");
    }
}

/// So many tasks, a few at a time and from all servers: their ids.
pub(crate) fn enqueue(server: &Server, count: usize, input: &Value) -> Vec<String> {
    let headers = [("content-type", "application/json")];
    let path = format!("{PATH}/many/{count}");
    let made = server.until(
        |server| request_with(server.address, "POST", &path, &headers, &input.to_string()),
        |made| made.as_ref().is_ok_and(|made| made.status == 200),
    );
    made.unwrap().json().as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

pub(crate) fn read(site: &Site, file: &str) -> String {
    fs::read_to_string(site.path(&format!(".camlock/plugins/chores/{file}"))).unwrap_or_default()
}

/// What came to its end on each server, and when what began: by id.
fn ended(sites: &[&Site]) -> (BTreeSet<String>, Vec<usize>) {
    let (mut ids, mut counts) = (BTreeSet::new(), Vec::new());
    for site in sites {
        let ledger = read(site, "ledger");
        let done: Vec<&str> = ledger.lines().filter(|line| line.split(' ').nth(1) == Some("done")).collect();
        counts.push(done.len());
        ids.extend(done.iter().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned));
    }
    (ids, counts)
}

/// Of what yields nothing ran twice at once: all servers are of one machine, and so are their clocks.
fn no_overlaps(sites: &[&Site], killed_at: u128) {
    let mut spans = BTreeMap::<String, Vec<(u128, u128)>>::new();
    for site in sites {
        let mut open = BTreeMap::<(String, String), u128>::new();
        for line in read(site, "ledger").lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [at, what, id, attempt] = words[..] else { continue };
            let (at, key) = (at.parse::<u128>().unwrap(), (id.to_owned(), attempt.to_owned()));
            if what == "begun" {
                open.insert(key, at);
            } else if let Some(begun) = open.remove(&key) {
                spans.entry(key.0).or_default().push((begun, at));
            }
        }
        // What has no end ended with its server.
        for ((id, _), begun) in open {
            assert!(begun <= killed_at, "{id} has no end, and its server lives");
            spans.entry(id).or_default().push((begun, killed_at));
        }
    }
    for (id, mut spans) in spans {
        spans.sort_unstable();
        assert!(spans.windows(2).all(|two| two[0].1 <= two[1].0), "{id} ran twice at once: {spans:?}");
    }
}

fn now() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros()
}

#[test]
fn each_is_done_by_one_server_and_what_a_dead_one_had_by_others() {
    let mut fleet = Fleet::of(3, &[]);
    put_there(&fleet);
    let mut ids = BTreeSet::new();
    for round in 0..12 {
        let input = json!({ "do": "wait", "milliseconds": 100 });
        ids.extend(enqueue(&fleet.nodes[round % 3].server, 100, &input));
    }
    // One of them dies in the middle.
    std::thread::sleep(Duration::from_millis(500));
    let Node { site: dead, server } = fleet.nodes.remove(1);
    server.kill();
    let killed_at = now();
    let path = "/api/v1/tasks?plugin=chores&type=CHORE&limit=1&state=";
    let left = |server: &Server| {
        let some = |state: &str| {
            !server.get_as_admin(&format!("{path}{state}")).json()["items"].as_array().unwrap().is_empty()
        };
        some("waiting") || some("running")
    };
    fleet.nodes[0].server.until(|server| left(server), |left| !left);
    let sites = [&dead, &fleet.nodes[0].site, &fleet.nodes[1].site];
    let (done, counts) = ended(&sites);
    let lost: Vec<_> = ids.difference(&done).collect();
    assert!(lost.is_empty(), "{} are lost: {lost:?}", lost.len());
    assert!(counts.iter().all(|count| *count > 20), "all take part: {counts:?}");
    no_overlaps(&sites, killed_at);
    // One at a time, on all servers together.
    let begun = Instant::now();
    for _ in 0..10 {
        let order = json!({ "type": "single", "input": {} });
        assert_eq!(fleet.nodes[1].server.act_with("POST", "/api/v1/tasks", &order).status, 201);
    }
    let dead = "SELECT count(*) FROM camlock.tasks WHERE type = 'single' AND state <> 'done'";
    while fleet.sql(dead) != "0" {
        assert!(begun.elapsed() < Duration::from_secs(300));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(begun.elapsed() > Duration::from_millis(200), "10 of 20 ms each: {:?}", begun.elapsed());
}

#[test]
fn each_time_is_run_by_one_server() {
    let fleet = Fleet::of(3, &[]);
    put_there(&fleet);
    std::thread::sleep(Duration::from_secs(6));
    let mut ticks: Vec<u64> = Vec::new();
    for node in &fleet.nodes {
        let own = read(&node.site, "ticks");
        ticks.extend(own.lines().filter_map(|line| line.strip_prefix("tick ")?.parse::<u64>().ok()));
    }
    ticks.sort_unstable();
    assert!(ticks.len() >= 4, "{ticks:?}");
    assert!(ticks.windows(2).all(|two| two[1] == two[0] + 1_000), "each once, none left out: {ticks:?}");
    let shown = fleet.nodes[2].server.get_as_admin("/api/v1/plugins/chores/schedules").json();
    let names: Vec<_> = shown["items"].as_array().unwrap().iter().map(|one| (&one["name"], &one["times"])).collect();
    assert_eq!(
        names,
        [(&json!("tick"), &json!("every 1000 ms")), (&json!("yearly"), &json!("0 3 1 1 * Europe/Berlin"))]
    );
    assert!(shown["items"][0]["last_task"].is_string() && shown["items"][1]["last"].is_null(), "{shown}");
    let output = fleet.nodes[0].site.command().args(["show", "chores"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("every 1000 ms") && text.contains("yearly"), "{text}");
}
