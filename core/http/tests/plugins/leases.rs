//! What keeps a generation, told in words, and wakers of a plugin that the host still has when the plugin is gone.

use crate::{
    direct::{call, goes, held_by, until, visit},
    harness::{Host, run},
};
use bytes::Bytes;
use camlock_policy::{Body, Call, Ending, Instance, Loaded};
use camlock_testing::{Fixtures, trial};
use http::Request;
use http_body::Frame;
use http_body_util::BodyExt;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::oneshot;

async fn load() -> (Host, Loaded) {
    let host = Host::new();
    let loaded = host.load(&Fixtures::quick().library("faults")).await;
    (host, loaded)
}

/// How many requests have got to the point where they wait.
async fn begun(instance: &Arc<dyn Instance>) -> u64 {
    let answer = call(instance, "/counts").await.expect("an answer");
    let body = answer.response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice::<[u64; 3]>(&body).expect("three numbers")[0]
}

/// A body that has nothing, and ends when it is told to.
struct EndsWhenTold(oneshot::Receiver<()>);

impl http_body::Body for EndsWhenTold {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll(context).map(|_| None)
    }
}

#[trial]
fn a_handler_that_blocks() {
    run(async {
        let (_host, Loaded { instance, leases, mut ending }) = load().await;
        let (last_bytes, bytes) = oneshot::channel();
        let body = Body::stream(EndsWhenTold(bytes));
        let blocked = tokio::spawn(instance.call(Call::new(Request::post("/block").body(body).unwrap())));
        // Others are served meanwhile.
        until("it blocks", async || begun(&instance).await == 1).await;
        visit(&instance, "/fine").await;
        drop(instance);
        held_by(&leases, "a request is still being handled").await;
        assert!(!blocked.is_finished());
        assert_eq!(*ending.borrow(), Ending::Alive);
        last_bytes.send(()).unwrap();
        let answer = blocked.await.unwrap().unwrap();
        assert_eq!(answer.response.into_body().collect().await.unwrap().to_bytes(), "at last");
        goes(&mut ending).await;
    });
}

#[trial]
fn a_body_and_bytes_in_hand() {
    run(async {
        let (_host, Loaded { instance, leases, mut ending }) = load().await;
        let mut body = call(&instance, "/endless/3").await.unwrap().response.into_body();
        drop(instance);
        held_by(&leases, "a response body is still being read").await;
        let bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
        held_by(&leases, "a response body is still being read; bytes of the plugin are still being sent").await;
        drop(body);
        held_by(&leases, "bytes of the plugin are still being sent").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(*ending.borrow(), Ending::Alive);
        assert!(bytes.iter().all(|byte| *byte == b'x'), "they are still there");
        drop(bytes);
        goes(&mut ending).await;
    });
}

/// Calls, waits until the handler waits, cancels, and sees the library go.
async fn cancel_and_unload(loaded: Loaded, request: Request<Body>) {
    let Loaded { instance, leases, mut ending } = loaded;
    let before = begun(&instance).await;
    let calling = tokio::spawn(instance.call(Call::new(request)));
    until("it waits", async || begun(&instance).await > before).await;
    calling.abort();
    let _ = calling.await;
    drop(instance);
    goes(&mut ending).await;
    assert_eq!(leases.describe_holders(), "");
}

#[trial]
fn a_timer_with_a_waker_of_the_plugin() {
    run(async {
        for forget in [false, true] {
            let (_host, loaded) = load().await;
            visit(&loaded.instance, "/wakes/sleep/10/false").await;
            let path = format!("/wakes/sleep/700/{forget}");
            cancel_and_unload(loaded, Request::get(path).body(Body::empty()).unwrap()).await;
            // The timer fires now, if it is still there: it must not wake what is no more.
            tokio::time::sleep(Duration::from_millis(800)).await;
        }
    });
}

/// A body that never has anything, and gives away who waits for it.
struct Stored(Arc<Mutex<Vec<Waker>>>);

impl http_body::Body for Stored {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.lock().unwrap().push(context.waker().clone());
        Poll::Pending
    }
}

#[trial]
fn a_body_with_a_waker_of_the_plugin() {
    run(async {
        // Read by a future that is dropped, by one that is forgotten, and held without ever being read.
        for (path, waits) in [("/wakes/read/false", true), ("/wakes/read/true", true), ("/hold", false)] {
            let (_host, loaded) = load().await;
            let wakers = Arc::new(Mutex::new(Vec::new()));
            let body = Body::stream(Stored(wakers.clone()));
            let request = Request::post(path).body(body).unwrap();
            cancel_and_unload(loaded, request).await;
            let wakers = std::mem::take(&mut *wakers.lock().unwrap());
            assert_eq!(wakers.is_empty(), !waits, "{path}");
            for waker in wakers {
                waker.wake_by_ref();
                waker.wake();
            }
        }
    });
}

#[trial]
fn a_body_that_is_kept_for_good() {
    run(async {
        let (_host, Loaded { instance, mut ending, .. }) = load().await;
        let wakers = Arc::new(Mutex::new(Vec::new()));
        let request = Request::post("/keep").body(Body::stream(Stored(wakers.clone()))).unwrap();
        assert!(instance.call(Call::new(request)).await.unwrap().response.status().is_success());
        drop(instance);
        goes(&mut ending).await;
        assert_eq!(Arc::strong_count(&wakers), 1, "it went with the plugin");
    });
}
