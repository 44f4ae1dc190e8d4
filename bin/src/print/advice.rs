//! What to do about a plugin that is not well. Pure.

use camlock_api::{FailureView, Headline, PluginView, Stage};

/// What to do, if there is something to do.
pub(crate) fn advice(plugin: &PluginView) -> Option<String> {
    let name = &plugin.name;
    let reason = plugin.reason.as_deref().unwrap_or_default();
    let told = match (plugin.state, &plugin.failed) {
        (Headline::Disabled, _) => format!("`camlock enable {name}` serves it"),
        (Headline::Missing, _) if reason.contains("installed by name") => {
            format!("wait; if nothing comes of it, `camlock remove {name}` ends it")
        }
        (Headline::Missing, _) => "put its entry back into the plugins directory, and it is served again".to_owned(),
        (Headline::Quarantined, _) => format!(
            "change its source; or `camlock reload {name}` tries the same bytes again, `camlock rollback {name}` goes back"
        ),
        (Headline::Waiting, _) => "bring up what it waits for; it follows by itself".to_owned(),
        (Headline::Starting, _) => format!("wait; `camlock show {name}` says how far it is"),
        (_, Some(failed)) if failed.reason.contains("tried again") => {
            format!("it is tried again by itself; `camlock reload {name}` does so at once")
        }
        (_, Some(failed)) => about_failure(name, failed),
        _ if !plugin.pinned.is_empty() => {
            "most pinned generations leave by themselves when what holds them ends; a restart of the server clears all"
                .to_owned()
        }
        _ => return None,
    };
    Some(told)
}

fn about_failure(name: &str, failed: &FailureView) -> String {
    match failed.stage {
        Stage::Manifest => "mend its manifest and save: it is looked at again by itself".to_owned(),
        Stage::Build => {
            format!("mend it and save: it is built again by itself (`camlock show {name}`: what the compiler said)")
        }
        Stage::Verify => "mend it and save; `camlock check PATH` tries it without a server".to_owned(),
        Stage::Routes => {
            "give one of the two another path (`routes` in its manifest), or disable the other one".to_owned()
        }
        Stage::Dependencies => {
            "bring up what it depends on, or what depends on it to a version that will do".to_owned()
        }
        Stage::Config => {
            format!("`camlock config {name} schema` says what is expected, `camlock config {name} edit` mends it")
        }
        Stage::Migrate => {
            "mend its migrations in a file that has not run yet, or, if the database was in the way, reload it"
                .to_owned()
        }
        Stage::Isolate => format!(
            "`camlock doctor` says what this machine has to hold it with; `isolation.require = \"any\"` asks for no more than that, \
             and if you trust it, `camlock isolate {name} none` runs it in the server's process"
        ),
        Stage::Load | Stage::Start | Stage::Health => format!(
            "`camlock logs {name}` has what it said; mend it and save, or `camlock reload {name}` tries once more, or \
             `camlock rollback {name}` goes back"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::plugin;
    use serde_json::json;

    #[test]
    fn whoever_is_not_well_has_advice() {
        let told = |state: &str, stage: Option<&str>, reason: &str| {
            let failed = stage.map(|stage| {
                json!({
                    "generation": 4, "stage": stage, "reason": reason, "at": "2026-01-02T03:04:05Z", "diagnostics": [],
                })
            });
            advice(&plugin(json!({ "state": state, "failed": failed, "reason": reason })))
        };
        assert_eq!(told("serving", None, ""), None);
        for (state, stage, reason, expected) in [
            ("disabled", None, "", "`camlock enable hello`"),
            ("missing", None, "", "put its entry back"),
            ("missing", None, "it was installed by name, and no version of it is agreed on yet", "wait; if nothing"),
            ("quarantined", Some("health"), "it panicked", "`camlock reload hello` tries the same bytes"),
            ("waiting", Some("dependencies"), "", "what it waits for"),
            ("starting", None, "", "wait"),
            ("failed", Some("build"), "it does not compile", "mend it and save"),
            ("failed", Some("build"), "no network; it is tried again", "tried again by itself"),
            ("failed", Some("manifest"), "", "its manifest"),
            ("failed", Some("verify"), "", "camlock check"),
            ("failed", Some("config"), "", "camlock config hello edit"),
            ("failed", Some("routes"), "", "another path"),
            ("failed", Some("dependencies"), "", "depends on"),
            ("failed", Some("isolate"), "", "camlock doctor"),
            ("serving", Some("start"), "", "`camlock logs hello`"),
        ] {
            let told = told(state, stage, reason).unwrap();
            assert!(told.contains(expected), "{state} {stage:?}: {told}");
        }
        let pinned = json!({ "state": "serving", "pinned": [{ "generation": 1, "reason": "a thread" }] });
        assert!(advice(&plugin(pinned)).unwrap().contains("restart"));
    }
}
