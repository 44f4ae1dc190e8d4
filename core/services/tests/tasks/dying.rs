//! Servers that die, stand still, or lose their database, in the middle of tasks.

use crate::{
    place::{CALM, Place, STEADY, enqueue, on_both, shop, start, task, types, until},
    plugin::FakePlugin,
};
use camlock_services::TaskState;
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
            dying.spawn(async move { start(there.open(), ("dying", STEADY), &its_kinds, &its_plugin, &handle) });
        let runner = runner.await.unwrap();
        for id in &ids {
            until(&queue, *id, TaskState::Running).await;
        }
        dying.shutdown_background();
        drop(runner);
        let (_, other) = place.serve("other", &kinds, &plugin);
        // After its silence, long before an attempt has taken longer than it may.
        for id in &ids {
            let done = until(&queue, *id, TaskState::Done).await;
            assert_eq!((done.attempt, done.failures), (2, 1));
        }
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
        let id = enqueue(&queue, task("review", json!({ "wait": 10_000 }))).await;
        until(&queue, id, TaskState::Running).await;
        let held = place.hold_heartbeats(STEADY.silence);
        let begun = Instant::now();
        while plugin.ledger(|ledger| !ledger.running.is_empty()) {
            assert!(begun.elapsed() < STEADY.silence, "before others may claim it");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        held.join().unwrap();
        let done = until(&queue, id, TaskState::Done).await;
        assert_eq!((done.attempt, done.failures), (2, 0), "it was taken back, and costs nothing");
        runner.end().await;
    });
}

/// In PostgreSQL there is one clock for all. In a file these are two servers of one machine, whose clock is set while one of them runs:
/// that is no more than they may be silent.
#[trial]
fn clocks_five_seconds_apart_give_nothing_up() {
    on_both(async |place: std::sync::Arc<Place>| {
        let plugin = FakePlugin::default();
        let kinds = types(&["review"]);
        let apart = Duration::from_secs(5);
        let late = place.open().with_clock(std::sync::Arc::new(move || SystemTime::now() - apart));
        let one = start(late.clone(), ("late", STEADY), &kinds, &plugin, &tokio::runtime::Handle::current());
        let (queue, two) = place.serve("early", &kinds, &plugin);
        // Longer than what is left of the silence.
        let tasks = (0..20).map(|_| task("review", json!({ "wait": 6_000 }))).collect();
        let made = queue.enqueue(&shop(), tasks).await.unwrap();
        for one in made {
            let done = until(&queue, one.id, TaskState::Done).await;
            assert_eq!((done.attempt, done.failures), (1, 0), "{done:?}");
        }
        assert_eq!(plugin.ledger(|ledger| ledger.overlaps.clone()), Vec::<i64>::new());
        one.end().await;
        two.end().await;
    });
}
