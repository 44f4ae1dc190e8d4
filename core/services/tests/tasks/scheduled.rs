//! Schedules: each time is run once, whichever server sees it first.

use crate::{
    place::{CALM, on_both, shop},
    plugin::FakePlugin,
};
use camlock_policy::Schedule;
use camlock_services::{KnownTasks, TakenTask, TaskQueue, TaskRunner};
use camlock_testing::trial;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::runtime::Handle;

fn run(queue: TaskQueue, node: &str, schedule: Value, plugin: &FakePlugin) -> TaskRunner {
    let schedule: Schedule = serde_json::from_value(schedule).unwrap();
    let known = KnownTasks::default();
    known.replace(BTreeMap::from([(shop(), vec![TakenTask::of_schedule(schedule)])]));
    TaskRunner::start(queue, known, Arc::new(plugin.clone()), (node.to_owned(), CALM), &Handle::current())
}

#[trial]
fn each_time_is_run_once_by_one_server() {
    on_both(async |place| {
        let plugin = FakePlugin::default();
        let every = json!({ "name": "tick", "every": "1s" });
        let runners = ["one", "two", "three"].map(|node| run(place.open(), node, every.clone(), &plugin));
        tokio::time::sleep(Duration::from_millis(5_500)).await;
        for runner in runners {
            runner.end().await;
        }
        let due = plugin.ledger(|ledger| ledger.due.clone());
        assert!((4..=6).contains(&due.len()), "{due:?}");
        assert!(due.windows(2).all(|two| two[1] == two[0] + 1_000), "each once, and none left out: {due:?}");
        let kept = place.open().schedules("shop").await.unwrap();
        assert_eq!((kept.len(), kept[0].times.as_str(), kept[0].last), (1, "every 1000 ms", due.last().copied()));
        assert_eq!(kept[0].next, due.last().map(|last| last + 1_000));
        // Those of another build are others: they begin anew.
        let again = run(place.open(), "one", json!({ "name": "tick", "cron": "0 0 1 1 *" }), &plugin);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        again.end().await;
        let kept = place.open().schedules("shop").await.unwrap();
        assert_eq!((kept[0].times.as_str(), plugin.ledger(|ledger| ledger.due.len())), ("0 0 1 1 * UTC", due.len()));
    });
}
