//! Values, conditions, limits, expiry, lists and watching.

use crate::place::Place;
use bytes::Bytes;
use camlock_policy::AskErrorCode;
use camlock_services::{
    PluginStorage, StorageAct, StorageCondition, StorageLimits, StorageOperation, StorageQuery, StorageUse,
};
use camlock_testing::trial;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Runs a test on both databases.
fn on_both<F: Future<Output = ()>>(test: impl Fn(Arc<Place>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for place in [Place::sqlite(), Place::postgres()] {
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(120), test(Arc::new(place))).await.expect("it ends");
        });
    }
}

fn shop() -> Arc<str> {
    "shop".into()
}

fn act(key: &str, condition: StorageCondition, operation: StorageOperation) -> StorageAct {
    StorageAct { key: key.to_owned(), condition, operation }
}

fn value(text: impl Into<String>) -> StorageOperation {
    StorageOperation::Put(Bytes::from(text.into()), None)
}

async fn write(storage: &PluginStorage, one: StorageAct) -> Result<u64, AskErrorCode> {
    storage.write(&shop(), vec![one]).await.map(|revisions| revisions[0]).map_err(|error| {
        assert_ne!(error.code, AskErrorCode::Unavailable, "{error}");
        error.code
    })
}

async fn text(storage: &PluginStorage, key: &str) -> Option<(String, u64)> {
    let found = storage.get(&shop(), key).await.unwrap()?;
    Some((String::from_utf8(found.bytes.to_vec()).unwrap(), found.revision))
}

use StorageCondition::{Absent, Always, Revision};

#[trial]
fn values_and_their_conditions() {
    on_both(async |place| {
        let storage = place.open(StorageLimits::default());
        assert_eq!(text(&storage, "a").await, None);
        assert_eq!(write(&storage, act("a", Absent, value("one"))).await, Ok(1));
        assert_eq!(write(&storage, act("a", Absent, value("two"))).await, Err(AskErrorCode::Conflict));
        assert_eq!(write(&storage, act("a", Revision(1), value("two"))).await, Ok(2));
        assert_eq!(text(&storage, "a").await, Some(("two".to_owned(), 2)));
        assert_eq!(write(&storage, act("a", Revision(1), StorageOperation::Delete)).await, Err(AskErrorCode::Conflict));
        assert_eq!(write(&storage, act("a", Revision(2), StorageOperation::Delete)).await, Ok(3));
        assert_eq!(write(&storage, act("a", Always, StorageOperation::Delete)).await, Ok(0));
        assert_eq!(write(&storage, act("", Always, value("x"))).await, Err(AskErrorCode::Invalid));
        assert_eq!(write(&storage, act(&"k".repeat(513), Always, value("x"))).await, Err(AskErrorCode::Invalid));
        assert_eq!(
            write(&storage, act("big", Always, value("x".repeat((1 << 20) + 1)))).await,
            Err(AskErrorCode::Limit)
        );
        assert_eq!(write(&storage, act("empty", Always, value(""))).await, Ok(4));
        assert_eq!(text(&storage, "empty").await, Some((String::new(), 4)));
        // A batch is done wholly or not at all; another plugin has values of its own.
        let batch = vec![act("b", Always, value("b")), act("empty", Absent, value("x"))];
        assert_eq!(storage.write(&shop(), batch).await.unwrap_err().code, AskErrorCode::Conflict);
        assert_eq!(text(&storage, "b").await, None);
        let batch = vec![act("b", Always, value("b")), act("empty", Revision(4), StorageOperation::Check)];
        assert_eq!(storage.write(&shop(), batch).await.unwrap(), [5, 0]);
        assert_eq!(storage.get(&"other".into(), "b").await.unwrap(), None);
        assert_eq!(storage.usage(&shop()).await.unwrap(), StorageUse { keys: 2, bytes: 7, revision: 5 });
        assert_eq!(place.open(StorageLimits::default()).purge(&shop()).await.unwrap(), 2);
        assert_eq!(storage.usage(&shop()).await.unwrap(), StorageUse { keys: 0, bytes: 0, revision: 6 });
    });
}

