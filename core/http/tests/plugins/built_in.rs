//! Plugins that are linked into this very program: they serve, fail and end as loaded ones do.

use crate::{
    capture::{self, Record},
    direct::{call, goes, held_by, until, visit},
    harness::{Host, Served, next_generation, runtime},
};
use camlock_loader::{BuiltIn, LoadError, Loader, LoaderOptions, compiled_in};
use camlock_policy::{Ending, FaultKind, Loaded, Saved, Stage, Use};
use camlock_testing::trial;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use linked::{CREATE_FAILS, CREATE_PANICS, DROPPED, SHUT_DOWN, STARTED, TICKS};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

const LINKED: BuiltIn = linked::CAMLOCK_PLUGIN;

/// The fixture's statics are for one test at a time.
fn alone<F: Future>(body: F) {
    static ONE: Mutex<()> = Mutex::new(());
    let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = Duration::from_secs(300);
    runtime().block_on(async { tokio::time::timeout(limit, body).await }).expect("the test ends");
}

async fn load(host: &Host) -> (u64, Loaded) {
    let generation = next_generation();
    (generation, host.loader.load_built_in(&LINKED, (generation, "{}")).await.expect("it can be loaded"))
}

async fn serve(host: &Host) -> (u64, Served) {
    let (generation, loaded) = load(host).await;
    (generation, host.serve_loaded(loaded).await)
}

/// The first record of this generation with this message.
async fn recorded(generation: u64, message: &str) -> Record {
    let generation = generation.to_string();
    let of_this = |record: &Record| {
        record.get("generation").or(record.get("span.generation")).is_some_and(|known| *known == generation)
    };
    let find = || capture::records(message).into_iter().find(of_this);
    until(message, async || find().is_some()).await;
    find().expect("just seen")
}

