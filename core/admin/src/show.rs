//! Plugins as JSON. Pure, but for the numbers that change by themselves: how many requests are under way.

use camlock_policy::{
    BuildView, CandidateView, Digest, Done, DrainingView, Failure, FailureView, GenerationView, Headline, Kept, Kind,
    PluginView, Stage, Use, Watch, registry::Role,
};
use jiff::{Timestamp, Unit};
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, schema::Type},
};

/// A plugin. What it is depends on who asks: `path` and what compilers said are for viewers, `config` is for admins.
#[derive(Serialize, ToSchema)]
pub(super) struct Plugin {
    /// Its name.
    name: String,
    /// The version that serves, or the last one known.
    version: String,
    description: String,
    #[schema(required)]
    category: Option<String>,
    /// `static` if it is compiled into the server.
    #[schema(schema_with = kinds)]
    kind: &'static str,
    /// Whether it is wanted.
    enabled: bool,
    /// Counts what was decided about it. It is the `ETag`, and `If-Match` may ask for it.
    revision: u64,
    #[schema(schema_with = states)]
    state: &'static str,
    /// Why, in one sentence, where there is something to say.
    #[schema(required)]
    reason: Option<String>,
    #[schema(required)]
    serving: Option<Serving>,
    #[schema(required)]
    candidate: Option<Candidate>,
    /// The last failure, until a candidate succeeds; also beside what serves.
    #[schema(required)]
    failed: Option<Failed>,
    draining: Vec<Draining>,
    pinned: Vec<Pinned>,
    endpoints: Vec<Endpoint>,
    urls: Vec<String>,
    /// Where it lies on the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    config: Option<Value>,
    /// After an act: how many milliseconds each stage took.
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<BTreeMap<&'static str, f64>>,
}

/// A generation that serves.
#[derive(Serialize, ToSchema)]
struct Serving {
    generation: u64,
    version: String,
    /// Null for a plugin that is compiled in.
    #[schema(value_type = Option<String>, required)]
    artifact: Option<Digest>,
    #[schema(required)]
    since: Option<String>,
    in_flight: usize,
    /// What the generations before it left in memory; null for a plugin that does not count it.
    #[schema(required)]
    left_behind_bytes: Option<u64>,
}

/// A generation that is on its way.
#[derive(Serialize, ToSchema)]
struct Candidate {
    generation: u64,
    stage: &'static str,
    doing: String,
    #[schema(required)]
    since: Option<String>,
}

/// A candidate that did not make it.
#[derive(Serialize, ToSchema)]
struct Failed {
    generation: u64,
    #[schema(schema_with = stages)]
    stage: Stage,
    reason: String,
    #[schema(required)]
    at: Option<String>,
    diagnostics: Vec<Diagnostic>,
}

/// What a compiler said.
#[derive(Serialize, ToSchema)]
pub(super) struct Diagnostic {
    file: String,
    line: u32,
    message: String,
    rendered: String,
}

/// A replaced generation that ends what it began.
#[derive(Serialize, ToSchema)]
struct Draining {
    generation: u64,
    in_flight: usize,
    why: String,
    #[schema(required)]
    deadline: Option<String>,
}

/// A generation that cannot leave the process for now.
#[derive(Serialize, ToSchema)]
struct Pinned {
    generation: u64,
    reason: String,
}

/// Something that a plugin answers.
#[derive(Serialize, ToSchema)]
struct Endpoint {
    /// `*` for any.
    method: String,
    path: String,
    /// Where that is known from: `openapi`, `manifest` or `mount`.
    source: &'static str,
}

/// A generation of a plugin, or an artifact of it that is kept and may be gone back to.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Generation {
    /// Null for what is only kept.
    #[schema(required)]
    generation: Option<u64>,
    /// `serving`, `draining`, `pinned` or `kept`.
    state: &'static str,
    #[schema(required)]
    version: Option<String>,
    #[schema(value_type = Option<String>, required)]
    artifact: Option<Digest>,
    /// Since when it serves, or is kept.
    #[schema(required)]
    since: Option<String>,
    #[schema(required)]
    in_flight: Option<usize>,
    /// What keeps it in the process.
    #[schema(required)]
    reason: Option<String>,
    /// When what it began is ended.
    #[schema(required)]
    deadline: Option<String>,
}

/// How a candidate was made, and what came of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Build {
    generation: u64,
    #[schema(required)]
    began: Option<String>,
    /// How many milliseconds each stage took, as far as it came.
    stages: BTreeMap<&'static str, f64>,
    #[schema(value_type = Option<String>, required)]
    artifact: Option<Digest>,
    #[schema(required)]
    version: Option<String>,
    /// Null if it came to serve.
    #[schema(required)]
    failed: Option<Failed>,
}

/// One of these words, for the document.
pub(super) fn words(words: &[&str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied())).build()
}

fn kinds() -> Object {
    words(&["dynamic", "static"])
}

fn states() -> Object {
    words(&STATES.map(Headline::word))
}

fn stages() -> Object {
    words(&["manifest", "build", "verify", "load", "start", "health", "routes", "dependencies"])
}

