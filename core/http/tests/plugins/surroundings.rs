//! What a plugin finds around it: its mount, its directory, its assets, its environment, its log.

use crate::{
    capture::records,
    harness::{Host, Served, run},
};
use bytes::Bytes;
use camlock_loader::{Surroundings, VariablesOf, Verdict};
use camlock_testing::{Fixtures, trial};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// A host that gives plugins a greeting, and directories below its own.
fn host(greeting: &str) -> Host {
    let variables = variables(greeting);
    let mut host = Host::new();
    let dirs = Some(host.dir().join("plugins"));
    host.loader = host.loader.with_surroundings(Surroundings {
        dirs,
        variables: Some(variables.clone()),
        ..Surroundings::default()
    });
    host.verifier = host.verifier.with_variables(variables);
    host
}

fn variables(greeting: &str) -> VariablesOf {
    let own = BTreeMap::from([("GREETING".to_owned(), greeting.to_owned())]);
    Arc::new(move |plugin| if plugin == "surroundings" { own.clone() } else { BTreeMap::new() })
}

fn library() -> PathBuf {
    Fixtures::quick().library("surroundings")
}

async fn places(served: &Served) -> Value {
    serde_json::from_str(&served.text("/places").await).expect("JSON")
}

async fn post(served: &Served, path: &str, body: &'static str) {
    let request = Request::builder().method(Method::POST).uri(path);
    let answer = served.send(request.body(Full::new(Bytes::from_static(body.as_bytes()))).expect("a request")).await;
    assert!(answer.status().is_success(), "{answer:?}");
}

#[trial]
fn a_directory_is_kept_across_reloads() {
    run(async {
        let host = host("hello");
        let first = host.serve(&library()).await;
        let before = places(&first).await;
        assert_eq!(before["mount"], "/api/v1/p/surroundings");
        assert_eq!(before["dir"], json!(host.dir().join("plugins/surroundings")));
        post(&first, "/note", "remember").await;
        let second = host.serve(&library()).await;
        assert_eq!(second.text("/note").await, "remember");
        assert_eq!(places(&second).await["dir"], before["dir"]);
        first.unload_wholly().await;
        second.unload_wholly().await;
        assert_eq!(fs::read_to_string(host.dir().join("plugins/surroundings/note")).expect("it is there"), "remember");
    });
}

