//! What becomes of tasks, and what holds for them.

use crate::{
    place::{enqueue, on_both, shop, task, types, until, until_it},
    plugin::FakePlugin,
};
use camlock_policy::{AskErrorCode, TaskRate, TaskType};
use camlock_services::{OfferedTask, TaskQuery, TaskState};
use camlock_testing::trial;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[trial]
fn tasks_end_as_their_plugin_says() {
    on_both(async |place| {
        let plugin = FakePlugin::default();
        let (queue, runner) = place.serve("one", &types(&["review"]), &plugin);
        let good = enqueue(&queue, task("review", json!({ "x": 1 }))).await;
        let done = until(&queue, good, TaskState::Done).await;
        assert_eq!((done.result.as_deref(), done.attempt, done.failures), (Some(r#"{"attempt":1}"#), 1, 0));
        assert!(done.ended >= done.begun && done.begun >= Some(done.enqueued), "{done:?}");
        // It fails twice, and is done then.
        let again = enqueue(&queue, task("review", json!({ "fail": 2 }))).await;
        let done = until(&queue, again, TaskState::Done).await;
        assert_eq!((done.attempt, done.failures, done.error), (3, 2, None));
        // As often as it may.
        let bad = enqueue(&queue, task("review", json!({ "fail": 3 }))).await;
        let dead = until(&queue, bad, TaskState::Dead).await;
        assert_eq!((dead.failures, dead.error.as_deref()), (3, Some("the disk is full")));
        // An operator has it tried again: it is the fourth attempt, and succeeds.
        assert_eq!(queue.retry(bad).await.unwrap().unwrap().failures, 0);
        assert_eq!(until(&queue, bad, TaskState::Done).await.attempt, 4);
        assert_eq!(queue.retry(bad).await.unwrap_err().code, AskErrorCode::Conflict);
        assert_eq!(queue.retry(1 << 40).await.unwrap(), None);
        for (input, told) in [
            (json!({ "do": "panic" }), "it panics"),
            (json!({ "do": "garbage" }), "its result is no JSON: "),
            (json!({ "do": "invalid" }), "the input does not fit: it is too long"),
        ] {
            let id = enqueue(&queue, task("review", input.clone())).await;
            let dead = until(&queue, id, TaskState::Dead).await;
            assert!(dead.error.as_deref().unwrap().starts_with(told), "{dead:?}");
            // What cannot get better is not tried again.
            assert_eq!(dead.failures, if input["do"] == "invalid" { 1 } else { 3 }, "{dead:?}");
        }
        let slow =
            OfferedTask { time_limit: Some(Duration::from_millis(50)), ..task("review", json!({ "wait": 60_000 })) };
        let slow = enqueue(&queue, slow).await;
        assert_eq!(until(&queue, slow, TaskState::Dead).await.error.as_deref(), Some("it took longer than 0.05 s"));
        runner.end().await;
        assert_eq!(runner.counts()["shop"].done, 3);
        assert_eq!(plugin.ledger(|ledger| ledger.overlaps.clone()), Vec::<i64>::new());
    });
}

#[trial]
fn what_is_more_urgent_comes_first_and_what_is_not_due_later() {
    on_both(async |place| {
        let queue = place.open();
        let mut ids = Vec::new();
        for (priority, delay) in [(0, 0), (5, 0), (0, 0), (5, 900), (-5, 0)] {
            let delay = Duration::from_millis(delay);
            ids.push(enqueue(&queue, OfferedTask { priority, delay, ..task("review", json!({})) }).await);
        }
        let begun = Instant::now();
        let plugin = FakePlugin::default();
        let one = TaskType { concurrency: Some(1), ..types(&["review"]).remove(0) };
        let (_, runner) = place.serve("one", &[one], &plugin);
        until(&queue, ids[3], TaskState::Done).await;
        until(&queue, ids[4], TaskState::Done).await;
        assert!(begun.elapsed() > Duration::from_millis(500), "{:?}", begun.elapsed());
        assert_eq!(plugin.ledger(|ledger| ledger.begun.clone()), [ids[1], ids[0], ids[2], ids[4], ids[3]]);
        runner.end().await;
    });
}

#[trial]
fn more_than_may_wait_are_refused() {
    on_both(async |place| {
        let queue = place.open().with_most_waiting(10);
        let later = OfferedTask { delay: Duration::from_secs(60), ..task("review", json!({})) };
        queue.enqueue(&shop(), vec![later; 4]).await.unwrap();
        queue.enqueue(&shop(), vec![task("review", json!({})); 5]).await.unwrap();
        let two = || vec![task("review", json!({})); 2];
        let refused = queue.enqueue(&shop(), two()).await.unwrap_err();
        assert_eq!(refused.code, AskErrorCode::Unavailable);
        assert!(refused.message.starts_with("9 tasks of `shop` wait already, and 10 may"), "{}", refused.message);
        assert_eq!(queue.counts().await.unwrap()["shop"].waiting, 9, "all of them or none");
        queue.enqueue(&shop(), vec![task("review", json!({}))]).await.unwrap();
        // Another plugin has room of its own.
        queue.enqueue(&"other".into(), two()).await.unwrap();
        // Another server has not counted yet, and does.
        let other = place.open().with_most_waiting(10);
        assert_eq!(other.enqueue(&shop(), two()).await.unwrap_err().code, AskErrorCode::Unavailable);
        // Once some are done there is room again.
        let plugin = FakePlugin::default();
        let (_, runner) = place.serve("one", &types(&["review"]), &plugin);
        while queue.enqueue(&shop(), two()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        runner.end().await;
    });
}

#[trial]
fn there_is_one_with_a_key() {
    on_both(async |place| {
        let queue = place.open();
        let keyed = || OfferedTask { unique: Some("pr-7".to_owned()), ..task("review", json!({})) };
        let first = queue.enqueue(&shop(), vec![keyed(), keyed()]).await.unwrap();
        assert_eq!((first[0].id, first[0].is_new, first[1].is_new), (first[1].id, true, false));
        let other = queue.enqueue(&"other".into(), vec![keyed()]).await.unwrap();
        assert!(other[0].is_new, "of another plugin");
        let cancelled = queue.cancel(first[0].id).await.unwrap().unwrap();
        assert_eq!((cancelled.state, cancelled.ended.is_some()), (TaskState::Cancelled, true));
        let second = queue.enqueue(&shop(), vec![keyed()]).await.unwrap();
        assert!(second[0].is_new, "the first is over");
        assert_eq!(queue.retry(first[0].id).await.unwrap_err().code, AskErrorCode::Conflict);
        // All or nothing.
        let bad = OfferedTask { priority: 5_000, ..task("review", json!({})) };
        assert_eq!(queue.enqueue(&shop(), vec![keyed(), bad]).await.unwrap_err().code, AskErrorCode::Invalid);
        let page = queue.list(TaskQuery { most: 10, plugin: Some("shop".to_owned()), ..TaskQuery::default() }).await;
        let page: Vec<_> = page.unwrap().tasks.iter().map(|task| task.id).collect();
        assert_eq!(page, [second[0].id, first[0].id]);
        assert_eq!(queue.purge(&shop()).await.unwrap(), 2);
        assert_eq!(queue.counts().await.unwrap()["other"].waiting, 1);
    });
}

#[trial]
fn one_that_runs_is_cancelled_and_tells_how_far_it_is() {
    on_both(async |place| {
        let plugin = FakePlugin::default();
        let (queue, runner) = place.serve("one", &types(&["review"]), &plugin);
        let id = enqueue(&queue, task("review", json!({ "wait": 60_000 }))).await;
        until(&queue, id, TaskState::Running).await;
        let elsewhere = place.open();
        elsewhere.cancel(id).await.unwrap();
        // Long before it ends by itself.
        until(&elsewhere, id, TaskState::Cancelled).await;
        assert!(plugin.ledger(|ledger| ledger.running.is_empty()));
        runner.end().await;
    });
}

#[trial]
fn limits_hold_for_all_servers_together() {
    on_both(async |place| {
        let plugin = FakePlugin::default();
        let few = TaskType { concurrency: Some(2), ..types(&["few"]).remove(0) };
        let rate = Some(TaskRate { count: 10, per: Duration::from_secs(1) });
        let slow = TaskType { rate, ..types(&["slow"]).remove(0) };
        let runners = ["one", "two"].map(|node| place.serve(node, &[few.clone(), slow.clone()], &plugin));
        let queue = place.open();
        let few = (0..12).map(|_| task("few", json!({ "wait": 30 }))).collect();
        for made in queue.enqueue(&shop(), few).await.unwrap() {
            until(&queue, made.id, TaskState::Done).await;
        }
        assert_eq!(plugin.ledger(|ledger| ledger.most), 2);
        // Ten at once, and then ten a second.
        let begun = Instant::now();
        let slow = (0..25).map(|_| task("slow", json!({}))).collect();
        for made in queue.enqueue(&shop(), slow).await.unwrap() {
            until(&queue, made.id, TaskState::Done).await;
        }
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(1_400) && took < Duration::from_secs(30), "{took:?}");
        for (_, runner) in runners {
            runner.end().await;
        }
    });
}

#[trial]
fn one_that_has_to_go_costs_no_attempt() {
    on_both(async |place| {
        let plugin = FakePlugin::default();
        plugin.ledger(|ledger| ledger.leaving = true);
        let (queue, runner) = place.serve("one", &types(&["review"]), &plugin);
        let id = enqueue(&queue, task("review", json!({}))).await;
        until_it(&queue, id, |task| task.attempt > 5).await;
        plugin.ledger(|ledger| ledger.leaving = false);
        let done = until(&queue, id, TaskState::Done).await;
        assert_eq!((done.failures, done.error), (0, None));
        // What still runs at the end comes back at once.
        let long = enqueue(&queue, task("review", json!({ "wait": 60_000 }))).await;
        until(&queue, long, TaskState::Running).await;
        runner.end().await;
        let back = queue.task(long).await.unwrap().unwrap();
        assert_eq!((back.state, back.failures), (TaskState::Waiting, 0));
        assert!(plugin.ledger(|ledger| ledger.running.is_empty()));
    });
}

#[trial]
fn results_are_kept_for_a_while() {
    on_both(async |place| {
        let plugin = FakePlugin::default();
        let (queue, runner) = place.serve("one", &types(&["review"]), &plugin);
        let short = OfferedTask { retention: Some(Duration::from_millis(200)), ..task("review", Value::Null) };
        let (short, long) = (enqueue(&queue, short).await, enqueue(&queue, task("review", Value::Null)).await);
        until(&queue, short, TaskState::Done).await;
        until(&queue, long, TaskState::Done).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(queue.sweep().await.unwrap(), 1);
        assert_eq!(queue.task(short).await.unwrap(), None);
        assert!(queue.task(long).await.unwrap().is_some());
        // Its number is never another's.
        assert!(enqueue(&queue, task("review", Value::Null)).await > long);
        runner.end().await;
    });
}