/// All states, for those who ask for plugins in one.
pub(super) const STATES: [Headline; 7] = [
    Headline::Serving,
    Headline::Starting,
    Headline::Waiting,
    Headline::Failed,
    Headline::Disabled,
    Headline::Missing,
    Headline::Quarantined,
];

/// A plugin, as so much as this role may see.
pub(super) fn plugin(plugin: &PluginView, role: Option<Role>) -> Plugin {
    Plugin {
        name: plugin.name.clone(),
        version: plugin.version.clone(),
        description: plugin.description.clone(),
        category: plugin.category.clone(),
        kind: if plugin.kind == Some(Kind::BuiltIn) { "static" } else { "dynamic" },
        enabled: plugin.enabled,
        revision: plugin.revision,
        state: plugin.state.word(),
        reason: plugin.reason.clone(),
        serving: plugin.serving.as_ref().map(serving),
        candidate: plugin.candidate.as_ref().map(candidate),
        failed: plugin.failed.as_ref().map(|FailureView { generation, failure, at }| {
            let diagnostics = if role.is_some() { diagnostics(failure) } else { Vec::new() };
            failed(*generation, failure, Some(*at), diagnostics)
        }),
        draining: plugin.draining.iter().map(draining).collect(),
        pinned: plugin
            .pinned
            .iter()
            .map(|pinned| Pinned { generation: pinned.generation, reason: pinned.reason.clone() })
            .collect(),
        endpoints: plugin
            .endpoints
            .iter()
            .map(|endpoint| Endpoint {
                method: endpoint.method.clone(),
                path: endpoint.path.clone(),
                source: endpoint.source,
            })
            .collect(),
        urls: plugin.urls.clone(),
        path: plugin.path.clone().filter(|_| role.is_some()),
        config: (role == Some(Role::Admin)).then(|| Value::clone(&plugin.config)),
        stages: None,
    }
}

/// A plugin after something was done to it, and how long each stage took.
pub(super) fn done(done: &Done, role: Option<Role>) -> Plugin {
    Plugin { stages: Some(milliseconds(&done.stages)), ..plugin(&done.plugin, role) }
}

/// Its generations in the process, and its artifacts that are kept beside what serves.
pub(super) fn generations(plugin: &PluginView, kept: &[Kept]) -> Vec<Generation> {
    let serves = plugin.serving.as_ref();
    let serving = serves.map(|serving| Generation {
        generation: Some(serving.generation),
        state: "serving",
        version: Some(serving.version.clone()),
        artifact: serving.artifact,
        since: time(serving.since),
        in_flight: Some(in_flight(&serving.leases)),
        ..Generation::default()
    });
    let draining = plugin.draining.iter().map(|draining| Generation {
        generation: Some(draining.generation),
        state: "draining",
        in_flight: Some(in_flight(&draining.leases)),
        reason: Some(why(&draining.leases)),
        deadline: time(draining.deadline),
        ..Generation::default()
    });
    let pinned = plugin.pinned.iter().map(|pinned| Generation {
        generation: Some(pinned.generation),
        state: "pinned",
        reason: Some(pinned.reason.clone()),
        ..Generation::default()
    });
    let digest = serves.and_then(|serving| serving.artifact);
    let kept = kept.iter().filter(|kept| Some(kept.digest) != digest).map(|kept| Generation {
        state: "kept",
        version: Some(kept.version.clone()),
        artifact: Some(kept.digest),
        since: time(kept.at),
        ..Generation::default()
    });
    serving.into_iter().chain(draining).chain(pinned).chain(kept).collect()
}

/// How a candidate was made.
pub(super) fn build(build: &BuildView) -> Build {
    Build {
        generation: build.generation,
        began: time(build.began),
        stages: milliseconds(&build.stages),
        artifact: build.artifact,
        version: build.version.clone(),
        failed: build.failure.as_ref().map(|failure| {
            let took = build.stages.iter().map(|(_, took)| *took).sum();
            failed(build.generation, failure, build.began.checked_add(took), diagnostics(failure))
        }),
    }
}

/// What a compiler said.
pub(super) fn diagnostics(failure: &Failure) -> Vec<Diagnostic> {
    let shown = |diagnostic: &camlock_policy::Diagnostic| Diagnostic {
        file: diagnostic.file.clone(),
        line: diagnostic.line,
        message: diagnostic.message.clone(),
        rendered: diagnostic.rendered.clone(),
    };
    failure.diagnostics.iter().map(shown).collect()
}

fn serving(serving: &GenerationView) -> Serving {
    Serving {
        generation: serving.generation,
        version: serving.version.clone(),
        artifact: serving.artifact,
        since: time(serving.since),
        in_flight: in_flight(&serving.leases),
        left_behind_bytes: serving.left_behind,
    }
}

fn candidate(candidate: &CandidateView) -> Candidate {
    Candidate {
        generation: candidate.generation,
        stage: candidate.stage,
        doing: candidate.doing.clone(),
        since: time(candidate.since),
    }
}

