//! What plugins ask of their host, of services that this program brings.

use crate::harness::{Host, Served, isolated, run};
use bytes::Bytes;
use camlock_loader::Surroundings;
use camlock_policy::{AskError, AskErrorCode, Asker, Body, Call, Granted, Grants, Services};
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

/// What the services of one trial count.
#[derive(Default)]
struct Noted {
    /// How many asks are being waited on by the services that never end.
    waiting: AtomicUsize,
    /// How many parts were made of answers that do not end.
    made: AtomicUsize,
}

struct Waiting(Arc<Noted>);

impl Waiting {
    fn begin(noted: &Arc<Noted>) -> Self {
        noted.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(noted.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Noted {
    async fn until_waiting(&self, count: usize) {
        while self.waiting.load(Ordering::SeqCst) != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn echo(asker: Asker, request: Request<Body>) -> Result<Response<Body>, AskError> {
    let told = format!(
        "{} of {} asks {} {} from {:?}: ",
        asker.generation > 0,
        asker.plugin,
        request.method(),
        request.uri(),
        request.headers().get("x-from")
    );
    asker.may("app:echo")?;
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

/// An answer that does not end.
fn endless(noted: &Arc<Noted>) -> Response<Body> {
    let waiting = Waiting::begin(noted);
    let frames = futures_util::stream::repeat_with(move || {
        waiting.0.made.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 1024])))
    });
    Response::new(Body::stream(StreamBody::new(frames)))
}

fn host(limits: AskLimits) -> (Host, Arc<HostServices>, Arc<Noted>) {
    let noted = Arc::new(Noted::default());
    let mut services = ServiceSet::default();
    services.add("echo/1", echo).unwrap();
    services.add("count/1", count).unwrap();
    let theirs = noted.clone();
    let never = move |_: Asker, _: Request<Body>| {
        let waiting = Waiting::begin(&theirs);
        async move {
            let _waiting = waiting;
            std::future::pending::<Result<Response<Body>, AskError>>().await
        }
    };
    services.add("never/1", never).unwrap();
    let theirs = noted.clone();
    let without_end = move |_: Asker, _: Request<Body>| std::future::ready(Ok(endless(&theirs)));
    services.add("endless/1", without_end).unwrap();
    let panics = |_: Asker, _: Request<Body>| async { panic!("a service panics") };
    services.add("panics/1", panics).unwrap();
    let denied =
        |_: Asker, _: Request<Body>| async { Err(AskError::new(AskErrorCode::Denied, "`storage` is not granted")) };
    services.add("denied/1", denied).unwrap();
    let services = Arc::new(HostServices::new(services, limits));
    let mut host = Host::new();
    let around = Surroundings { services: Some(services.clone()), ..Surroundings::default() };
    host.loader = host.loader.with_surroundings(around);
    (host, services, noted)
}

async fn post(served: &Served, path: &str, body: &str) -> (u16, String) {
    let request = Request::post(path).body(Full::new(Bytes::from(body.to_owned()))).expect("a request");
    let answer = served.send(request).await;
    (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
}

#[trial]
fn an_ask_and_its_answer() {
    run(async {
        let (host, services, _) = host(AskLimits::default());
        let served = host.serve(&library()).await;
        // Verified by another process, which has no services; then created here.
        assert_eq!(served.text("/at-first").await, "answered");
        let told = "true of asking asks POST /echo/1/x?y=1 from Some(\"a plugin\"): ";
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
        let (host, services, _) = host(AskLimits::default());
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

/// Who asks without end is refused, alone.
#[trial]
fn a_flood_is_refused_to_who_makes_it() {
    run(async {
        let (host, services, _) = host(AskLimits { asks: 10, bytes: 1 << 20 });
        let served = host.serve(&library()).await;
        let told = served.text("/flood/1000/denied/1").await;
        assert!(told.ends_with(" Limit"), "{told}");
        let counts = services.counts()["asking"];
        // Two seconds' worth, and what came back meanwhile: half a minute's and more, if the machine is that slow.
        assert!(counts.errors[1] > 500, "{counts:?}");
        let other =
            Asker { plugin: "other".into(), generation: 1, granted: Granted::default(), document: Default::default() };
        let question = Request::get("/count/1?1").body(Body::empty()).unwrap();
        assert_eq!(services.ask(&other, question).await.status(), 200);
        served.unload_wholly().await;
    });
}

/// An answer that nobody reads is not made, and goes with whoever held it.
#[trial]
fn an_answer_that_is_not_read() {
    run(async {
        let (host, _, noted) = host(AskLimits::default());
        let served = host.serve(&library()).await;
        let held = tokio::time::timeout(Duration::from_millis(300), served.get("/hold/endless/1")).await;
        assert!(held.is_err(), "it is held");
        // As much as is on its way between two processes is made before somebody reads it.
        let most = if isolated() { 100 } else { 10 };
        assert!(noted.made.load(Ordering::SeqCst) < most, "{}", noted.made.load(Ordering::SeqCst));
        noted.until_waiting(0).await;
        served.unload_wholly().await;
    });
}

/// What a plugin's own tasks ask for ends with the plugin.
#[trial]
fn an_ask_in_the_middle_of_an_unload() {
    run(async {
        let (host, _, noted) = host(AskLimits::default());
        let served = host.serve(&library()).await;
        for _ in 0..3 {
            assert_eq!(served.text("/spawn/never/1").await, "spawned");
        }
        noted.until_waiting(3).await;
        served.unload_wholly().await;
        noted.until_waiting(0).await;
    });
}

/// What an operator takes away is gone with the next ask, in a generation that runs.
#[trial]
fn grants_are_looked_up_with_each_ask() {
    run(async {
        let (host, services, _) = host(AskLimits::default());
        let served = host.serve(&library()).await;
        assert_eq!(post(&served, "/ask/echo/1/x", "").await.0, 200);
        let granted = host.granted.lock().unwrap().clone();
        granted.update(&Grants::default());
        let denied = "Denied: `app:echo` is not granted to `asking`: `camlock grant asking app:echo` does";
        assert_eq!(post(&served, "/ask/echo/1/x", "").await, (502, denied.to_owned()));
        granted.update(&Grants::these(["app:*"]).unwrap());
        assert_eq!(post(&served, "/ask/echo/1/x", "").await.0, 200);
        assert_eq!(services.counts()["asking"].errors[0], 1);
        served.unload_wholly().await;
    });
}

/// The host polls it, and its timers are the plugin's; what panics in it is the plugin's error, and nobody else's.
#[trial]
fn bodies_of_asks_run_as_the_plugin() {
    run(async {
        let (host, ..) = host(AskLimits::default());
        let served = host.serve(&library()).await;
        let parts: String = (0..20).map(|number| format!("{number},")).collect();
        let told = format!("true of asking asks POST /echo/1/x from Some(\"a plugin\"): {parts}");
        for _ in 0..5 {
            assert_eq!(served.text("/slowly/echo/1/x").await, told);
        }
        for _ in 0..5 {
            let answer = served.get("/badly/echo/1/x").await;
            let told = String::from_utf8_lossy(answer.body()).into_owned();
            assert_eq!((answer.status().as_u16(), &*told), (502, "Invalid: the body broke off: a body panics"));
        }
        served.unload_wholly().await;
    });
}

/// What is configured is read once, and anew when it is another.
#[trial]
fn a_configuration_is_shared_until_it_is_another() {
    run(async {
        let (host, ..) = host(AskLimits::default());
        let loaded = host.load_with(&library(), r#"{"greeting":"hello"}"#).await.unwrap();
        let served = host.serve_loaded(loaded).await;
        assert_eq!(served.text("/greeting").await, "hello true");
        assert!(served.instance.configure(r#"{"greeting":"good day"}"#.into()).await.unwrap());
        assert_eq!(served.text("/greeting").await, "good day true");
        served.unload_wholly().await;
    });
}

/// What the host brings comes in by a door of its own, and holds the plugin as a request does.
#[trial]
fn deliveries() {
    run(async {
        let (host, ..) = host(AskLimits::default());
        let served = host.serve(&library()).await;
        for body in
            [Body::empty(), Body::from("an event".to_owned()), Body::stream(Full::new(Bytes::from(vec![1; 100_000])))]
        {
            let request = Request::post("/at-first").body(body).unwrap();
            let answer = served.instance.deliver(Call::new(request)).await.expect("an answer");
            let (head, body) = answer.response.into_parts();
            assert_eq!((head.status.as_u16(), head.headers["x-code"].as_bytes()), (404, &b"not_found"[..]));
            let body = body.collect().await.unwrap().to_bytes();
            assert_eq!(body, "this plugin takes nothing of the kind: /at-first");
        }
        served.unload_wholly().await;
    });
}

/// Dropping the future takes the ask back; an ask that is never answered does not keep its generation.
#[trial]
fn an_ask_is_taken_back() {
    run(async {
        let (host, _, noted) = host(AskLimits::default());
        let served = host.serve(&library()).await;
        for _ in 0..10 {
            assert_eq!(served.text("/leave/never/1").await, "left");
            assert_eq!(noted.waiting.load(Ordering::SeqCst), 0);
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
