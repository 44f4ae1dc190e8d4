//! Handlers that misbehave: the client is answered or cut off properly, the operator reads why, everybody else is served on,
//! and the plugin can be unloaded all the same.

use crate::{
    capture::{self, Record},
    direct::{goes, until},
    harness::{Answer, Host, Served, run},
};
use bytes::Bytes;
use camlock_policy::FaultKind;
use camlock_testing::{Fixtures, trial};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::time::Duration;

/// Serves a fixture, runs a test against it, sees that it still serves, and expects the library to be gone afterwards.
fn with_plugin<F: Future<Output = Served>>(name: &str, test: impl FnOnce(Served) -> F) {
    run(async {
        let host = Host::new();
        let served = test(host.serve(&Fixtures::quick().library(name)).await).await;
        assert!(served.text("/fine").await.starts_with("fine"));
        let mut ending = served.ending.clone();
        served.unload().await;
        goes(&mut ending).await;
    });
}

/// The one problem document that an answer is.
fn problem(answer: &Answer) -> Value {
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    serde_json::from_slice(answer.body()).expect("JSON")
}

async fn recorded(message: &str) -> Record {
    until(message, async || !capture::records(message).is_empty()).await;
    capture::records(message).remove(0)
}

/// What the operator reads of a panic.
async fn told_of_panic(message: &str, file: &str, function: &str) -> Record {
    let record = recorded(message).await;
    assert_eq!((record["plugin"].as_str(), record["level"].as_str()), ("faults", "ERROR"), "{record:?}");
    assert!(record["location"].contains(&format!("{file}:")), "{record:?}");
    assert!(record["backtrace"].contains(function), "no {function} in {}", record["backtrace"]);
    record
}

/// `[begun, dropped, read]`
async fn counts(served: &Served) -> [u64; 3] {
    serde_json::from_str(&served.text("/counts").await).expect("three numbers")
}

/// Sends a request and goes away once its handler runs.
async fn leave_behind(served: &Served, request: Request<Full<Bytes>>) {
    let [before, ..] = counts(served).await;
    tokio::select! {
        _ = served.send(request) => panic!("nobody expected an answer"),
        () = until("it is begun", async || counts(served).await[0] > before) => {}
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).expect("a request")
}

#[trial]
fn panics_in_handlers() {
    with_plugin("faults", |served| async {
        for (path, message, function) in [
            ("/panic/str", "a plain panic", "faults::panics::str"),
            ("/panic/string", "a formatted panic about 3", "faults::panics::deep_inside_the_plugin"),
            ("/panic/payload", "the panic carried no text", "faults::panics::payload"),
            ("/panic/late", "a panic after an await", "faults::panics::late"),
        ] {
            let answer = served.get(path).await;
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
            let expected = json!({
                "type": "about:blank", "title": "Internal Server Error", "status": 500, "plugin": "faults",
                "detail": "the plugin panicked while it handled this request",
            });
            assert_eq!(problem(&answer), expected);
            told_of_panic(message, "panics.rs", function).await;
            assert_eq!(served.text("/fine").await, "fine");
        }
        served
    });
}

#[trial]
fn a_panic_while_cancelled() {
    with_plugin("faults", |served| async {
        let _ = tokio::time::timeout(Duration::from_millis(100), served.get("/panic/cancelled")).await;
        let message = "a panic while a request is cancelled";
        let record = told_of_panic(message, "panics.rs", "faults::panics::cancelled").await;
        assert_eq!(record["place"], "while dropping a request");
        served
    });
}

#[trial]
fn panics_in_bodies() {
    with_plugin("faults", |served| async {
        let answer = served.open(get("/panic/body-poll")).await;
        assert_eq!(answer.status(), StatusCode::OK, "it is under way when it panics");
        answer.into_body().collect().await.expect_err("a body that breaks off");
        let record = told_of_panic("a panic in a body", "panics.rs", "faults::panics::Frames").await;
        assert_eq!(record["place"], "in a response body");

        assert_eq!(served.get("/panic/body-drop").await.body().len(), 2000);
        let record = told_of_panic("a panic in a body's drop", "panics.rs", "faults::panics::Bomb").await;
        assert_eq!(record["place"], "while dropping a response body");
        served
    });
}

#[trial]
fn panics_in_tasks_and_jobs() {
    with_plugin("faults", |served| async {
        assert_eq!(served.text("/panic/task").await, "the task panicked");
        let record = told_of_panic("a panic in a task", "panics.rs", "faults::panics::task").await;
        assert_eq!(record["place"], "in a task or a thread");
        served.text("/panic/job").await;
        let record = told_of_panic("a panic in a spawned job", "panics.rs", "faults::panics::job").await;
        assert_eq!(record["place"], "in a spawned future");
        served
    });
}

