//! How a plugin is used is told of all servers together, whichever is asked, and what a server counted outlives it.

use crate::Fleet;
use camlock_testing::{Fixtures, Server};
use serde_json::{Value, json};
use std::fs;

/// How it was used in the last hour, as one server tells it.
fn used(server: &Server) -> Value {
    let answer = server.get_as_admin("/api/v1/plugins/working/analytics");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// What its points come to.
fn counted(used: &Value, what: &str) -> u64 {
    used["points"].as_array().unwrap().iter().map(|point| point[what].as_u64().unwrap()).sum()
}

fn execute(server: &Server, times: u64) {
    for _ in 0..times {
        let body = json!({ "input": { "do": "echo" } });
        let answer = server.act_with("POST", "/api/v1/plugins/working/execute", &body);
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("success")), "{answer:?}");
    }
}

#[test]
fn of_all_servers_together_whichever_is_asked() {
    let mut fleet = Fleet::of(2, &[]);
    for node in &fleet.nodes {
        fs::create_dir_all(node.site.path("plugins")).unwrap();
        fs::copy(Fixtures::quick().library("working"), node.site.path("plugins/working.so")).unwrap();
    }
    for node in &fleet.nodes {
        node.server.until_serving("working");
    }
    execute(&fleet.nodes[0].server, 3);
    execute(&fleet.nodes[1].server, 4);
    for _ in 0..5 {
        assert_eq!(fleet.nodes[1].server.get("/api/v1/p/working/running").status, 200);
    }
    // Its own a server knows at once; of the others, what they wrote.
    assert!(counted(&used(&fleet.nodes[0].server), "executions") >= 3);
    let other = fleet.nodes.pop().unwrap();
    assert!(counted(&used(&other.server), "executions") >= 4);
    assert!(other.server.end().0.success());
    let told = used(&fleet.nodes[0].server);
    assert_eq!((counted(&told, "executions"), counted(&told, "requests")), (7, 5), "{told}");
    assert_eq!((&told["usage"]["executions"], &told["usage"]["requests"]), (&json!(7), &json!(5)), "{told}");
    // Each generation is told of each server, and they come to the same.
    let generations = told["generations"].as_array().unwrap();
    let mut nodes: Vec<_> = generations.iter().map(|one| one["node"].as_str().unwrap()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let in_all: u64 = generations.iter().map(|one| one["executions"].as_u64().unwrap()).sum();
    assert_eq!((nodes.len(), in_all), (2, 7), "{told}");
    let known: Vec<_> =
        fleet.nodes[0].nodes()["items"].as_array().unwrap().iter().map(|node| node["id"].clone()).collect();
    assert!(nodes.iter().all(|node| known.contains(&json!(node))), "{nodes:?} {known:?}");
    // It is written once a minute.
    let wrote = "SELECT count(DISTINCT node) FROM camlock.analytics WHERE plugin = 'working'";
    fleet.nodes[0].server.until(|_| fleet.sql(wrote), |nodes| nodes == "2");
    // One that starts anew goes on with what it counted before, and sees what others counted as soon as they wrote it: each minute.
    let other = crate::Node { server: other.site.start(), site: other.site };
    other.server.until_serving("working");
    execute(&other.server, 2);
    assert!(counted(&used(&other.server), "executions") >= 6);
    let told = other.server.until(used, |told| counted(told, "executions") == 9);
    assert_eq!(told["usage"]["executions"], json!(9), "{told}");
}
