//! What the supervisor tells the registry: what happened, and what this node serves.
//!
//! Nobody waits for either. What must not live here: reading.

use super::{
    Supervisor,
    plugin::Plugin,
    work::{self, RegistryReport, WorkReport},
};
use crate::{
    Fingerprint, OpQueue,
    registry::{Actor, Happened, Served, Unavailable},
};
use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, SystemTime},
};

/// Between two reports: what changes in between is told together.
const PAUSE: Duration = Duration::from_millis(200);

/// What the registry is to know of this node, by plugin.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    unsent: BTreeMap<String, Served>,
    sends: OpQueue,
}

impl Supervisor {
    /// Notes what happened to a plugin.
    pub(super) fn note(
        &self,
        plugin: &str,
        generation: Option<u64>,
        what: &'static str,
        by: &Actor,
        detail: serde_json::Value,
    ) {
        let (plugin, by) = (Some(plugin.to_owned()), by.clone());
        self.ports.registry.note(Happened { plugin, generation, what, by, detail, at: SystemTime::now() });
    }

    /// Notes what happened, and which plugin that concerns is not known.
    pub(super) fn note_of_server(&self, what: &'static str, by: &Actor, detail: serde_json::Value) {
        let by = by.clone();
        self.ports.registry.note(Happened { plugin: None, generation: None, what, by, detail, at: SystemTime::now() });
    }

    /// Tells what this node serves, where that changed.
    pub(super) fn report_what_changed(&mut self, changed: &[String]) {
        for name in changed {
            let Some(plugin) = self.plugins.get_mut(name).filter(|plugin| plugin.record().is_some()) else { continue };
            let served = plugin.served();
            // A record that others made, of something that was never here, is not worth a word.
            if plugin.on_record.reported.is_none() && !plugin.is_there() && plugin.serving.is_none() {
                continue;
            }
            if plugin.on_record.reported.as_ref() == Some(&served) {
                continue;
            }
            plugin.on_record.reported = Some(served.clone());
            // What does not serve answers nothing for now; what it answers stays on record.
            let view = self.shown.views.get(name).filter(|view| view.serving.is_some());
            let endpoints = view.map(|view| &view.endpoints);
            let endpoints = endpoints.filter(|endpoints| **endpoints != plugin.on_record.reported_endpoints).cloned();
            if let Some(endpoints) = &endpoints {
                plugin.on_record.reported_endpoints.clone_from(endpoints);
            }
            let unsent = &mut self.records.outbox.unsent;
            let before = unsent.remove(name).and_then(|unsent| unsent.endpoints);
            unsent.insert(name.clone(), Served { endpoints: endpoints.or(before), ..served });
        }
        self.report_next();
    }

    /// Sends what was not sent yet, unless that is under way: then it follows.
    pub(super) fn report_next(&mut self) {
        if !self.records.outbox.unsent.is_empty() && self.records.outbox.sends.request() {
            self.begin_report();
        }
    }

    fn begin_report(&mut self) {
        let served: Vec<_> = mem::take(&mut self.records.outbox.unsent).into_values().collect();
        let (registry, reports, panicked) = (self.ports.registry.clone(), self.reports.clone(), served.clone());
        let lost = move || {
            let outcome = Err(work::lost_call("telling what serves"));
            WorkReport::Registry(RegistryReport::Reported(panicked, outcome))
        };
        work::begin(reports.clone(), lost, async move {
            tokio::time::sleep(PAUSE).await;
            let outcome = registry.report(served.clone()).await;
            let _ = reports.send(WorkReport::Registry(RegistryReport::Reported(served, outcome)));
        });
    }

    pub(super) fn reported(&mut self, served: Vec<Served>, outcome: Result<(), Unavailable>) {
        let more = self.records.outbox.sends.finish().is_some();
        if let Err(why) = outcome {
            // It is told with the next, at the latest once the registry can be used again.
            for served in served {
                self.records.outbox.unsent.entry(served.plugin.clone()).or_insert(served);
            }
            self.registry_fails(&why);
        }
        if more {
            self.begin_report();
        }
    }
}

impl Plugin {
    /// What the next server on this node need not try. Where nothing lay, whatever is found is new. Of a canary
    /// the outcome is not known: it is tried anew.
    fn accounted_for(&self) -> Option<Fingerprint> {
        if self.is_named() {
            return Some(Fingerprint::NOTHING);
        }
        self.directory.accounted.clone().filter(|_| !self.tries_a_canary())
    }

    fn served(&self) -> Served {
        let serving = self.serving.as_ref();
        Served {
            plugin: self.name.clone(),
            state: self.headline(),
            reason: self.reason(),
            generation: serving.map(|serving| serving.generation),
            artifact: serving.and_then(|serving| serving.artifact.digest()),
            version: serving.map(|serving| serving.artifact.manifest().version.clone()),
            seen: self.accounted_for(),
            endpoints: None,
            revision: self.record().map_or(0, |record| record.revision),
        }
    }
}
