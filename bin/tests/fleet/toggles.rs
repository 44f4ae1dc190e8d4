//! What an operator writes into one table, every server obeys.

use crate::Fleet;
use camlock_testing::single;

const PATH: &str = "/api/v1/p/hello/";

#[test]
fn one_row_for_all() {
    let fleet = Fleet::of(2, &[]);
    for node in 0..2 {
        fleet.write(node, "hello.rs", &single("one"));
    }
    fleet.until_all(PATH, "one");
    fleet.sql("UPDATE camlock.plugins SET enabled = false WHERE name = 'hello'");
    for node in &fleet.nodes {
        node.server.until_status(PATH, 503);
    }
    fleet.sql("UPDATE camlock.plugins SET enabled = true WHERE name = 'hello'");
    fleet.until_all(PATH, "one");

    // A reload that one is asked for is one of all.
    let before = fleet.nodes[1].server.generation("hello");
    assert_eq!(fleet.nodes[0].server.post("/api/v1/plugins/hello/reload").status, 200);
    fleet.nodes[1].server.until_plugin("hello", |plugin| plugin["serving"]["generation"].as_u64() > Some(before));

    // Removed by one, its entry is moved away by all, and stays away.
    let answer = fleet.nodes[1].server.act("DELETE", "/api/v1/plugins/hello");
    assert_eq!(answer.status, 200, "{}", answer.text);
    for node in &fleet.nodes {
        node.server.until_status(PATH, 404);
        node.server.until(|_| node.site.path("plugins/hello.rs").exists(), |there| !there);
        assert_eq!(std::fs::read_dir(node.site.path(".camlock/removed")).unwrap().count(), 1);
    }
    // Who puts it there anew has it everywhere where it lies.
    fleet.write(0, "hello.rs", &single("anew"));
    fleet.nodes[0].server.until_text(PATH, "anew");
    fleet.nodes[1].server.until_status(PATH, 404);
}
