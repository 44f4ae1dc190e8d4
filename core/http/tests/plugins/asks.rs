//! What plugins ask of their host, of services that this program brings.

use crate::harness::{Host, Served, run};
use bytes::Bytes;
use camlock_loader::Surroundings;
use camlock_policy::{AskError, AskErrorCode, Asker, Body};
use camlock_services::{AskLimits, HostServices, ServiceSet};
use camlock_testing::{Fixtures, trial};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

fn library() -> PathBuf {
    Fixtures::quick().library("asking")
}

/// How many asks are being waited on by the service that never answers.
static WAITING: AtomicUsize = AtomicUsize::new(0);

struct Waiting;

impl Waiting {
    fn begin() -> Self {
        WAITING.fetch_add(1, Ordering::SeqCst);
        Waiting
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn echo(asker: Asker, request: Request<Body>) -> Result<Response<Body>, AskError> {
    let told = format!(
        "{} of {} asks {} {} from {:?}: ",
        asker.generation > 0,
        asker.plugin,
        request.method(),
        request.uri(),
        request.headers()["x-from"]
    );
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(|error| AskError::new(AskErrorCode::Invalid, format!("the body broke off: {error}")))?;
    Ok(Response::new(Body::from(told + &String::from_utf8_lossy(&body.to_bytes()))))
}

async fn count(_: Asker, request: Request<Body>) -> Result<Response<Body>, AskError> {
    let number: u64 = request.uri().query().and_then(|query| query.parse().ok()).unwrap_or_default();
    // On the host's timer, wherever it is polled.
    let frames = futures_util::stream::unfold(0, move |at| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        (at < number).then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{at},")))), at + 1))
    });
    Ok(Response::new(Body::stream(StreamBody::new(Box::pin(frames)))))
}

fn host(limits: AskLimits) -> (Host, Arc<HostServices>) {
    let mut services = ServiceSet::default();
    services.add("echo/1", echo).unwrap();
    services.add("count/1", count).unwrap();
    let never = |_: Asker, _: Request<Body>| async {
        let _waiting = Waiting::begin();
        std::future::pending::<Result<Response<Body>, AskError>>().await
    };
    services.add("never/1", never).unwrap();
    let panics = |_: Asker, _: Request<Body>| async { panic!("a service panics") };
    services.add("panics/1", panics).unwrap();
    let denied =
        |_: Asker, _: Request<Body>| async { Err(AskError::new(AskErrorCode::Denied, "`storage` is not granted")) };
    services.add("denied/1", denied).unwrap();
    let services = Arc::new(HostServices::new(services, limits));
    let mut host = Host::new();
    let around = Surroundings { services: Some(services.clone()), ..Surroundings::default() };
    host.loader = host.loader.with_surroundings(around);
    (host, services)
}

async fn post(served: &Served, path: &str, body: &str) -> (u16, String) {
    let request = Request::post(path).body(Full::new(Bytes::from(body.to_owned()))).expect("a request");
    let answer = served.send(request).await;
    (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
}

#[trial]
fn an_ask_and_its_answer() {
    run(async {
        let (host, services) = host(AskLimits::default());
        let served = host.serve(&library()).await;
        // Verified by another process, which has no services; then created here.
        assert_eq!(served.text("/at-first").await, "answered");
        let told = "true of asking asks POST /echo/1/x?y=1 from \"a plugin\": ";
        for length in [0, 5, 100_000, 3_000_000] {
            let body = "z".repeat(length);
            assert_eq!(post(&served, "/ask/echo/1/x%3Fy=1", &body).await, (200, format!("{told}{body}")), "{length}");
        }
        let all: String = (0..300).map(|number| format!("{number},")).collect();
        assert_eq!(served.text("/ask/count/1%3F300").await, all);
        assert!(services.counts()["asking"].asks >= 6);
        served.unload_wholly().await;
    });
}

#[trial]
fn errors_have_a_code() {
    run(async {
        let (host, services) = host(AskLimits::default());
        let served = host.serve(&library()).await;
        for (path, told) in [
            ("denied/1", "Denied: `storage` is not granted"),
            ("nowhere/1/x", "Unavailable: not here: this host has no service `nowhere/1`"),
            ("panics/1", "Unavailable: a service panics"),
        ] {
            assert_eq!(post(&served, &format!("/ask/{path}"), "").await, (502, told.to_owned()));
        }
        assert_eq!(services.counts()["asking"].errors, [1, 0, 0, 0, 1, 0]);
        served.unload_wholly().await;
    });
}

/// Dropping the future takes the ask back; an ask that is never answered does not keep its generation.
#[trial]
fn an_ask_is_taken_back() {
    run(async {
        let (host, _) = host(AskLimits::default());
        let served = host.serve(&library()).await;
        for _ in 0..10 {
            assert_eq!(served.text("/leave/never/1").await, "left");
            assert_eq!(WAITING.load(Ordering::SeqCst), 0);
        }
        served.unload_wholly().await;
    });
}

#[trial]
fn a_host_without_services() {
    run(async {
        let served = Host::new().serve(&library()).await;
        assert_eq!(served.text("/at-first").await, "not here: this host has no services");
        served.unload_wholly().await;
    });
}
