//! The journal: each decision once, everything in order, nothing skipped.

use crate::world::*;
use camlock_policy::registry::{Decision, Event, EventId, EventQuery, Happened};
use camlock_testing::trial;
use serde_json::json;
use std::time::{Duration, Instant, SystemTime};

fn happened(number: u64) -> Happened {
    Happened {
        plugin: Some("alpha".to_owned()),
        generation: Some(number),
        what: "serving",
        by: "filesystem".into(),
        detail: json!({ "number": number }),
        at: SystemTime::now(),
    }
}

async fn all(node: &Node) -> Vec<Event> {
    let query = EventQuery { after: Some(EventId::default()), limit: 1_000, ..EventQuery::default() };
    node.store.archive().events(query).await.unwrap().events
}

/// Waits until there are so many events.
async fn until(node: &Node, count: usize) -> Vec<Event> {
    let began = Instant::now();
    loop {
        let events = all(node).await;
        if events.len() >= count {
            return events;
        }
        assert!(began.elapsed() < PATIENCE, "{events:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[trial(with = crate::on_each_database)]
async fn each_decision_once(world: World) {
    let node = world.open("one").await;
    node.register(&["alpha", "beta"]).await;
    node.decide("alpha", Decision { enabled: Some(false), config: Some(json!({"x": 1})), ..Decision::default() }).await;
    world.sql("UPDATE plugins SET enabled = true WHERE name = 'alpha'");
    node.registry.propose(proposal("alpha", "sources")).await.unwrap();
    node.decide("alpha", Decision { reload: true, ..Decision::default() }).await;
    node.decide("alpha", Decision { remove: true, ..Decision::default() }).await;
    world.sql("DELETE FROM plugins WHERE name = 'beta'");
    let us = Some(node.store.node().to_owned());
    let events = until(&node, 9).await;
    let told: Vec<_> =
        events.iter().map(|event| (event.plugin.as_deref().unwrap(), event.what.as_str(), event.by.as_str())).collect();
    assert_eq!(
        told,
        [
            ("alpha", "registered", "filesystem"),
            ("beta", "registered", "filesystem"),
            ("alpha", "disabled", "tester"),
            ("alpha", "configured", "tester"),
            ("alpha", "enabled", "registry"),
            ("alpha", "agreed", "filesystem"),
            ("alpha", "reload", "tester"),
            ("alpha", "removed", "tester"),
            ("beta", "deleted", "registry"),
        ]
    );
    for event in &events {
        assert_eq!(event.node, us.clone().filter(|_| event.by != camlock_policy::registry::Actor::Sql), "{event:?}");
        assert!(event.at.elapsed().unwrap_or_default() < PATIENCE);
    }
    assert_eq!(events[5].detail["digest"], agreed("sources", "1.0.0").digest.to_string());
    assert_eq!(events[5].detail["version"], "1.0.0");
}

#[trial(with = crate::on_each_database)]
async fn notes_in_order(world: World) {
    let node = world.open("one").await;
    let mut fresh = node.store.archive().fresh();
    fresh.mark_unchanged();
    for number in 0..500 {
        node.registry.note(happened(number));
    }
    fresh.changed().await.unwrap();
    let events = until(&node, 500).await;
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event.generation, Some(number as u64));
        assert_eq!(event.detail, json!({ "number": number }));
    }
    // Page by page, with ids that went through text.
    let archive = node.store.archive();
    let (mut seen, mut after) = (Vec::new(), EventId::default());
    loop {
        let query = EventQuery { after: Some(after), limit: 120, ..EventQuery::default() };
        let page = archive.events(query).await.unwrap();
        seen.extend(page.events);
        after = seen.last().unwrap().id.to_string().parse().unwrap();
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, events);
    // The newest first, and further back.
    let newest = archive.events(EventQuery { limit: 10, ..EventQuery::default() }).await.unwrap();
    assert!(newest.more && newest.events[0] == events[499] && newest.events[9] == events[490]);
    let before = Some(newest.events[9].id);
    let further = archive.events(EventQuery { before, limit: 10, ..EventQuery::default() }).await.unwrap();
    assert_eq!(further.events[0], events[489]);
    let nobody = EventQuery { plugin: Some("beta".to_owned()), limit: 10, ..EventQuery::default() };
    assert_eq!(archive.events(nobody).await.unwrap().events, []);
}

/// A number is given out before it is committed: who reads on must not pass it.
#[trial(with = crate::on_each_database)]
async fn a_late_commit(world: World) {
    let node = world.open("one").await;
    node.register(&["alpha", "beta"]).await;
    until(&node, 2).await;
    let mut late = world.session();
    if world.kind == Kind::Sqlite {
        // There is one writer at a time, so nobody is late.
        return;
    }
    late.say("BEGIN");
    late.say("UPDATE plugins SET enabled = false WHERE name = 'beta'");
    node.decide("alpha", Decision { enabled: Some(false), ..Decision::default() }).await;
    let archive = node.store.archive();
    let mut fresh = archive.fresh();
    assert_eq!(all(&node).await.len(), 2, "what may have something before it is not read yet");
    fresh.mark_unchanged();
    late.say("COMMIT");
    // Whoever follows is told, although what was waited for was noted long ago.
    tokio::time::timeout(PATIENCE, fresh.changed()).await.unwrap().unwrap();
    let events = until(&node, 4).await;
    assert_eq!(events[2].plugin.as_deref(), Some("beta"));
    assert_eq!(events[3].plugin.as_deref(), Some("alpha"));
}

#[trial(with = crate::on_each_database)]
async fn the_old_is_pruned(world: World) {
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    node.store.end().await;
    let ago = |days: u32| match world.kind {
        Kind::Sqlite => format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '-{days} days')"),
        Kind::Postgres => format!("now() - interval '{days} days'"),
    };
    for days in [31, 29] {
        world.sql(&format!(
            "INSERT INTO plugin_journal (at, what, actor) VALUES ({}, 'days-{days}', 'tester')",
            ago(days)
        ));
    }
    world.sql(&format!(
        "INSERT INTO nodes (id, host, address, version, heard_at) VALUES ('long-gone', 'x', 'x', 'x', {})",
        ago(31)
    ));
    let node = world.open("one").await;
    let began = Instant::now();
    while world.sql("SELECT count(*) FROM plugin_journal WHERE what LIKE 'days%'") != "1" {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It is shown when no transaction from before it is open any more: there may be other tests'.
    while !all(&node).await.iter().any(|event| event.what == "days-29") {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(node.store.archive().nodes().await.unwrap().len(), 1);
}

#[trial(with = crate::on_each_database)]
async fn the_end_writes_what_is_left(world: World) {
    let node = world.open("one").await;
    node.registry.note(happened(7));
    node.store.end().await;
    assert_eq!(world.sql("SELECT generation FROM plugin_journal"), "7");
}
