//! What is new of a catalog serves on one server for a while before the others are asked.

use super::{
    fleet::{Node, fleet_with},
    world::{Script, kept, limits},
};
use camlock_policy::{Act, CatalogPolicy, Settings, UpdatePolicy};
use std::time::Duration;

const SOAK: Duration = Duration::from_secs(360);
const STEP: Duration = Duration::from_secs(12);

fn settings() -> Settings {
    let updates = UpdatePolicy { soak: SOAK, ..UpdatePolicy::default() };
    let catalogs = CatalogPolicy { updates, ..CatalogPolicy::default() };
    Settings { limits: limits(), catalogs, ..Settings::default() }
}

impl Node {
    fn is_on(&self, fingerprint: &str) -> bool {
        self.serves() == Some(kept("hello", fingerprint).digest)
    }

    fn quarantine(&self) -> usize {
        self.registry.record("hello").unwrap().quarantine.len()
    }
}

/// Two servers that serve `hello`, fingerprint `a`, which came from a catalog. Both know what becomes of `b`.
async fn fleet(b: &Script) -> (Node, Node) {
    let mut nodes = fleet_with(&["one", "two"], settings()).await;
    nodes.iter().for_each(|node| node.world.know("hello", "b", b.clone()));
    let (two, one) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    one.installs_by_name("a").await.unwrap();
    (one, two)
}

#[tokio::test(start_paused = true)]
async fn it_serves_alone_and_then_everywhere() {
    let (one, two) = fleet(&Script { version: "1.1.0", ..Script::default() }).await;
    one.installs_by_name("b").await.unwrap();
    assert!(one.is_on("b") && two.is_on("a"), "whoever installs it hears as soon as it serves");
    let told = one.server.manager.plugin("hello").unwrap().reason.clone().unwrap_or_default();
    assert!(told.starts_with("1.1.0 serves on this server alone until 2"), "{told}");
    let noted = one.registry.noted();
    let canary = noted.iter().find(|happened| happened.what == "canary").expect("it is in the journal");
    assert_eq!(canary.detail["soak_s"], 360);
    // Whatever is looked at, and read, meanwhile.
    for _ in 0..29 {
        tokio::time::sleep(STEP).await;
        one.server.manager.look();
        assert!(one.is_on("b") && two.is_on("a"));
    }
    for node in [&one, &two] {
        node.comes_to("b").await;
    }
    assert_eq!(one.server.manager.plugin("hello").unwrap().reason, None);
    let generation = one.server.manager.plugin("hello").unwrap().serving.as_ref().unwrap().generation;
    tokio::time::sleep(SOAK).await;
    one.server.serves("hello", generation).await;
    assert!(two.is_on("b"));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_well_goes_back_and_nobody_else_had_it() {
    let (one, two) = fleet(&Script::default()).await;
    one.installs_by_name("b").await.unwrap();
    tokio::time::sleep(STEP * 20).await;
    assert!(one.is_on("b"));
    // Long after any other new generation is let go its own way.
    one.world.rewrite("hello", "b", |script| script.panics = 5);
    one.comes_to("a").await;
    assert_eq!(one.quarantine(), 1);
    tokio::time::sleep(SOAK * 2).await;
    assert!(one.is_on("a") && two.is_on("a"));
    assert!(!two.world.taken().iter().any(|line| line.contains("hello:b")), "the other never heard of it");
}

#[tokio::test(start_paused = true)]
async fn where_another_cannot_it_goes_back_too() {
    let (one, two) = fleet(&Script::default()).await;
    two.world.know("hello", "b", Script { start_fails: true, ..Script::default() });
    one.installs_by_name("b").await.unwrap();
    tokio::time::sleep(SOAK - STEP).await;
    assert!(one.is_on("b"));
    one.comes_to("a").await;
    let failed = one.server.manager.plugin("hello").unwrap().failed.clone().expect("it is told");
    let expected = "version 1.0.0 was not agreed on, and this server, where it served already, goes back: two: start:";
    assert!(failed.reason.starts_with(expected), "{failed:?}");
    tokio::time::sleep(SOAK).await;
    assert!(one.is_on("a") && two.is_on("a"));
    assert_eq!(one.quarantine(), 0);
    // Mended there, and installed once more.
    two.world.know("hello", "b", Script::default());
    one.installs_by_name("b").await.unwrap();
    assert!(one.is_on("b") && two.is_on("a"));
    two.comes_to("b").await;
}

#[tokio::test(start_paused = true)]
async fn a_new_generation_of_it_soaks_anew() {
    let (one, two) = fleet(&Script::default()).await;
    one.installs_by_name("b").await.unwrap();
    tokio::time::sleep(STEP * 20).await;
    one.server.reload("hello").await.unwrap();
    assert!(one.is_on("b") && two.is_on("a"));
    tokio::time::sleep(STEP * 20).await;
    assert!(one.is_on("b") && two.is_on("a"));
    two.comes_to("b").await;

    // A newer one takes its place.
    for fingerprint in ["c", "d"] {
        two.world.know("hello", fingerprint, Script::default());
        one.world.know("hello", fingerprint, Script::default());
    }
    one.installs_by_name("c").await.unwrap();
    tokio::time::sleep(STEP * 20).await;
    one.installs_by_name("d").await.unwrap();
    assert!(one.is_on("d") && two.is_on("b"));
    tokio::time::sleep(STEP * 20).await;
    assert!(one.is_on("d") && two.is_on("b"));
    two.comes_to("d").await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_meanwhile_begins_it_anew() {
    let (one, two) = fleet(&Script::default()).await;
    one.installs_by_name("b").await.unwrap();
    tokio::time::sleep(STEP * 20).await;
    one.server.manager.end().await;
    let again = Node { server: one.world.start_on(&one.registry, settings()), ..one };
    again.comes_to("b").await;
    tokio::time::sleep(STEP * 20).await;
    assert!(again.is_on("b") && two.is_on("a"));
    two.comes_to("b").await;
    assert!(again.is_on("b"));
}

#[tokio::test(start_paused = true)]
async fn who_goes_back_waits_for_nobody() {
    let (one, two) = fleet(&Script::default()).await;
    one.installs_by_name("b").await.unwrap();
    tokio::time::sleep(STEP).await;
    one.server.manager.act("hello", Act::Rollback { to: None, force: false }).await.unwrap();
    assert!(one.is_on("a") && two.is_on("a"));
    tokio::time::sleep(SOAK * 2).await;
    assert!(one.is_on("a") && two.is_on("a"));
}

#[tokio::test(start_paused = true)]
async fn the_registry_is_away_when_it_has_soaked() {
    let (one, two) = fleet(&Script::default()).await;
    one.installs_by_name("b").await.unwrap();
    one.registry.break_down(Some("it was unplugged"));
    tokio::time::sleep(SOAK * 2).await;
    assert!(one.is_on("b") && two.is_on("a"));
    one.registry.break_down(None);
    two.comes_to("b").await;
    assert!(one.is_on("b"));
}
