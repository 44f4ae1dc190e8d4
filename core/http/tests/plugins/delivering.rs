//! What the host brings to plugins beside requests of clients.

use crate::harness::{Host, Served, run};
use camlock_loader::on_thread_park;
use camlock_policy::{Body, Deliver, Delivered, Delivery, FaultKind, Publish, Undelivered};
use camlock_testing::{Fixtures, trial};
use http_body_util::BodyExt;
use std::{cell::Cell, path::PathBuf, time::Duration};

fn library() -> PathBuf {
    Fixtures::quick().library("working")
}

async fn execute(served: &Served, plugin: &str, input: &str) -> Result<Delivered, Undelivered> {
    let body = format!(r#"{{"id":"7","input":{input},"context":[1]}}"#);
    let deliveries = served.dispatch.deliveries(Some(on_thread_park));
    deliveries.deliver(plugin, Delivery::new("/execute/1", body, [3; 16])).await
}

async fn read(delivered: Result<Delivered, Undelivered>) -> (u16, Option<String>, String) {
    let (head, body) = delivered.expect("an answer").response.into_parts();
    let code = head.headers.get("x-code").map(|code| code.to_str().unwrap().to_owned());
    let body = body.collect().await.expect("a whole body").to_bytes();
    (head.status.as_u16(), code, String::from_utf8_lossy(&body).into_owned())
}

/// As many as are at it in the plugin.
async fn until_running(served: &Served, count: usize) {
    while served.text("/running").await != count.to_string() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[trial]
fn an_execution_and_what_came_of_it() {
    run(async {
        let host = Host::new();
        let served = host.serve(&library()).await;
        let done = read(execute(&served, "working", r#"{"do":"echo"}"#).await).await;
        assert_eq!(done, (200, None, r#"{"context":[1],"id":"7"}"#.to_owned()));
        let large = read(execute(&served, "working", r#"{"do":"large","bytes":3000000}"#).await).await;
        assert_eq!((large.0, large.2.len()), (200, 3_000_002));
        let failed = read(execute(&served, "working", r#"{"do":"fail"}"#).await).await;
        let told = "nothing was worked out: the disk is full".to_owned();
        assert_eq!(failed, (500, Some("failed".to_owned()), told));
        let misfit = read(execute(&served, "working", r#"{"do":"wait","milliseconds":"long"}"#).await).await;
        let told = "the input does not fit: invalid type: string \"long\", expected u64".to_owned();
        assert_eq!(misfit, (422, Some("invalid".to_owned()), told));
        match execute(&served, "working", r#"{"do":"panic"}"#).await {
            Err(Undelivered::Failed { fault, .. }) => {
                assert_eq!((fault.kind, &*fault.message), (FaultKind::Panic, "an execution panics"));
                assert!(fault.location.contains("working/src/lib.rs:"), "{fault:?}");
            }
            other => panic!("{other:?}"),
        }
        let nobody = execute(&served, "elsewhere", "{}").await.unwrap_err();
        assert_eq!(nobody, Undelivered::NotServing("there is no plugin `elsewhere`".to_owned()));
        until_running(&served, 0).await;
        served.unload_wholly().await;
    });
}

/// A plugin whose author wrote nothing that takes it says so.
#[trial]
fn what_a_plugin_does_not_take() {
    run(async {
        let host = Host::new();
        let served = host.serve(&Fixtures::quick().library("hello")).await;
        let told = "this plugin takes nothing of the kind: /execute/1".to_owned();
        let answer = read(execute(&served, "hello", "null").await).await;
        assert_eq!(answer, (404, Some("not_found".to_owned()), told));
        let deliveries = served.dispatch.deliveries(Some(on_thread_park));
        let told = "this plugin takes nothing of the kind: /news/1".to_owned();
        let answer = read(deliveries.deliver("hello", Delivery::new("/news/1", Body::empty(), [0; 16])).await).await;
        assert_eq!(answer, (404, Some("not_found".to_owned()), told));
        served.unload_wholly().await;
    });
}

/// What blocks, blocks nothing but deliveries to the same plugin: requests are answered while it does.
#[trial]
fn deliveries_that_block_hold_up_no_request() {
    run(async {
        let host = Host::new();
        let served = host.serve(&library()).await;
        let over = Cell::new(false);
        let blocking = async {
            let blocks = (0..20).map(|_| execute(&served, "working", r#"{"do":"block","milliseconds":1000}"#));
            futures_util::future::join_all(blocks).await.into_iter().for_each(|done| drop(done.expect("an answer")));
            over.set(true);
        };
        let asking = async {
            until_running(&served, 2).await;
            for _ in 0..20 {
                served.text("/running").await;
            }
            assert!(!over.get(), "they waited for what blocks");
        };
        tokio::join!(blocking, asking);
        served.unload_wholly().await;
    });
}

/// Nobody waits any more: what the plugin was at is dropped.
#[trial]
fn a_delivery_that_is_taken_back() {
    run(async {
        let host = Host::new();
        let served = host.serve(&library()).await;
        for _ in 0..5 {
            let long = execute(&served, "working", r#"{"do":"wait","milliseconds":60000}"#);
            assert!(tokio::time::timeout(Duration::from_millis(50), long).await.is_err());
            until_running(&served, 0).await;
        }
        served.unload_wholly().await;
    });
}

/// At the end of a drain what has not ended is cancelled, and says so; nothing keeps the library.
#[trial]
fn what_outlives_the_drain_is_cancelled() {
    run(async {
        let host = Host::new();
        let served = host.serve(&library()).await;
        let leaving = async {
            until_running(&served, 50).await;
            served.dispatch.publish(Vec::new());
            tokio::time::sleep(Duration::from_millis(50)).await;
            served.farewell.send_replace(true);
        };
        let longs = (0..50).map(|_| execute(&served, "working", r#"{"do":"wait","milliseconds":60000}"#));
        let (ends, ()) = tokio::join!(futures_util::future::join_all(longs), leaving);
        assert!(ends.iter().all(|end| matches!(end, Err(Undelivered::Leaving))), "{ends:?}");
        served.unload_wholly().await;
    });
}