/// Many tasks of two servers count to a number together: none is lost.
#[trial]
fn compare_and_set_from_many_tasks() {
    on_both(async |place| {
        let mut tasks = tokio::task::JoinSet::new();
        for storage in [place.open(StorageLimits::default()), place.open(StorageLimits::default())] {
            for _ in 0..4 {
                let storage = storage.clone();
                tasks.spawn(async move {
                    for _ in 0..10 {
                        loop {
                            let (count, condition) = match text(&storage, "count").await {
                                Some((count, revision)) => (count.parse::<u64>().unwrap(), Revision(revision)),
                                None => (0, Absent),
                            };
                            if write(&storage, act("count", condition, value((count + 1).to_string()))).await.is_ok() {
                                break;
                            }
                        }
                    }
                });
            }
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(text(&place.open(StorageLimits::default()), "count").await.unwrap(), ("80".to_owned(), 80));
    });
}

#[trial]
fn limits_hold_whoever_writes() {
    on_both(async |place| {
        let limits = StorageLimits { keys: 20, bytes: 1 << 20 };
        let mut tasks = tokio::task::JoinSet::new();
        for server in 0..2 {
            let storage = place.open(limits);
            for task in 0..3 {
                let storage = storage.clone();
                tasks.spawn(async move {
                    let mut good = 0;
                    for number in 0..10 {
                        let key = format!("{server} {task} {number}");
                        match write(&storage, act(&key, Always, value("x"))).await {
                            Ok(_) => good += 1,
                            Err(code) => assert_eq!(code, AskErrorCode::Limit),
                        }
                    }
                    good
                });
            }
        }
        let good: usize = tasks.join_all().await.into_iter().sum();
        assert_eq!(good, 20);
        assert_eq!(place.open(limits).usage(&shop()).await.unwrap().keys, 20);
    });
}

#[trial]
fn what_has_expired_is_not_there() {
    on_both(async |place| {
        let storage = place.open(StorageLimits { keys: 1, bytes: 100 });
        let short = StorageOperation::Put(Bytes::from_static(b"x"), Some(Duration::from_millis(1)));
        write(&storage, act("short", Always, short)).await.unwrap();
        while text(&storage, "short").await.is_some() {
            tokio::task::yield_now().await;
        }
        assert!(storage.list(&shop(), StorageQuery::default()).await.unwrap().keys.is_empty());
        // Room is made of it.
        write(&storage, act("other", Absent, value("y"))).await.unwrap();
        assert_eq!(storage.usage(&shop()).await.unwrap().keys, 1);
    });
}

#[trial]
fn what_has_expired_goes_though_nobody_asks() {
    on_both(async |place| {
        let storage = place.open(StorageLimits::default());
        storage.sweep_everything().await.unwrap();
        let short = || StorageOperation::Put(Bytes::from_static(b"x"), Some(Duration::from_millis(1)));
        let many = (0..1500).map(|number| act(&format!("short/{number}"), Always, short()));
        for some in many.collect::<Vec<_>>().chunks(500) {
            storage.write(&shop(), some.to_vec()).await.unwrap();
        }
        write(&storage, act("stays", Always, value("y"))).await.unwrap();
        while text(&storage, "short/1499").await.is_some() {
            tokio::task::yield_now().await;
        }
        storage.sweep_everything().await.unwrap();
        assert_eq!(storage.usage(&shop()).await.unwrap().keys, 1);
    });
}

#[trial]
fn lists_go_on_while_others_write() {
    on_both(async |place| {
        let storage = place.open(StorageLimits::default());
        let keys: Vec<String> = (0..50).map(|number| format!("a/{number:03}")).collect();
        let batch = keys.iter().map(|key| act(key, Always, value(key.clone()))).collect();
        storage.write(&shop(), batch).await.unwrap();
        write(&storage, act("b", Always, value("b"))).await.unwrap();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let query = StorageQuery { prefix: "a/".to_owned(), after, most: 7, values: true };
            let page = storage.list(&shop(), query).await.unwrap();
            seen.extend(page.keys.into_iter().map(|key| {
                assert_eq!(key.value.as_deref(), Some(key.key.as_bytes()));
                key.key
            }));
            write(&storage, act("a", Always, value("before all"))).await.unwrap();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, keys);
    });
}

/// Connections are cut meanwhile: what a watch tells comes to what is there.
#[trial]
fn a_watch_misses_nothing() {
    on_both(async |place| {
        let (here, there) = (place.open(StorageLimits::default()), place.open(StorageLimits::default()));
        let (_, mut watch) = here.watch(&shop(), "w/", None).await.unwrap();
        let writing = tokio::spawn({
            let place = place.clone();
            async move {
                for number in 0..60 {
                    if number == 30 {
                        place.cut();
                    }
                    let operation = if number % 3 == 2 { StorageOperation::Delete } else { value("x") };
                    let one = act(&format!("w/{}", number % 7), Always, operation);
                    // What was not acknowledged may have been done, or not.
                    let _ = there.write(&shop(), vec![one]).await;
                }
                while there.write(&shop(), vec![act("w/end", Always, value("x"))]).await.is_err() {}
                there
            }
        });
        let (mut told, mut after) = (BTreeMap::new(), 0);
        while !told.contains_key("w/end") {
            match watch.next().await {
                Ok(changes) => {
                    for change in changes {
                        assert!(change.revision > after, "in their order");
                        after = change.revision;
                        if change.deleted {
                            told.remove(&change.key);
                        } else {
                            told.insert(change.key, change.revision);
                        }
                    }
                }
                // A reader goes on from where it was.
                Err(error) => {
                    assert_eq!(error.code, AskErrorCode::Unavailable, "{error}");
                    watch = here.watch(&shop(), "w/", Some(after)).await.unwrap().1;
                }
            }
        }
        let there = writing.await.unwrap();
        let all = there.list(&shop(), StorageQuery { most: 100, ..StorageQuery::default() }).await.unwrap();
        let all: BTreeMap<_, _> = all.keys.into_iter().map(|key| (key.key, key.revision)).collect();
        assert_eq!(told, all);
    });
}
