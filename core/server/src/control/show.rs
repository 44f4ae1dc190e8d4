//! Plugins as JSON. Pure, but for the numbers that change by themselves: how many requests are under way.

use super::admit::Eyes;
use camlock_core::{
    CandidateView, Done, DrainingView, Failure, FailureView, GenerationView, Kind, PluginView, Use, Watch,
};
use jiff::{Timestamp, Unit};
use serde_json::{Value, json};
use std::time::SystemTime;

/// A plugin, as so much as these eyes may see.
pub(super) fn plugin(plugin: &PluginView, eyes: Eyes) -> Value {
    let mut shown = json!({
        "name": plugin.name, "version": plugin.version, "description": plugin.description,
        "kind": if plugin.kind == Some(Kind::BuiltIn) { "static" } else { "dynamic" },
        "enabled": plugin.enabled, "revision": plugin.revision, "state": plugin.state.word(), "reason": plugin.reason,
        "serving": plugin.serving.as_ref().map(serving),
        "candidate": plugin.candidate.as_ref().map(candidate),
        "failed": plugin.failed.as_ref().map(|failed| failure(failed, eyes)),
        "draining": plugin.draining.iter().map(draining).collect::<Vec<_>>(),
        "pinned": plugin.pinned, "endpoints": plugin.endpoints, "urls": plugin.urls,
    });
    if let (Eyes::Operator, Some(path)) = (eyes, &plugin.path) {
        shown["path"] = path.as_str().into();
    }
    shown
}

/// A plugin after something was done to it, and how long each stage took, in milliseconds.
pub(super) fn done(done: &Done) -> Value {
    let mut shown = plugin(&done.plugin, Eyes::Operator);
    for (stage, took) in &done.stages {
        shown["stages"][*stage] = ((took.as_secs_f64() * 1e6).round() / 1e3).into();
    }
    shown
}

/// What a compiler said.
pub(super) fn diagnostics(failure: &Failure) -> Value {
    json!(failure.diagnostics)
}

fn serving(serving: &GenerationView) -> Value {
    json!({
        "generation": serving.generation, "version": serving.version, "artifact": serving.artifact,
        "since": time(serving.since), "in_flight": in_flight(&serving.leases),
        // Null for a plugin that does not count it.
        "left_behind_bytes": serving.left_behind,
    })
}

fn candidate(candidate: &CandidateView) -> Value {
    json!({
        "generation": candidate.generation, "stage": candidate.stage, "doing": candidate.doing,
        "since": time(candidate.since),
    })
}

fn failure(failed: &FailureView, eyes: Eyes) -> Value {
    let diagnostics = match eyes {
        Eyes::Operator => diagnostics(&failed.failure),
        Eyes::Public => json!([]),
    };
    json!({
        "generation": failed.generation, "stage": failed.failure.stage, "reason": failed.failure.reason,
        "at": time(failed.at), "diagnostics": diagnostics,
    })
}

fn draining(draining: &DrainingView) -> Value {
    json!({
        "generation": draining.generation, "in_flight": in_flight(&draining.leases), "why": why(&draining.leases),
        "deadline": time(draining.deadline),
    })
}

/// Requests without an answer, answers that are being read, and upgraded connections.
fn in_flight(leases: &Watch) -> usize {
    [Use::Request, Use::Body, Use::Connection].map(|held_for| leases.count_of(held_for)).iter().sum()
}

/// What keeps a replaced generation, in short.
fn why(leases: &Watch) -> String {
    let parts: Vec<_> = [
        (Use::Request, "request", "requests"),
        (Use::Body, "response", "responses"),
        (Use::Connection, "WebSocket", "WebSockets"),
        (Use::Bytes, "run of bytes", "runs of bytes"),
        (Use::Job, "job", "jobs"),
    ]
    .into_iter()
    .filter_map(|(held_for, one, many)| match leases.count_of(held_for) {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    })
    .collect();
    if parts.is_empty() { "it is being shut down".to_owned() } else { parts.join(", ") }
}

