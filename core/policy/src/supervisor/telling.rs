//! What the supervisor tells the registry: what happened, and what this node serves.
//!
//! Nobody waits for either. What must not live here: reading.

use super::{Supervisor, plugin::Plugin, work::Report};
use crate::registry::{Actor, Happened, Served, Unavailable};
use std::{
    mem,
    time::{Duration, SystemTime},
};

/// Between two reports: what changes in between is told together.
const PAUSE: Duration = Duration::from_millis(200);

impl Supervisor {
    /// Notes what happened.
    pub(super) fn note(
        &self,
        plugin: &str,
        generation: Option<u64>,
        what: &'static str,
        by: &Actor,
        detail: serde_json::Value,
    ) {
        let plugin = Some(plugin.to_owned()).filter(|plugin| !plugin.is_empty());
        let by = by.clone();
        self.ports.registry.note(Happened { plugin, generation, what, by, detail, at: SystemTime::now() });
    }

    /// Tells what this node serves, where that changed.
    pub(super) fn report_what_changed(&mut self, changed: &[String]) {
        for name in changed {
            let Some(plugin) = self.plugins.get_mut(name).filter(|plugin| plugin.record.is_some()) else { continue };
            let served = plugin.served();
            // A record that others made, of something that was never here, is not worth a word.
            if plugin.told.is_none() && plugin.entry.is_none() && plugin.serving.is_none() {
                continue;
            }
            if plugin.told.as_ref() == Some(&served) {
                continue;
            }
            plugin.told = Some(served.clone());
            // What does not serve answers nothing for now; what it answers stays on record.
            let endpoints = self.shown.get(name).filter(|view| view.serving.is_some()).map(|view| &view.endpoints);
            let endpoints = endpoints.filter(|endpoints| **endpoints != plugin.told_endpoints).cloned();
            if let Some(endpoints) = &endpoints {
                plugin.told_endpoints.clone_from(endpoints);
            }
            let unheard = self.unheard.remove(name).and_then(|unheard| unheard.endpoints);
            self.unheard.insert(name.clone(), Served { endpoints: endpoints.or(unheard), ..served });
        }
        self.report_next();
    }

    pub(super) fn report_next(&mut self) {
        if self.unheard.is_empty() || mem::replace(&mut self.reporting, true) {
            return;
        }
        let served: Vec<_> = mem::take(&mut self.unheard).into_values().collect();
        let (registry, desk) = (self.ports.registry.clone(), self.desk("", 0));
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE).await;
            let outcome = registry.report(served.clone()).await;
            desk.tell(Report::Reported(served, outcome));
        });
    }

    pub(super) fn reported(&mut self, served: Vec<Served>, outcome: Result<(), Unavailable>) {
        self.reporting = false;
        if let Err(why) = outcome {
            // It is told with the next, once the registry can be used again.
            for served in served {
                self.unheard.entry(served.plugin.clone()).or_insert(served);
            }
            self.registry_fails(&why);
            return;
        }
        self.report_next();
    }
}

impl Plugin {
    fn served(&self) -> Served {
        let serving = self.serving.as_ref();
        Served {
            plugin: self.name.clone(),
            state: self.headline(),
            reason: self.reason(),
            generation: serving.map(|serving| serving.generation),
            artifact: serving.and_then(|serving| serving.candidate.digest()),
            version: serving.map(|serving| serving.candidate.manifest().version.clone()),
            seen: self.seen.clone(),
            endpoints: None,
            revision: self.record.as_ref().map_or(0, |record| record.revision),
        }
    }
}
