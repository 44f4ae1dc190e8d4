//! A plugin's configuration, from the loader into a loaded library and back again.

use crate::{
    direct::goes,
    harness::{Host, Served, run},
};
use camlock_loader::{Loader, LoaderOptions, Staging, Verifier, VerifierLimits, Workbench, inspect};
use camlock_policy::{Candidate, Fault, FaultKind, Loaded, Loading, Stage};
use camlock_testing::{Fixtures, trial};
use std::{fs, path::PathBuf, sync::Arc};

fn library() -> PathBuf {
    Fixtures::quick().library("configured")
}

async fn serve(host: &Host, config: &str) -> Served {
    host.serve_loaded(host.load_with(&library(), config).await.expect("it can be loaded")).await
}

async fn configure(served: &Served, config: &str) -> Result<bool, Fault> {
    served.instance.configure(config.into()).await
}

/// The greeting it goes by, and the configuration that the host tells it.
async fn known(served: &Served) -> [String; 2] {
    [served.text("/greeting").await, served.text("/text").await]
}

#[trial]
fn there_from_create_on() {
    run(async {
        let host = Host::new();
        let config = r#"{"greeting":"Grüß Gott","limits":{"guests":3}}"#;
        let served = serve(&host, config).await;
        assert_eq!(served.text("/began-with").await, config);
        assert_eq!(known(&served).await, ["Grüß Gott", config]);
        // Each generation has its own.
        let other = serve(&host, "{}").await;
        assert_eq!(
            (other.text("/began-with").await, known(&other).await),
            ("{}".into(), ["Hello!", "{}"].map(Into::into))
        );
        assert_eq!(known(&served).await, ["Grüß Gott", config]);
        served.unload_wholly().await;
        other.unload_wholly().await;
        let sections = inspect(&fs::read(library()).expect("it can be read")).expect("it is a plugin");
        assert_eq!((&*sections.abi, &*sections.requires), ("1.0", &["config".to_owned()][..]));
    });
}

#[trial]
fn what_begins_with_a_bad_one_fails() {
    run(async {
        let host = Host::new();
        let error = host.load_with(&library(), r#"{"limits":{"guests":-1}}"#).await.expect_err("no such number");
        let reason = "`create` failed: its configuration cannot be used, at `limits.guests`: \
                      invalid value: integer `-1`, expected u8";
        assert_eq!(error.to_string(), reason);
    });
}

#[trial]
fn taken_live() {
    run(async {
        let host = Host::new();
        let served = serve(&host, r#"{"greeting":"one"}"#).await;
        for greeting in ["two", "three"] {
            let config = format!(r#"{{"greeting":"{greeting}"}}"#);
            assert_eq!(configure(&served, &config).await, Ok(true));
            assert_eq!(known(&served).await, [greeting, &config]);
        }
        assert_eq!(served.text("/began-with").await, r#"{"greeting":"one"}"#);
        // A long one, as people have them with certificates in them.
        let long = format!(r#"{{"greeting":"{}"}}"#, "x".repeat(1 << 20));
        assert_eq!(configure(&served, &long).await, Ok(true));
        assert_eq!(served.text("/text").await, long);
        served.unload_wholly().await;
    });
}

#[trial]
fn only_by_a_new_instance() {
    run(async {
        let host = Host::new();
        let served = serve(&host, "{}").await;
        assert_eq!(configure(&served, r#"{"port":81,"greeting":"moved"}"#).await, Ok(false));
        assert_eq!(known(&served).await, ["Hello!", "{}"]);
        served.unload_wholly().await;
        // By default an author's type takes nothing live.
        let hello = host.serve(&Fixtures::quick().library("hello")).await;
        assert_eq!(configure(&hello, r#"{"any":"thing"}"#).await, Ok(false));
        hello.unload_wholly().await;
    });
}

#[trial]
fn refused_with_a_reason() {
    run(async {
        let host = Host::new();
        let served = serve(&host, r#"{"greeting":"kept"}"#).await;
        for (config, reason) in [
            (r#"{"limits":{"guests":101}}"#, "101 guests do not fit"),
            (
                r#"{"limits":{"guests":"many"}}"#,
                "its configuration cannot be used, at `limits.guests`: invalid type: string \"many\", expected u8",
            ),
            (
                r#"{"greetings":"two"}"#,
                "its configuration cannot be used, at `greetings`: \
                 unknown field `greetings`, expected one of `greeting`, `limits`, `port`",
            ),
        ] {
            assert_eq!(configure(&served, config).await, Err(Fault::new(FaultKind::Error, reason)));
            assert_eq!(known(&served).await, ["kept", r#"{"greeting":"kept"}"#]);
        }
        assert_eq!(served.instance.panics(), 0);
        served.unload_wholly().await;
    });
}

#[trial]
fn a_panic_while_it_is_taken() {
    run(async {
        let host = Host::new();
        let served = serve(&host, r#"{"greeting":"kept"}"#).await;
        let fault = configure(&served, r#"{"greeting":"panic"}"#).await.expect_err("a panic");
        assert_eq!((fault.kind, &*fault.message), (FaultKind::Panic, "a panic in configure"));
        assert!(fault.location.contains("configured/src/lib.rs:"), "{fault:?}");
        assert!(fault.backtrace.iter().any(|name| name.contains("configured::")), "{fault:?}");
        assert_eq!(
            (served.instance.panics(), known(&served).await),
            (1, ["kept", r#"{"greeting":"kept"}"#].map(Into::into))
        );
        assert_eq!(configure(&served, r#"{"greeting":"calm"}"#).await, Ok(true));
        served.unload_wholly().await;
    });
}

#[trial]
fn as_the_supervisor_has_it() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let staging = Staging::at(dir.path().join("artifacts")).expect("a staging directory");
        let verifier = Verifier::new(dir.path().join("verdicts"), VerifierLimits::default()).expect("a verifier");
        let loader = Loader::new(dir.path().join("run"), LoaderOptions::default(), None).expect("a loader");
        let bench = Workbench::new(staging, verifier, Arc::new(loader));
        let candidate: Arc<dyn Candidate> = bench.prepare(&library()).await.expect("it is verified");
        let begun = candidate.load((crate::harness::next_generation(), r#"{"greeting":"begun"}"#).into()).await;
        let Loaded { instance, mut ending, .. } = begun.expect("it can be loaded");
        let answer = crate::direct::call(&instance, "/greeting").await.expect("an answer").response;
        assert_eq!(answer.into_body().into_whole().expect("it is whole"), "begun");
        drop(instance);
        goes(&mut ending).await;
        let bad = candidate.load((crate::harness::next_generation(), r#"{"port":"high"}"#).into()).await;
        let failure = bad.expect_err("no number");
        assert!(failure.stage == Stage::Load && !failure.transient, "{failure:?}");
        assert!(failure.reason.contains("at `port`"), "{failure}");
    });
}