/// As RFC 3339 has it, in milliseconds.
fn time(time: SystemTime) -> Option<String> {
    let timestamp = Timestamp::try_from(time).and_then(|timestamp| timestamp.round(Unit::Millisecond));
    timestamp.ok().map(|timestamp| timestamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_core::{Diagnostic, Digest, Endpoint, Headline, Lease, PinnedView, Stage};
    use std::{
        sync::Arc,
        time::{Duration, UNIX_EPOCH},
    };

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + seconds * 1000 + 250)
    }

    fn view(leases: &Watch) -> PluginView {
        let failure = Failure {
            diagnostics: vec![Diagnostic {
                file: "src/lib.rs".into(),
                line: 7,
                message: "mismatched types".into(),
                rendered: "error: mismatched types".into(),
            }],
            ..Failure::new(Stage::Build, "it does not compile")
        };
        PluginView {
            name: "hello".into(),
            version: "0.1.0".into(),
            description: "Says hello".into(),
            category: None,
            kind: Some(Kind::Crate),
            path: Some("hello".into()),
            enabled: true,
            revision: 12,
            config: Arc::default(),
            state: Headline::Serving,
            reason: None,
            serving: Some(GenerationView {
                generation: 3,
                version: "0.1.0".into(),
                artifact: Some(Digest::of(b"")),
                since: at(0),
                leases: leases.clone(),
                left_behind: Some(0),
            }),
            candidate: Some(CandidateView {
                generation: 5,
                stage: "building",
                doing: "Compiling serde".into(),
                since: at(3),
            }),
            failed: Some(FailureView { generation: 4, failure, at: at(1) }),
            draining: vec![DrainingView { generation: 2, leases: leases.clone(), deadline: at(2) }],
            pinned: vec![PinnedView { generation: 1, reason: "a thread still runs".into() }],
            builds: Vec::new(),
            openapi: None,
            endpoints: vec![Endpoint { method: "GET".into(), path: "/api/v1/p/hello/hello".into(), source: "openapi" }],
            urls: vec!["/api/v1/p/hello/".into(), "/hello".into()],
        }
    }

    #[test]
    fn a_plugin_is_shown_as_is_agreed() {
        let lease = Lease::first(|| {});
        let _connection = lease.share(Use::Connection);
        let view = view(&lease.watch());
        let artifact = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let mut expected = json!({
            "name": "hello", "version": "0.1.0", "description": "Says hello", "kind": "dynamic", "enabled": true,
            "revision": 12, "state": "serving", "reason": null,
            "serving": {
                "generation": 3, "version": "0.1.0", "artifact": artifact, "since": "2023-11-14T22:13:20.25Z",
                "in_flight": 1, "left_behind_bytes": 0,
            },
            "candidate": {
                "generation": 5, "stage": "building", "doing": "Compiling serde", "since": "2023-11-14T22:13:23.25Z",
            },
            "failed": {
                "generation": 4, "stage": "build", "reason": "it does not compile", "at": "2023-11-14T22:13:21.25Z",
                "diagnostics": [],
            },
            "draining": [
                { "generation": 2, "in_flight": 1, "why": "1 WebSocket", "deadline": "2023-11-14T22:13:22.25Z" },
            ],
            "pinned": [{ "generation": 1, "reason": "a thread still runs" }],
            "endpoints": [{ "method": "GET", "path": "/api/v1/p/hello/hello", "source": "openapi" }],
            "urls": ["/api/v1/p/hello/", "/hello"],
        });
        assert_eq!(plugin(&view, Eyes::Public), expected);
        expected["path"] = "hello".into();
        expected["failed"]["diagnostics"] = json!([{
            "file": "src/lib.rs", "line": 7, "message": "mismatched types", "rendered": "error: mismatched types",
        }]);
        assert_eq!(plugin(&view, Eyes::Operator), expected);
        expected["stages"] = json!({ "build": 1234.568, "verify": 2.0 });
        let stages = vec![("build", Duration::from_nanos(1_234_567_890)), ("verify", Duration::from_millis(2))];
        assert_eq!(done(&Done { plugin: Arc::new(view), stages }), expected);
    }

    #[test]
    fn what_keeps_it_is_told_in_short() {
        let lease = Lease::first(|| {});
        assert_eq!(why(&lease.watch()), "it is being shut down");
        let _held =
            [Use::Request, Use::Request, Use::Body, Use::Connection, Use::Job].map(|held_for| lease.share(held_for));
        assert_eq!(why(&lease.watch()), "2 requests, 1 response, 1 WebSocket, 1 job");
        assert_eq!(in_flight(&lease.watch()), 4);
    }
}