#[trial]
fn panics_in_the_lifecycle() {
    with_plugin("faults", |served| async {
        for place in ["start", "health", "save", "restore", "shutdown", "drop"] {
            assert!(served.post(&format!("/arm/{place}"), "text/plain", "").await.status().is_success());
        }
        let saved = camlock_policy::Saved { version: "0.1.0".into(), state: Vec::new() };
        let instance = &served.instance;
        for (place, outcome) in [
            ("start", instance.start().await),
            ("health", instance.health().await),
            ("save", instance.save().await.map(drop)),
            ("restore", instance.restore(saved).await),
            ("shutdown", instance.shutdown().await),
        ] {
            let fault = outcome.expect_err(place);
            assert_eq!((fault.kind, fault.message), (FaultKind::Panic, format!("{place} was told to panic")));
            assert!(fault.location.contains("lib.rs:"), "{}", fault.location);
            let named = fault.backtrace.iter().any(|function| function.contains("faults::"));
            assert!(named, "{:?}", fault.backtrace);
        }
        served
    });
    let [record] = &capture::records("drop was told to panic")[..] else { panic!("told once") };
    assert_eq!(record["place"], "while dropping the plugin");
    assert!(record["backtrace"].contains("faults::"), "{record:?}");
}

#[trial]
fn answers_that_cannot_be_sent() {
    with_plugin("raw", |served| async {
        assert_eq!(served.get("/fine").await.headers()["x-raw"], "yes");
        for (path, message) in [
            ("/header-value", "the value of header `x-bad` has a byte that HTTP forbids"),
            ("/header-name", "`bad name` is not a header name"),
            ("/no-name", "`` is not a header name"),
            ("/status/0", "the plugin answered with status 0, which is none"),
            ("/status/99", "the plugin answered with status 99, which is none"),
            ("/status/1000", "the plugin answered with status 1000, which is none"),
            ("/nothing", "the plugin said that it was done and gave no answer"),
        ] {
            let answer = served.get(path).await;
            assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{path}");
            assert_eq!(problem(&answer)["detail"], "the plugin gave an answer that cannot be sent");
            assert_eq!(recorded(message).await["plugin"], "raw");
            assert!(served.text("/fine").await.starts_with("fine"));
        }
        served
    });
}

#[trial]
fn answers_out_of_order() {
    with_plugin("raw", |served| async {
        // The last word counts; what was said before is freed.
        let answer = served.get("/two").await;
        assert_eq!((answer.status(), &answer.body()[..10]), (StatusCode::CREATED, &b"the second"[..]));
        assert_eq!(served.get("/both").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
        // Not done is not done, whatever was said.
        let pending = tokio::time::timeout(Duration::from_millis(100), served.get("/pending")).await;
        assert!(pending.is_err(), "{pending:?}");
        assert_eq!(served.instance.health().await.expect_err("ill").message, "never well");
        served
    });
}

#[trial]
fn a_handler_that_never_wakes() {
    with_plugin("faults", |served| async {
        leave_behind(&served, get("/hang")).await;
        until("it was cancelled", async || counts(&served).await[..2] == [1, 1]).await;
        served
    });
}

#[trial]
fn wakes_from_everywhere() {
    with_plugin("faults", |served| async {
        let asked = (0..4).map(|_| served.text("/wakes/many"));
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!(answer, "woken");
        }
        // Its threads wake once more, long after the answers; unloading waits for them.
        served
    });
}

#[trial]
fn endless_bodies() {
    with_plugin("faults", |served| async {
        for frames in [usize::MAX, 3] {
            let [begun, dropped, _] = counts(&served).await;
            let mut body = served.open(get(&format!("/endless/{frames}"))).await.into_body();
            for _ in 0..3 {
                assert!(!body.frame().await.expect("a frame").expect("no error").into_data().unwrap().is_empty());
            }
            drop(body);
            until("it was dropped", async || counts(&served).await[..2] == [begun + 1, dropped + 1]).await;
        }
        served
    });
}

#[trial]
fn request_bodies_that_are_kept() {
    with_plugin("faults", |served| async {
        // Kept beyond the answer, and read by a task. What of it still comes is hyper's to say; the reading comes to an end.
        let answer = served.post("/keep", "text/plain", vec![b'x'; 1 << 20]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        served.text("/read-kept").await;
        until("the task has read", async || counts(&served).await[1] == 1).await;
        served
    });
}
