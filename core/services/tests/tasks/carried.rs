//! The queue moves from either database into either: every task as it was.

use crate::{
    place::{Place, enqueue, shop, task, types, until},
    plugin::FakePlugin,
};
use camlock_policy::AskErrorCode;
use camlock_services::{OfferedTask, TaskQuery, TaskState, carry_tasks};
use camlock_testing::trial;
use serde_json::json;
use std::time::Duration;

#[trial]
fn every_task_is_as_it_was() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (from, to) in [(Place::sqlite(), Place::postgres()), (Place::postgres(), Place::sqlite())] {
        runtime.block_on(async {
            let plugin = FakePlugin::default();
            let (queue, runner) = from.serve("one", &types(&["review"]), &plugin);
            let done = enqueue(&queue, task("review", json!({ "x": "\u{fc}ber \"it\"" }))).await;
            let dead = enqueue(&queue, task("review", json!({ "fail": 9 }))).await;
            until(&queue, done, TaskState::Done).await;
            until(&queue, dead, TaskState::Dead).await;
            runner.end().await;
            let tasks = (0..450).map(|number| OfferedTask {
                priority: number % 7,
                delay: Duration::from_secs(u64::try_from(number % 2).unwrap() * 3_600),
                unique: Some(format!("key {number}")),
                ..task("review", json!({ "number": number }))
            });
            queue.enqueue(&shop(), tasks.collect()).await.unwrap();
            let all = || TaskQuery { most: 1_000, ..TaskQuery::default() };
            let before = queue.list(all()).await.unwrap();
            let there = to.open();
            assert_eq!(carry_tasks(&queue, &there).await.unwrap(), 452);
            assert_eq!(there.list(all()).await.unwrap(), before);
            // Numbers go on, and what waits is done there.
            let next = enqueue(&there, OfferedTask { priority: 9, ..task("review", json!({})) }).await;
            assert!(next > before.tasks[0].id);
            let (_, runner) = to.serve("two", &types(&["review"]), &plugin);
            until(&there, next, TaskState::Done).await;
            runner.end().await;
            assert_eq!(carry_tasks(&queue, &there).await.unwrap_err().code, AskErrorCode::Conflict);
        });
    }
}