#[trial]
fn two_serve_beside_each_other() {
    alone(async {
        let host = Host::new();
        let (generation, linked) = serve(&host).await;
        let about = host
            .loader
            .load_built_in(&about::CAMLOCK_PLUGIN, (next_generation(), "{}"))
            .await
            .expect("it can be loaded");
        let about = host.serve_loaded(about).await;
        assert_eq!(linked.text("/hello").await, "Hello from inside!");
        let echo: Value = serde_json::from_str(&about.text("/echo?x").await).expect("JSON");
        let seen = (&echo["path"], &echo["original_uri"], &echo["headers"]["host"]);
        assert_eq!(seen, (&json!("/echo"), &json!(format!("{}/echo?x", about.mount)), &json!(["plugins.test"])));
        assert!(echo["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{echo}");

        let manifest = &linked.instance.description().manifest;
        assert_eq!((&*manifest.name, &*manifest.version), ("linked", "0.2.0"));
        let sections = camlock_loader::inspect_built_in(&LINKED).expect("it is a plugin");
        assert_eq!((&sections.manifest, &*sections.crate_name), (manifest, "linked"));
        assert_eq!(format!("{LINKED:?}"), r#"BuiltIn("linked")"#);

        let known = host.loader.overview();
        let known: Vec<_> = known.iter().map(|known| (&*known.plugin, known.digest)).collect();
        assert_eq!(known, [("linked", None), ("about", None)]);
        assert_eq!(host.loader.overview()[0].generation, generation);
        linked.unload_wholly().await;
        let greeting: Value = serde_json::from_str(&about.text("/").await).expect("JSON");
        assert_eq!(greeting["requests"], 2);
        about.unload_wholly().await;
        assert!(host.loader.overview().is_empty());
        assert!(host.copies().is_empty());
    });
}

#[trial]
fn lifecycle_and_state() {
    alone(async {
        let host = Host::new();
        let counted = || [&STARTED, &SHUT_DOWN, &DROPPED].map(|count| count.load(Ordering::SeqCst));
        let [started, shut_down, dropped] = counted();
        let (_, first) = serve(&host).await;
        assert_eq!(counted(), [started + 1, shut_down, dropped]);
        let ticks = TICKS.load(Ordering::SeqCst);
        until("the host's timers drive it", async || TICKS.load(Ordering::SeqCst) > ticks + 3).await;
        for _ in 0..12 {
            first.text("/count").await;
        }
        first.instance.health().await.expect("it is well");
        let state = first.instance.save().await.expect("it saves").expect("something");
        let (second, successor) = serve(&host).await;
        successor.instance.restore(Saved { version: "0.2.0".into(), state }).await.expect("it restores");
        assert_eq!(successor.text("/count").await, "13");
        let fault = successor.instance.health().await.expect_err("thirteen");
        assert_eq!((fault.kind, &*fault.message), (FaultKind::Error, "thirteen is no good number"));
        let fault =
            successor.instance.restore(Saved { version: "0.1.0".into(), state: vec![1] }).await.expect_err("short");
        assert_eq!(fault.message, "not eight bytes");

        first.unload_wholly().await;
        assert_eq!(counted(), [started + 2, shut_down + 1, dropped + 1]);
        assert_eq!(successor.text("/count").await, "14");
        successor.unload_wholly().await;
        recorded(second, "linked: dropped").await;
        let ticks = TICKS.load(Ordering::SeqCst);
        // Its futures on the host's runtime have ended with it.
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(TICKS.load(Ordering::SeqCst), ticks);
    });
}

#[trial]
fn panics_are_told() {
    alone(async {
        let host = Host::new();
        let (generation, served) = serve(&host).await;
        let answer = served.get("/panic").await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(String::from_utf8_lossy(answer.body()).contains("the plugin panicked while it handled this request"));
        let fault = call(&served.instance, "/panic").await.expect_err("a panic");
        assert_eq!((fault.kind, &*fault.message), (FaultKind::Panic, "in the handler"));
        assert!(fault.location.contains("linked/src/lib.rs:"), "{fault:?}");
        let [innermost, .., outermost] = &fault.backtrace[..] else { panic!("{fault:?}") };
        assert!(innermost.contains("linked::"), "{fault:?}");
        // What caught it, and all that is the host's, is left out.
        assert!(!outermost.contains("camlock_abi::failure") && !outermost.contains("camlock_loader"), "{fault:?}");
        assert!(fault.backtrace.iter().all(|name| name.len() < 400), "{fault:?}");

        let late = call(&served.instance, "/late").await.expect("an answer");
        assert!(late.response.into_body().collect().await.is_err(), "it breaks off");
        let record = recorded(generation, "in the body").await;
        assert_eq!((&*record["plugin"], &*record["place"]), ("linked", "in a response body"));

        let _ = tokio::time::timeout(Duration::from_millis(50), served.get("/hang")).await;
        let record = recorded(generation, "linked: while dropping").await;
        assert_eq!((&*record["plugin"], &*record["place"]), ("linked", "while dropping a request"));

        served.text("/task").await;
        let record = recorded(generation, "linked: in a task").await;
        assert_eq!((&*record["plugin"], &*record["place"]), ("linked", "in a task or a thread"));

        assert_eq!(served.instance.panics(), 5);
        assert_eq!(served.text("/hello").await, "Hello from inside!");
        served.unload_wholly().await;
    });
}

#[trial]
fn records_carry_the_plugin() {
    alone(async {
        let host = Host::new();
        let (first, served) = serve(&host).await;
        let (second, other) = serve(&host).await;
        for (generation, served) in [(first, served), (second, other)] {
            let trace = format!("{generation:032x}");
            let request = Request::get("/traced").header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
            let answer = served.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(*answer.body(), trace);
            let late = call(&served.instance, "/late").await.expect("an answer");
            let _ = late.response.into_body().collect().await;
            served.unload_wholly().await;
            let expected = |record: &Record| {
                assert_eq!(
                    (&*record["span.plugin"], &*record["span.generation"]),
                    ("linked", &*generation.to_string())
                );
            };
            let handler = recorded(generation, "linked: inside the handler").await;
            expected(&handler);
            assert_eq!((&*handler["number"], &*handler["span.trace_id"]), ("7", &*trace));
            for message in ["created", "on the host's runtime", "inside a spawned task", "reading the body", "dropped"]
            {
                expected(&recorded(generation, &format!("linked: {message}")).await);
            }
        }
    });
}

#[trial]
fn threads_count_on_the_runtime() {
    alone(async {
        let host = Host::new();
        let (_, served) = serve(&host).await;
        assert_eq!(served.text("/threads").await, "joined");
        served.unload_wholly().await;
    });
}

#[trial]
fn leases_decide_when_it_ends() {
    alone(async {
        let host = Host::new();
        let dropped = DROPPED.load(Ordering::SeqCst);
        let (first, Loaded { instance, leases, mut ending }) = load(&host).await;
        let answer = call(&instance, "/late").await.expect("an answer");
        let _ = instance.shutdown().await;
        drop(instance);
        held_by(&leases, &Use::Body.describe(1)).await;
        assert_eq!((ending.borrow().clone(), DROPPED.load(Ordering::SeqCst)), (Ending::Alive, dropped));
        // The same code makes a new generation meanwhile.
        let (second, again) = load(&host).await;
        assert!(second > first);
        visit(&again.instance, "/hello").await;
        drop(answer);
        assert_eq!(goes(&mut ending).await, 0);
        assert_eq!(DROPPED.load(Ordering::SeqCst), dropped + 1);
        assert!(leases.try_share(Use::Request).is_none(), "what has ended stays ended");
        visit(&again.instance, "/hello").await;
        let Loaded { instance, mut ending, .. } = again;
        drop(instance);
        goes(&mut ending).await;
        assert_eq!(DROPPED.load(Ordering::SeqCst), dropped + 2);
    });
}

#[trial]
fn the_supervisor_can_have_it() {
    alone(async {
        let dir = tempfile::tempdir().expect("a directory");
        let loader = Loader::new(dir.path(), LoaderOptions::default(), None).expect("a loader");
        let candidate = compiled_in(LINKED, Arc::new(loader)).expect("it is a plugin");
        assert_eq!((&*candidate.manifest().name, candidate.digest(), candidate.stays()), ("linked", None, None));
        let mut ending = candidate.load((next_generation(), "{}").into()).await.expect("it can be loaded").ending;
        goes(&mut ending).await;
        CREATE_FAILS.store(true, Ordering::SeqCst);
        let failure = candidate.load((next_generation(), "{}").into()).await.expect_err("told to");
        CREATE_FAILS.store(false, Ordering::SeqCst);
        assert_eq!((failure.stage, &*failure.reason), (Stage::Load, "`create` failed: told to fail"));
    });
}

#[trial]
fn a_create_that_fails() {
    alone(async {
        let host = Host::new();
        for (told, expected) in
            [(&CREATE_FAILS, "`create` failed: told to fail"), (&CREATE_PANICS, "`create` panicked: told to panic (")]
        {
            told.store(true, Ordering::SeqCst);
            let error = host.loader.load_built_in(&LINKED, (next_generation(), "{}")).await.expect_err("told to");
            told.store(false, Ordering::SeqCst);
            assert!(matches!(error, LoadError::Create { .. }), "{error:?}");
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        until("nothing is left of them", async || host.loader.overview().is_empty()).await;
        let (_, served) = serve(&host).await;
        served.unload_wholly().await;
    });
}

#[trial]
fn a_configuration_of_its_own() {
    alone(async {
        let dir = tempfile::tempdir().expect("a directory");
        let loader = Loader::new(dir.path(), LoaderOptions::default(), None).expect("a loader");
        let candidate = compiled_in(LINKED, Arc::new(loader)).expect("it is a plugin");
        let schema = candidate.schema().expect("it has a schema");
        assert_eq!(schema.complete(&json!({})), Ok(json!({"step": 1})));
        let mut begun = Vec::new();
        for step in [2, 5] {
            let config = json!({"step": step}).to_string();
            begun.push(candidate.load((next_generation(), config).into()).await.expect("it can be loaded"));
        }
        let [two, five] = &begun[..] else { unreachable!("two were begun") };
        let steps = async || [step_of(two).await, step_of(five).await];
        assert_eq!(steps().await, [2, 5]);
        assert_eq!(five.instance.configure(r#"{"step":7}"#.into()).await, Ok(true));
        assert_eq!(steps().await, [2, 7]);
        let fault = five.instance.configure(r#"{"step":"far"}"#.into()).await.expect_err("no number");
        assert_eq!(fault.kind, FaultKind::Error);
        let reason = "its configuration cannot be used, at `step`: invalid type: string \"far\", expected usize";
        assert_eq!((&*fault.message, steps().await), (reason, [2, 7]));
        for Loaded { instance, mut ending, .. } in begun {
            drop(instance);
            goes(&mut ending).await;
        }
    });
}

/// What it is configured with, as it says.
async fn step_of(loaded: &Loaded) -> usize {
    let answer = call(&loaded.instance, "/step").await.expect("an answer").response;
    let body = answer.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8_lossy(&body).parse().expect("a number")
}