fn failed(generation: u64, failure: &Failure, at: Option<SystemTime>, diagnostics: Vec<Diagnostic>) -> Failed {
    Failed { generation, stage: failure.stage, reason: failure.reason.clone(), at: at.and_then(time), diagnostics }
}

fn draining(draining: &DrainingView) -> Draining {
    Draining {
        generation: draining.generation,
        in_flight: in_flight(&draining.leases),
        why: why(&draining.leases),
        deadline: time(draining.deadline),
    }
}

fn milliseconds(stages: &[(&'static str, Duration)]) -> BTreeMap<&'static str, f64> {
    stages.iter().map(|(stage, took)| (*stage, (took.as_secs_f64() * 1e6).round() / 1e3)).collect()
}

/// Requests without an answer, answers that are being read, and upgraded connections.
pub(super) fn in_flight(leases: &Watch) -> usize {
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
pub(super) fn time(time: SystemTime) -> Option<String> {
    let timestamp = Timestamp::try_from(time).and_then(|timestamp| timestamp.round(Unit::Millisecond));
    timestamp.ok().map(|timestamp| timestamp.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use camlock_policy::{Fingerprint, Lease, PinnedView};
    use serde_json::json;
    use std::{sync::Arc, time::UNIX_EPOCH};

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + seconds * 1000 + 250)
    }

    /// A plugin with everything.
    pub(crate) fn view() -> PluginView {
        watched(&Lease::first(|| {}).watch())
    }

    fn watched(leases: &Watch) -> PluginView {
        let failure = Failure {
            diagnostics: vec![camlock_policy::Diagnostic {
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
            config: Arc::new(json!({ "greeting": "hi" })),
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
                queued: false,
                since: at(3),
            }),
            failed: Some(FailureView { generation: 4, failure, at: at(1) }),
            draining: vec![DrainingView { generation: 2, leases: leases.clone(), deadline: at(2) }],
            pinned: vec![PinnedView { generation: 1, reason: "a thread still runs".into() }],
            builds: Vec::new(),
            openapi: None,
            endpoints: vec![camlock_policy::Endpoint {
                method: "GET".into(),
                path: "/api/v1/p/hello/hello".into(),
                source: "openapi",
            }],
            urls: vec!["/api/v1/p/hello/".into(), "/hello".into()],
        }
    }

    #[test]
    fn a_plugin_is_shown_as_is_agreed() {
        let lease = Lease::first(|| {});
        let _connection = lease.share(Use::Connection);
        let view = watched(&lease.watch());
        let artifact = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let mut expected = json!({
            "name": "hello", "version": "0.1.0", "description": "Says hello", "category": null, "kind": "dynamic", "enabled": true,
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
        assert_eq!(json!(plugin(&view, None)), expected);
        expected["path"] = "hello".into();
        expected["failed"]["diagnostics"] = json!([{
            "file": "src/lib.rs", "line": 7, "message": "mismatched types", "rendered": "error: mismatched types",
        }]);
        assert_eq!(json!(plugin(&view, Some(Role::Operator))), expected);
        expected["config"] = json!({ "greeting": "hi" });
        assert_eq!(json!(plugin(&view, Some(Role::Admin))), expected);
        expected["stages"] = json!({ "build": 1234.568, "verify": 2.0 });
        let stages = vec![("build", Duration::from_nanos(1_234_567_890)), ("verify", Duration::from_millis(2))];
        let done = done(&Done { plugin: Arc::new(view), stages }, Some(Role::Admin));
        assert_eq!(json!(done), expected);
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

    #[test]
    fn generations_and_what_is_kept() {
        let view = view();
        let kept = |bytes: &[u8], version: &str| Kept {
            name: "hello".into(),
            version: version.into(),
            fingerprint: Fingerprint(String::new()),
            digest: Digest::of(bytes),
            at: at(9),
        };
        let shown = json!(generations(&view, &[kept(b"", "0.1.0"), kept(b"old", "0.0.9")]));
        let states: Vec<_> = shown.as_array().unwrap().iter().map(|one| (&one["state"], &one["generation"])).collect();
        let expected = json!([["serving", 3], ["draining", 2], ["pinned", 1], ["kept", null]]);
        assert_eq!(json!(states), expected);
        assert_eq!((&shown[3]["version"], &shown[3]["since"]), (&json!("0.0.9"), &json!("2023-11-14T22:13:29.25Z")));
    }

    #[test]
    fn a_build_that_failed_says_when_and_why() {
        let failure = Failure::new(Stage::Verify, "it crashed");
        let stages = vec![("build", Duration::from_secs(1)), ("verify", Duration::from_millis(500))];
        let view =
            BuildView { generation: 4, began: at(0), stages, artifact: None, version: None, failure: Some(failure) };
        let expected = json!({
            "generation": 4, "began": "2023-11-14T22:13:20.25Z", "stages": { "build": 1000.0, "verify": 500.0 },
            "artifact": null, "version": null,
            "failed": {
                "generation": 4, "stage": "verify", "reason": "it crashed", "at": "2023-11-14T22:13:21.75Z",
                "diagnostics": [],
            },
        });
        assert_eq!(json!(build(&view)), expected);
    }
}
