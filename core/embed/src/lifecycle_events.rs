//! What the host itself emits: what became of a plugin from one overview to the next, as events of `camlock.plugin.NAME.…`. Here it is
//! decided which kind that is. Pure, but for who follows the overview.
//!
//! What must not live here: how events are brought to those who hear of them.

use camlock_policy::{Headline, LivePlugin, Overview};
use camlock_services::events::PluginEvents;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// Emits it, and has plugins hear of what their manifests name, for as long as there are overviews.
pub(crate) async fn follow(events: PluginEvents, mut overview: watch::Receiver<Arc<Overview>>) {
    let mut before: BTreeMap<String, Arc<LivePlugin>> = BTreeMap::new();
    loop {
        let now = overview.borrow_and_update().clone();
        let mut gone = std::mem::take(&mut before);
        let mut told = Vec::new();
        for plugin in &now.plugins {
            let seen = gone.remove(&plugin.name);
            if !seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, plugin)) {
                subscribe(&events, plugin);
                told.extend(kinds(seen.as_deref(), Some(plugin)).into_iter().map(|kind| (plugin.name.clone(), kind)));
            }
            before.insert(plugin.name.clone(), plugin.clone());
        }
        for (name, seen) in gone {
            events.serve(&name, &[]);
            told.extend(kinds(Some(&seen), None).into_iter().map(|kind| (name.clone(), kind)));
        }
        // Whoever just came to serve hears of it too.
        for (name, (kind, detail)) in told {
            events.emit_of_host(&format!("camlock.plugin.{name}.{kind}"), detail.to_string().as_bytes());
        }
        if overview.changed().await.is_err() {
            return;
        }
    }
}

/// What its manifest names is brought to it, as far as it is granted.
fn subscribe(events: &PluginEvents, plugin: &LivePlugin) {
    let granted: Vec<&str> =
        plugin.grants.asked.iter().filter(|asked| asked.granted).map(|asked| asked.permission.as_str()).collect();
    let wanted: Vec<_> = plugin
        .subscriptions
        .iter()
        .map(|wanted| (wanted.clone(), camlock_policy::may_subscribe(granted.iter().copied(), &wanted.pattern)))
        .collect();
    events.serve(&plugin.name, &wanted);
}

/// What became of a plugin: the last word of each topic, and what is said of it.
fn kinds(before: Option<&LivePlugin>, now: Option<&LivePlugin>) -> Vec<(&'static str, Value)> {
    let Some(now) = now else {
        return before.map(|_| ("removed", json!({}))).into_iter().collect();
    };
    let mut kinds = Vec::new();
    if let Some(before) = before
        && before.enabled != now.enabled
    {
        kinds.push((if now.enabled { "enabled" } else { "disabled" }, json!({})));
    }
    let served = before.and_then(|before| before.serving.as_ref());
    match (served, &now.serving) {
        (None, Some(serving)) => kinds.push(("loaded", generation(serving.generation, &serving.version))),
        (Some(served), Some(serving)) if served.generation != serving.generation => {
            kinds.push(("reloaded", generation(serving.generation, &serving.version)));
        }
        (Some(_), None) if now.enabled && now.state != Headline::Missing => {
            kinds.push(("stopped", json!({ "reason": now.reason })));
        }
        _ => {}
    }
    let failed_before = before.and_then(|before| before.failed.as_ref()).map(|failed| (failed.generation, failed.at));
    if let Some(failed) = &now.failed
        && failed_before != Some((failed.generation, failed.at))
    {
        let (generation, stage, reason) = (failed.generation, failed.stage, &failed.reason);
        kinds.push(("failed", json!({ "generation": generation, "stage": stage, "reason": reason })));
    }
    for (state, kind) in [(Headline::Missing, "missing"), (Headline::Quarantined, "quarantined")] {
        if now.state == state && before.is_some_and(|before| before.state != state) {
            kinds.push((kind, json!({ "reason": now.reason })));
        }
    }
    kinds
}

fn generation(generation: u64, version: &str) -> Value {
    json!({ "generation": generation, "version": version })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(changes: Value) -> LivePlugin {
        let mut view = json!({
            "name": "hello", "version": "0.1.0", "description": "", "category": null, "kind": "dynamic", "enabled": true,
            "revision": 1, "state": "starting", "reason": null, "serving": null, "candidate": null, "failed": null,
            "draining": [], "pinned": [], "endpoints": [], "urls": [],
        });
        for (key, value) in changes.as_object().unwrap() {
            view[key] = value.clone();
        }
        LivePlugin::new(serde_json::from_value(view).unwrap(), None, BTreeMap::new())
    }

    fn serving(generation: u64) -> Value {
        let since = "2026-01-02T03:04:05Z";
        json!({ "state": "serving", "serving": {
            "generation": generation, "version": "0.1.0", "artifact": null, "since": since, "in_flight": 0,
            "left_behind_bytes": null, "memory_bytes": null, "descriptors": null,
        } })
    }

    fn words(before: Option<&Value>, now: Option<&Value>) -> Vec<&'static str> {
        let plugin = |changes: &Value| plugin(changes.clone());
        let (before, now) = (before.map(plugin), now.map(plugin));
        kinds(before.as_ref(), now.as_ref()).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn what_becomes_of_a_plugin_in_a_word() {
        let (starting, first, second) = (json!({}), serving(1), serving(2));
        let disabled = json!({ "state": "disabled", "enabled": false });
        let mut failed = second.clone();
        failed["failed"] = json!({ "generation": 3, "stage": "build", "reason": "no", "at": "2026-01-02T03:04:05Z", "diagnostics": [] });
        let (missing, quarantined) = (json!({ "state": "missing" }), json!({ "state": "quarantined" }));
        for (before, now, expected) in [
            (None, Some(&starting), &[][..]),
            (None, Some(&first), &["loaded"]),
            (Some(&starting), Some(&first), &["loaded"]),
            (Some(&first), Some(&first), &[]),
            (Some(&first), Some(&second), &["reloaded"]),
            (Some(&second), Some(&failed), &["failed"]),
            (Some(&failed), Some(&failed), &[]),
            (Some(&first), Some(&disabled), &["disabled"]),
            (Some(&disabled), Some(&starting), &["enabled"]),
            (Some(&first), Some(&starting), &["stopped"]),
            (Some(&first), Some(&missing), &["missing"]),
            (Some(&first), Some(&quarantined), &["stopped", "quarantined"]),
            (Some(&first), None, &["removed"]),
        ] {
            assert_eq!(words(before, now), expected, "{before:?} {now:?}");
        }
    }
}
