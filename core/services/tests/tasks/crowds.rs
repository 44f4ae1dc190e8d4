//! Many tasks.

use crate::{
    place::{CALM, Place, enqueue, on_both, shop, task, types, until},
    plugin::FakePlugin,
};
use camlock_services::{OfferedTask, RunnerSettings, TaskQuery, TaskState};
use camlock_testing::trial;
use serde_json::json;
use std::time::{Duration, Instant};

#[trial]
fn a_hundred_thousand_wait() {
    on_both(async |place| {
        let queue = place.open();
        for _ in 0..100 {
            let tasks = (0..1_000).map(|_| task("review", json!({ "wait": 1 }))).collect();
            queue.enqueue(&shop(), tasks).await.unwrap();
        }
        for _ in 0..10 {
            let delay = Duration::from_secs(3_600);
            let tasks = (0..1_000).map(|_| OfferedTask { delay, priority: 9, ..task("review", json!({})) }).collect();
            queue.enqueue(&shop(), tasks).await.unwrap();
        }
        assert_eq!(queue.counts().await.unwrap()["shop"].waiting, 110_000);
        let plugin = FakePlugin::default();
        let (_, runner) = place.serve_many("one", &types(&["review"]), &plugin);
        tokio::time::sleep(Duration::from_millis(500)).await;
        // What is urgent is begun soon, whatever waits, and others' lists are there.
        let begun = Instant::now();
        let urgent = enqueue(&queue, OfferedTask { priority: 10, ..task("review", json!({})) }).await;
        until(&queue, urgent, TaskState::Done).await;
        println!("an urgent one after {:?}", begun.elapsed());
        assert!(queue.counts().await.unwrap()["shop"].waiting > 50_000, "most of what came before it still waits");
        let page = queue.list(TaskQuery { most: 50, state: Some(TaskState::Waiting), ..TaskQuery::default() }).await;
        assert!(page.unwrap().more);
        runner.end().await;
        assert_eq!(plugin.ledger(|ledger| ledger.overlaps.clone()), Vec::<i64>::new());
    });
}

#[trial]
fn what_waits_again_comes_before_what_is_new() {
    on_both(async |place| {
        let queue = place.open();
        let early = enqueue(&queue, task("review", json!({}))).await;
        queue.cancel(early).await.unwrap();
        let first = enqueue(&queue, task("review", json!({}))).await;
        for _ in 0..30 {
            queue.enqueue(&shop(), (0..1_000).map(|_| task("review", json!({}))).collect()).await.unwrap();
        }
        let plugin = FakePlugin::default();
        let (_, runner) = place.serve_many("one", &types(&["review"]), &plugin);
        until(&queue, first, TaskState::Done).await;
        // By now it is claimed behind this one.
        queue.retry(early).await.unwrap();
        until(&queue, early, TaskState::Done).await;
        assert!(queue.counts().await.unwrap()["shop"].waiting > 1_000, "most of what came after it still waits");
        runner.end().await;
    });
}

#[trial]
fn ten_thousand_are_done_once_each() {
    on_both(async |place| {
        let plugin = FakePlugin::default();
        let kinds = types(&["review"]);
        let (queue, one) = place.serve_many("one", &kinds, &plugin);
        let (_, two) = place.serve_many("two", &kinds, &plugin);
        let begun = Instant::now();
        for _ in 0..10 {
            let tasks = (0..1_000).map(|_| task("review", json!({}))).collect();
            queue.enqueue(&shop(), tasks).await.unwrap();
        }
        while queue.counts().await.unwrap().contains_key("shop") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("10,000 tasks in {:?}", begun.elapsed());
        one.end().await;
        two.end().await;
        let (done, twice) = plugin.ledger(|ledger| (ledger.done.len(), ledger.done.values().any(|times| *times > 1)));
        assert_eq!((done, twice), (10_000, false));
    });
}

#[trial]
fn at_rest_a_task_begins_at_once() {
    on_both(async |place| {
        let plugin = FakePlugin::default();
        // Who is not told of a task finds it after a minute.
        let told = RunnerSettings { poll: Duration::from_secs(60), ..CALM };
        let (queue, runner) = place.serve_as(("one", told), &types(&["review"]), &plugin);
        let first = enqueue(&queue, task("review", json!({}))).await;
        until(&queue, first, TaskState::Done).await;
        // In PostgreSQL another server enqueues, and its word is heard.
        let elsewhere = if matches!(*place, Place::Postgres(_)) { place.open() } else { queue.clone() };
        let mut waits = Vec::new();
        for number in 0..100 {
            tokio::time::sleep(Duration::from_millis(20 + number % 7)).await;
            let begun = Instant::now();
            let before = plugin.ledger(|ledger| ledger.begun.len());
            enqueue(&elsewhere, task("review", json!({}))).await;
            while plugin.ledger(|ledger| ledger.begun.len()) == before {
                assert!(begun.elapsed() < Duration::from_secs(50), "nobody is told of it");
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            waits.push(begun.elapsed());
        }
        waits.sort_unstable();
        println!("begun after {:?} in the middle, {:?} of 99 in 100", waits[50], waits[98]);
        runner.end().await;
    });
}
