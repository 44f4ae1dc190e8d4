//! Reports to Sentry: what is reported of a plugin that panics, of one that is not built, and of a server that does not start.

use crate::{inbox::Inbox, site};
use camlock_testing::Server;
use serde_json::Value;
use std::{fs, net::TcpListener, process::Stdio};

/// Panics in a function of its own, on request and in a task.
const PANICS: &str = r#"use camlock_plugin::prelude::*;

struct Panics;

impl Plugin for Panics {
    async fn create(_host: Host) -> Result<Self> {
        Ok(Panics)
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new()
            .route("/", get(|| async { "well" }))
            .route("/boom", get(|| async { outer_function().to_string() }))
            .route("/task", get(|| async { let _ = tokio::spawn(async { outer_function() }).await; "done" }))
    }
}

#[inline(never)]
fn outer_function() -> usize {
    std::hint::black_box(inner_function(std::hint::black_box(3)))
}

#[inline(never)]
fn inner_function(number: usize) -> usize {
    if number < 7 {
        panic!("number {number} is too small");
    }
    number
}

export!(Panics);
"#;

fn tag<'a>(event: &'a Value, name: &str) -> &'a str {
    event["tags"][name].as_str().unwrap_or_default()
}

fn says(event: &Value, words: &str) -> bool {
    let exception = &event["exception"]["values"][0]["value"];
    [&event["message"], exception].into_iter().any(|text| text.as_str().is_some_and(|text| text.contains(words)))
}

fn digest(server: &Server, plugin: &str) -> String {
    server.plugin(plugin)["serving"]["artifact"].as_str().unwrap().to_owned()
}

#[test]
fn what_goes_wrong_with_plugins_is_reported() {
    let (site, inbox) = (site(), Inbox::open());
    site.write("plugins/panics.rs", PANICS);
    let server = site.start_with(|command| {
        command.env("SENTRY_DSN", inbox.dsn()).env("SENTRY_RELEASE", "ours@7").stderr(Stdio::null());
    });
    server.until_text("/api/v1/p/panics/", "well");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let context = format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = [("traceparent", &*context), ("x-request-id", "request-7")];
    let answer = camlock_testing::request(server.address, "GET", "/api/v1/p/panics/boom?secret=1", &headers).unwrap();
    assert_eq!(answer.status, 500);
    let event = inbox.until(|event| says(event, "number 3 is too small"));
    let told = ["plugin", "generation", "stage", "trace_id", "request_id"].map(|name| tag(&event, name));
    assert_eq!(told, ["panics", "1", "serving", trace, "request-7"], "{event:#}");
    assert_eq!((tag(&event, "digest"), event["release"].as_str()), (&*digest(&server, "panics"), Some("ours@7")));
    assert_eq!(event["transaction"], "GET /api/v1/p/panics/boom");
    let exception = &event["exception"]["values"][0];
    assert_eq!((&exception["type"], &exception["module"]), (&"panic".into(), &"panics".into()), "{event:#}");
    // Sentry has the innermost function at the end.
    let frames = exception["stacktrace"]["frames"].as_array().unwrap();
    let own: Vec<_> = frames.iter().filter(|frame| frame["in_app"] == true).collect();
    let place = |name: &str| own.iter().position(|frame| frame["function"].as_str().unwrap().contains(name));
    let (outer, inner) = (place("panics::outer_function"), place("panics::inner_function"));
    assert!(outer.is_some() && inner == Some(own.len() - 1) && outer < inner, "{frames:#?}");
    let line = 1 + PANICS.lines().position(|line| line.contains("panic!(")).unwrap();
    let innermost = own.last().unwrap();
    assert!(innermost["filename"].as_str().unwrap().ends_with(".rs"), "{innermost}");
    assert_eq!(innermost["lineno"].as_u64(), u64::try_from(line).ok(), "{innermost}");

    // In a task nobody waits for an answer.
    server.until_text("/api/v1/p/panics/task", "done");
    let event = inbox.until(|event| says(event, "number 3 is too small") && event["transaction"].is_null());
    assert_eq!((tag(&event, "plugin"), tag(&event, "generation")), ("panics", "1"), "{event:#}");
    assert_eq!(tag(&event, "digest"), digest(&server, "panics"), "{event:#}");

    site.write("plugins/panics.rs", &PANICS.replace("get(|| async { \"well\" })", "got()"));
    server.until_failed("panics", "build");
    let event = inbox.until(|event| tag(event, "stage") == "build");
    assert_eq!((tag(&event, "plugin"), tag(&event, "generation")), ("panics", "2"), "{event:#}");
    assert!(says(&event, "panics.rs:"), "{event:#}");

    site.write("plugins/panics.rs", &PANICS.replace("Ok(Panics)", "panic!(\"not today\")"));
    server.until_failed("panics", "verify");
    let event = inbox.until(|event| tag(event, "stage") == "verify");
    assert!(says(&event, "not today"), "{event:#}");

    // What happens in every request is reported a few times.
    for _ in 0..50 {
        server.get("/api/v1/p/panics/boom");
    }
    server.end();
    let times = inbox.count(|event| says(event, "too small") && event["transaction"].is_string());
    assert!((2..=20).contains(&times), "{times}");
}

#[test]
fn what_keeps_a_server_from_starting_is_reported() {
    let (site, inbox) = (site(), Inbox::open());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = site.command().args(["serve", "--listen", &address]).env("SENTRY_DSN", inbox.dsn()).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let event = inbox.until(|event| says(event, "cannot be listened on"));
    let release = concat!("camlock@", env!("CARGO_PKG_VERSION"));
    assert!(event["release"].as_str().unwrap().starts_with(release), "{event:#}");
}

#[test]
fn a_bad_dsn_is_said_and_not_shown() {
    let site = site();
    let done = site.command().arg("serve").env("SENTRY_DSN", "https://hush:hush@/").output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(64), "{told}");
    assert!(told.contains("SENTRY_DSN is no DSN (`https://KEY@HOST/PROJECT`)") && !told.contains("hush"), "{told}");
    assert!(fs::read_dir(site.path("plugins")).unwrap().next().is_none());
}
