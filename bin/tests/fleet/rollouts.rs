//! A new version goes out to all, or to nobody, whatever becomes of single servers.

use crate::{Fleet, Node};
use camlock_testing::single;
use std::fs;

const PATH: &str = "/api/v1/p/hello/";

#[test]
fn through_the_database() {
    a_version_goes_out_and_one_is_killed_in_the_middle(&[]);
}

#[test]
fn through_an_object_store() {
    let store = tempfile::tempdir().unwrap();
    let line = format!("artifacts.url = \"file://{}\"", store.path().display());
    a_version_goes_out_and_one_is_killed_in_the_middle(&[line]);
    let mut objects = 0;
    let mut directories = vec![store.path().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            if entry.path().is_dir() {
                directories.push(entry.path());
            } else {
                objects += 1;
            }
        }
    }
    assert!(objects >= 2, "{objects}");
}

fn a_version_goes_out_and_one_is_killed_in_the_middle(lines: &[String]) {
    let mut fleet = Fleet::of(3, lines);
    for node in 0..3 {
        fleet.write(node, "hello.rs", &single("one"));
    }
    fleet.until_all(PATH, "one");
    // One of them built it.
    let first = fleet.nodes[0].artifact("hello");
    assert!(fleet.nodes.iter().all(|node| node.artifact("hello") == first), "{first}");

    // All follow the one whose directory changes, and the requests under way notice nothing.
    let loads: Vec<_> = fleet.nodes.iter().map(|node| node.server.load(PATH)).collect();
    fleet.write(0, "hello.rs", &single("two"));
    fleet.until_all(PATH, "two");
    for load in loads {
        let (good, bad) = load.end();
        assert!(good > 0 && bad.is_empty(), "{good} {bad:#?}");
    }

    // One is killed while the next version goes out: it is not waited for beyond the deadline.
    let loads: Vec<_> = fleet.nodes[..2].iter().map(|node| node.server.load(PATH)).collect();
    fleet.write(1, "hello.rs", &single("three"));
    fleet.nodes[1].server.until_plugin("hello", |plugin| !plugin["candidate"].is_null());
    let Node { site, server } = fleet.nodes.remove(2);
    server.kill();
    for node in &fleet.nodes[..2] {
        node.server.until_text(PATH, "three");
    }
    for load in loads {
        let (good, bad) = load.end();
        assert!(good > 0 && bad.is_empty(), "{good} {bad:#?}");
    }

    // It comes back with the old one in its directory, and takes what was agreed on.
    let server = site.start();
    fleet.nodes.push(Node { site, server });
    fleet.until_all(PATH, "three");
    let last = fleet.nodes[0].artifact("hello");
    assert!(last != first && fleet.nodes.iter().all(|node| node.artifact("hello") == last), "{last}");
    // What each serves is told a little later.
    fleet.nodes[1].server.until(
        |_| fleet.nodes[1].nodes(),
        |nodes| {
            let items = nodes["items"].as_array().unwrap();
            items.len() == 3 && items.iter().all(|node| node["stale"] == false && node["lags"] == serde_json::json!([]))
        },
    );

    // Going back is the same act.
    let answer = fleet.nodes[2].server.post("/api/v1/plugins/hello/rollback");
    assert_eq!(answer.status, 200, "{}", answer.text);
    let now = fleet.nodes[2].artifact("hello");
    assert_ne!(now, last);
    for node in &fleet.nodes {
        node.server.until(|_| node.artifact("hello"), |artifact| *artifact == now);
    }
}

#[test]
fn one_that_cannot_makes_it_fail_for_all() {
    let fleet = Fleet::of(2, &[]);
    let text = |number: u32| {
        let start = "    async fn start(&self) -> Result<()> {\n        let here = std::env::current_dir()?;\n        \
                     if NUMBER > 1 && here.ends_with(\"node1\") { return Err(Error::msg(\"not in this place\")); }\n        Ok(())\n    }\n\n    fn routes";
        single(&number.to_string()).replace("    fn routes", start).replace("NUMBER", &number.to_string())
    };
    fleet.write(0, "hello.rs", &text(1));
    fleet.write(1, "hello.rs", &text(1));
    fleet.until_all(PATH, "1");
    // Which number that is depends on who was first: a candidate may have been given up for the other's.
    let before: Vec<_> = fleet.nodes.iter().map(|node| node.server.generation("hello")).collect();
    fleet.write(0, "hello.rs", &text(2));
    let reason = fleet.nodes[0].server.until_failed("hello", "start");
    assert!(
        reason.contains("was not agreed on, and nobody swapped: ") && reason.contains("not in this place"),
        "{reason}"
    );
    for (node, before) in fleet.nodes.iter().zip(before) {
        assert_eq!(node.server.get(PATH).text, "1");
        assert_eq!(node.server.generation("hello"), before);
    }
}
