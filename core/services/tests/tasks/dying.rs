//! Servers that die, stand still, or lose their database, in the middle of tasks.

use crate::{
    place::{CALM, Place, QUICK, enqueue, on_both, shop, start, task, types, until},
    plugin::FakePlugin,
};
use camlock_services::{TaskQuery, TaskState};
use camlock_testing::trial;
use serde_json::json;
use std::time::{Duration, Instant, SystemTime};

#[trial]
fn what_a_dead_server_ran_runs_elsewhere() {
    on_both(async |place| {
        let plugin = FakePlugin::default();
        // A server of its own, with all that belongs to it, which ends from one moment to the next.
        let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let there = place.clone();
        let kinds = types(&["review"]);
        let (its_plugin, its_kinds) = (plugin.clone(), kinds.clone());
        let handle = dying.handle().clone();
        let queue = place.open();
        let ids: Vec<i64> = {
            let tasks = (0..10).map(|_| task("review", json!({ "wait": 3_000 }))).collect();
            queue.enqueue(&shop(), tasks).await.unwrap().iter().map(|made| made.id).collect()
        };
        let runner =
            dying.spawn(async move { start(there.open(), ("dying", QUICK), &its_kinds, &its_plugin, &handle) });
        let runner = runner.await.unwrap();
        for id in &ids {
            until(&queue, *id, TaskState::Running).await;
        }
        dying.shutdown_background();
        drop(runner);
        let died = Instant::now();
        let (_, other) = place.serve("other", &kinds, &plugin);
        for id in &ids {
            let done = until(&queue, *id, TaskState::Done).await;
            assert_eq!((done.attempt, done.failures), (2, 1));
        }
        // The silence, and what they take.
        assert!(died.elapsed() < Duration::from_secs(9), "{:?}", died.elapsed());
        assert_eq!(plugin.ledger(|ledger| ledger.overlaps.clone()), Vec::<i64>::new());
        other.end().await;
    });
}

#[trial]
fn one_that_starts_anew_goes_on_at_once() {
    on_both(async |place| {
        let (plugin, queue) = (FakePlugin::default(), place.open());
        let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (there, its_plugin, handle) = (place.clone(), plugin.clone(), dying.handle().clone());
        let runner =
            dying.spawn(async move { start(there.open(), ("same", CALM), &types(&["review"]), &its_plugin, &handle) });
        let runner = runner.await.unwrap();
        let id = enqueue(&queue, task("review", json!({ "wait": 500 }))).await;
        until(&queue, id, TaskState::Running).await;
        dying.shutdown_background();
        drop(runner);
        let died = Instant::now();
        let (_, again) = place.serve_many("same", &types(&["review"]), &plugin);
        assert_eq!(until(&queue, id, TaskState::Done).await.attempt, 2);
        assert!(died.elapsed() < CALM.silence / 2, "it is not waited for its silence: {:?}", died.elapsed());
        again.end().await;
    });
}

#[trial]
fn connections_that_break_lose_nothing() {
    on_both(async |place| {
        let plugin = FakePlugin::default();
        let kinds = types(&["review"]);
        let (queue, one) = place.serve("one", &kinds, &plugin);
        let (_, two) = place.serve("two", &kinds, &plugin);
        let mut ids = Vec::new();
        for round in 0..20 {
            let tasks: Vec<_> = (0..25).map(|_| task("review", json!({ "wait": 5 }))).collect();
            match queue.enqueue(&shop(), tasks).await {
                Ok(made) => ids.extend(made.iter().map(|made| made.id)),
                Err(error) => assert_eq!(error.code, camlock_policy::AskErrorCode::Unavailable, "{error}"),
            }
            if round % 5 == 4 {
                place.cut();
            }
        }
        for id in &ids {
            until(&queue, *id, TaskState::Done).await;
        }
        assert!(ids.len() >= 300, "{}", ids.len());
        assert_eq!(plugin.ledger(|ledger| ledger.overlaps.clone()), Vec::<i64>::new());
        one.end().await;
        two.end().await;
    });
}

#[trial]
fn one_that_cannot_be_heard_of_cancels_its_own() {
    on_both(async |place| {
        let plugin = FakePlugin::default();
        let (queue, runner) = place.serve("one", &types(&["review"]), &plugin);
        let id = enqueue(&queue, task("review", json!({ "wait": 2_500 }))).await;
        until(&queue, id, TaskState::Running).await;
        let held = place.hold_heartbeats(Duration::from_millis(2_500));
        let begun = Instant::now();
        while plugin.ledger(|ledger| !ledger.running.is_empty()) {
            assert!(begun.elapsed() < QUICK.silence, "before others may claim it");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        held.join().unwrap();
        let done = until(&queue, id, TaskState::Done).await;
        assert_eq!((done.attempt, done.failures), (2, 0), "it was taken back, and costs nothing");
        runner.end().await;
    });
}

/// In PostgreSQL there is one clock for all; in a file two servers of one machine may be told different times by a test alone.
#[trial]
fn clocks_that_differ_give_nothing_up() {
    on_both(async |place: std::sync::Arc<Place>| {
        let plugin = FakePlugin::default();
        let kinds = types(&["review"]);
        let late = place.open().with_clock(std::sync::Arc::new(|| SystemTime::now() - Duration::from_millis(500)));
        let one = start(late.clone(), ("late", QUICK), &kinds, &plugin, &tokio::runtime::Handle::current());
        let (queue, two) = place.serve("early", &kinds, &plugin);
        let tasks = (0..20).map(|_| task("review", json!({ "wait": 2_000 }))).collect();
        queue.enqueue(&shop(), tasks).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let all = queue.list(TaskQuery { most: 100, ..TaskQuery::default() }).await.unwrap();
        assert!(all.tasks.iter().all(|task| task.state == TaskState::Done && task.attempt == 1), "{:?}", all.tasks);
        one.end().await;
        two.end().await;
    });
}
