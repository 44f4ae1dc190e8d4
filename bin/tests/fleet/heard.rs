//! Kept events in a fleet: one server hears of each, or all do; and one goes on where another was killed.

use crate::Fleet;
use camlock_testing::{Fixtures, Server};
use serde_json::json;
use std::fs;

fn emit(server: &Server, topic: &str, number: u32) {
    let event = json!({ "topic": topic, "payload": { "do": "ledger", "number": number } });
    let emitted = server.act_with("POST", "/api/v1/emit", &event);
    assert_eq!(emitted.status, 202, "{emitted:?}");
}

/// What each node has heard of a topic, in its order.
fn heard(fleet: &Fleet, topic: &str) -> Vec<Vec<u32>> {
    let of_node = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter(|line| line.starts_with(topic));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
    };
    fleet.nodes.iter().map(|node| of_node(node.site.path(".camlock/plugins/hearing/ledger"))).collect()
}

#[test]
fn by_one_or_by_each_whoever_is_killed() {
    let mut fleet = Fleet::of(3, &[]);
    for node in &fleet.nodes {
        fs::create_dir_all(node.site.path("plugins")).unwrap();
        fs::copy(Fixtures::quick().library("hearing"), node.site.path("plugins/hearing.so")).unwrap();
    }
    for node in &fleet.nodes {
        node.server.until_serving("hearing");
    }
    let rows = "SELECT count(*) FROM camlock.subscriptions";
    fleet.nodes[0].server.until(|_| fleet.sql(rows), |rows| rows == "5");
    for number in 0..60 {
        let server = &fleet.nodes[number as usize % 3].server;
        emit(server, "order.made", number);
        emit(server, "notice.given", number);
    }
    fleet.nodes[0].server.until(|_| heard(&fleet, "notice.given"), |heard| heard.iter().all(|heard| heard.len() == 60));
    let orders = fleet.nodes[0].server.until(|_| heard(&fleet, "order.made"), |heard| heard.concat().len() == 60);
    // They have one holder, which is killed.
    let holder = orders.iter().position(|heard| heard.len() == 60).expect("one of them");
    assert!(heard(&fleet, "notice.given").iter().all(|heard| heard.iter().copied().eq(0..60)), "in order");
    fleet.nodes.swap(0, holder);
    fleet.nodes.remove(0).server.kill();
    for number in 60..90 {
        emit(&fleet.nodes[number as usize % 2].server, "order.made", number);
    }
    let server = &fleet.nodes[0].server;
    server.until(
        |_| heard(&fleet, "order.made"),
        |heard| {
            let mut numbers = heard.concat();
            numbers.sort_unstable();
            numbers.dedup();
            numbers.into_iter().eq(60..90)
        },
    );
}
