//! What of a plugin a role may see, and words for the document.

use camlock_api::{PluginView, StageTimes};
use camlock_policy::{Done, LivePlugin, registry::Role, without_paths};
use utoipa::openapi::{Object, ObjectBuilder, schema::Type};

/// A plugin now, as so much as this role may see.
pub(super) fn plugin(plugin: &LivePlugin, role: Option<Role>) -> PluginView {
    let mut view = PluginView { endpoints: plugin.endpoints(), ..plugin.now() };
    if role.is_none() {
        view.path = None;
        view.reason = view.reason.as_deref().map(without_paths);
        if let Some(failed) = &mut view.failed {
            failed.diagnostics.clear();
            failed.reason = without_paths(&failed.reason);
        }
        for pinned in &mut view.pinned {
            pinned.reason = without_paths(&pinned.reason);
        }
    }
    if role != Some(Role::Admin) {
        view.config = None;
    }
    view
}

/// A plugin after something was done to it, and how long each stage took.
pub(super) fn done(done: &Done, role: Option<Role>) -> PluginView {
    let stages = StageTimes::from_iter(done.stages.iter().copied());
    PluginView { stages: Some(stages), ..plugin(&done.plugin, role) }
}

/// One of these words, for the document.
pub(super) fn words(words: &[&str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied())).build()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use camlock_policy::{
        CandidateView, Diagnostic, Digest, DrainingView, Endpoint, FailureView, Headline, Isolation, Kind, Lease,
        PinnedView, PluginKind, ServingView, Stage, Use, UtcTime, Watch,
    };
    use serde_json::json;
    use std::{
        collections::BTreeMap,
        sync::Arc,
        time::{Duration, UNIX_EPOCH},
    };

    fn at(seconds: u64) -> UtcTime {
        (UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + seconds * 1000 + 250)).into()
    }

    /// A plugin with everything.
    pub(crate) fn view() -> PluginView {
        let diagnostic = Diagnostic {
            file: "src/lib.rs".into(),
            line: 7,
            message: "mismatched types".into(),
            rendered: "error: mismatched types".into(),
        };
        PluginView {
            name: "hello".into(),
            version: "0.1.0".into(),
            description: "Says hello".into(),
            category: None,
            kind: PluginKind::Dynamic,
            enabled: true,
            revision: 12,
            isolation: Some(Isolation::Process),
            state: Headline::Serving,
            reason: None,
            serving: Some(ServingView {
                generation: 3,
                version: "0.1.0".into(),
                artifact: Some(Digest::of(b"")),
                since: at(0),
                in_flight: 0,
                left_behind_bytes: Some(0),
                memory_bytes: None,
                descriptors: None,
                isolation: Isolation::Process,
                process: None,
            }),
            candidate: Some(CandidateView {
                generation: 5,
                stage: "building".into(),
                doing: "Compiling serde".into(),
                queued: false,
                since: at(3),
            }),
            failed: Some(FailureView {
                generation: 4,
                stage: Stage::Build,
                reason: "it does not compile".into(),
                at: at(1),
                diagnostics: vec![diagnostic],
            }),
            draining: vec![DrainingView { generation: 2, in_flight: 0, why: String::new(), deadline: at(2) }],
            pinned: vec![PinnedView { generation: 1, reason: "a thread still runs".into() }],
            endpoints: vec![Endpoint {
                method: "GET".into(),
                path: "/api/v1/p/hello/hello".into(),
                source: "openapi".into(),
            }],
            urls: vec!["/api/v1/p/hello/".into(), "/hello".into()],
            path: Some("hello".into()),
            config: Some(json!({ "greeting": "hi" })),
            stages: None,
        }
    }

    /// The same, whose generations are held so.
    pub(crate) fn live(leases: &Watch) -> LivePlugin {
        let leases = BTreeMap::from([(2, leases.clone()), (3, leases.clone())]);
        LivePlugin::new(view(), Some(Kind::Crate), leases)
    }

    #[test]
    fn a_plugin_is_shown_as_is_agreed() {
        let lease = Lease::first(|| {});
        let live = live(&lease.watch());
        let _connection = lease.share(Use::Connection);
        let artifact = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let mut expected = json!({
            "name": "hello", "version": "0.1.0", "description": "Says hello", "category": null, "kind": "dynamic", "enabled": true,
            "revision": 12, "isolation": "process", "state": "serving", "reason": null,
            "serving": {
                "generation": 3, "version": "0.1.0", "artifact": artifact, "since": "2023-11-14T22:13:20.25Z",
                "in_flight": 1, "left_behind_bytes": 0, "memory_bytes": null, "descriptors": null, "isolation": "process",
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
        assert_eq!(json!(plugin(&live, None)), expected);
        expected["path"] = "hello".into();
        expected["failed"]["diagnostics"] = json!([{
            "file": "src/lib.rs", "line": 7, "message": "mismatched types", "rendered": "error: mismatched types",
        }]);
        assert_eq!(json!(plugin(&live, Some(Role::Operator))), expected);
        expected["config"] = json!({ "greeting": "hi" });
        assert_eq!(json!(plugin(&live, Some(Role::Admin))), expected);
        expected["stages"] = json!({ "build": 1234.568, "verify": 2.0 });
        let stages = vec![("build", Duration::from_nanos(1_234_567_890)), ("verify", Duration::from_millis(2))];
        let done = done(&Done { plugin: Arc::new(live), stages }, Some(Role::Admin));
        assert_eq!(json!(done), expected);
    }
}