#[trial]
fn assets_travel_in_the_library_and_go_with_the_generation() {
    run(async {
        let host = host("hello");
        let served = host.serve(&library()).await;
        assert_eq!(served.text("/asset/page.html").await, "<h1>An asset</h1>\n");
        assert_eq!(served.text("/asset/css/page.css").await, "h1 { color: red }\n");
        let places = places(&served).await;
        let assets = Path::new(places["assets"].as_str().expect("a path")).to_owned();
        assert!(assets.starts_with(host.run_dir()) && !assets.join(".hidden").exists(), "{assets:?}");
        served.unload_wholly().await;
        // The host's record of the generation goes right after its end was told.
        let until = Instant::now() + Duration::from_secs(300);
        while assets.exists() {
            assert!(Instant::now() < until, "{} is left", assets.display());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[trial]
fn migrations_are_read_without_running_it() {
    let sections = camlock_loader::inspect(&fs::read(library()).expect("it was built")).expect("it is a plugin");
    let read: Vec<_> = sections.migrations.iter().map(|file| (file.file_name(), &*file.text)).collect();
    let first = "CREATE TABLE p_surroundings__notes (text TEXT NOT NULL);\n";
    let second = "-- camlock: contract\nDROP TABLE p_surroundings__notes;\n";
    assert_eq!(read, [("0001_notes.sql".to_owned(), first), ("0002_without.postgres.sql".to_owned(), second)]);
    let without = Fixtures::quick().library("hello");
    let sections = camlock_loader::inspect(&fs::read(without).expect("it was built")).expect("it is a plugin");
    assert_eq!(sections.migrations, []);
}

#[trial]
fn variables_are_one_plugins_alone() {
    run(async {
        let host = host("grüß dich");
        let served = host.serve(&library()).await;
        let seen = async |name: &str| {
            let text = served.text(&format!("/variables/{name}")).await;
            serde_json::from_str::<BTreeMap<String, Option<String>>>(&text).expect("JSON")
        };
        let all = |value: Option<&str>| {
            let child = value.unwrap_or("none");
            let keys =
                [("std", value), ("c", value), ("all", value), ("child", Some(child)), ("changed_child", Some(child))];
            BTreeMap::from(keys.map(|(key, value)| (key.to_owned(), value.map(str::to_owned))))
        };
        assert_eq!(seen("GREETING").await, all(Some("grüß dich")));
        assert_eq!(seen("PATH").await["std"], std::env::var("PATH").ok(), "the process's own are there too");
        // What it sets is its own.
        post(&served, "/set/GREETING/servus", "").await;
        post(&served, "/set/OF_ITS_OWN/1", "").await;
        assert_eq!(seen("GREETING").await, all(Some("servus")));
        assert_eq!(seen("OF_ITS_OWN").await, all(Some("1")));
        post(&served, "/set/OF_ITS_OWN/-", "").await;
        assert_eq!(seen("OF_ITS_OWN").await, all(None));
        for name in ["GREETING", "OF_ITS_OWN"] {
            assert_eq!(std::env::var_os(name), None, "the process's environment is as it was");
        }
        // The next generation begins as this one did.
        let next = host.serve(&library()).await;
        assert_eq!(places(&next).await["greeting"], "grüß dich");
        let text = next.text("/variables/GREETING").await;
        assert!(text.contains("\"std\":\"grüß dich\""), "{text}");
        served.unload_wholly().await;
        next.unload_wholly().await;
    });
}

#[trial]
fn a_verdict_holds_for_the_variables_it_was_made_with() {
    run(async {
        let mut host = Host::new();
        let artifact = host.staging.stage(&library()).expect("it can be staged");
        let missing = "`create` failed: GREETING: environment variable not found (a plugin's variables are set in \
                       camlock.toml, as `plugin.NAME.env.KEY = \"…\"`; the server's own are not there where a build is verified)";
        assert_eq!(host.verifier.verify(&artifact).await.expect("a verdict"), Verdict::Bad(missing.to_owned()));
        host.verifier = host.verifier.with_variables(variables("hello"));
        assert!(matches!(host.verifier.verify(&artifact).await, Ok(Verdict::Good(_))));
        host.verifier = host.verifier.with_variables(Arc::new(|_| BTreeMap::new()));
        assert_eq!(host.verifier.verify(&artifact).await.expect("a verdict"), Verdict::Bad(missing.to_owned()));
    });
}

#[trial]
fn what_a_plugin_prints_goes_to_its_log() {
    run(async {
        let host = host("a greeting of this trial alone");
        let served = host.serve(&library()).await;
        let text = format!("printed-by-{}", std::process::id());
        post(&served, &format!("/print/{text}"), "").await;
        let of = |message: &str| {
            let found = records(message);
            assert_eq!(found.len(), 1, "{message}: {found:?}");
            found.into_iter().next().expect("one")
        };
        for (line, target) in [("out: ", "stdout"), ("err: ", "stderr"), ("in two parts: ", "stdout")] {
            let record = of(&format!("{line}{text}"));
            assert_eq!(record["message"], format!("{line}{text}"));
            assert_eq!(record["span.plugin"], "surroundings", "{record:?}");
            assert!(record.values().any(|value| value == target), "{record:?}");
        }
        assert!(records("no end").is_empty(), "the line may still go on");
        served.unload_wholly().await;
        of(&format!("no end: {text}"));
        assert!(
            records("created with a greeting of this trial alone").len() == 1,
            "in the server alone, and not where it was verified"
        );
    });
}
