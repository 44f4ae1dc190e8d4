//! Secrets of what is on record: what lies there in plain is sealed; what cannot be opened waits for another key; and nothing that
//! people read quotes one.
//!
//! What must not live here: which places are secret, and what fits (`fitting`).

use super::{
    Supervisor,
    plugin::{Plugin, RecordedConfig},
    records::write,
    work::{RegistryReport, WorkReport},
};
use crate::{
    Failure, Fault, NotOpened, Stage,
    registry::{Actor, Decision, NotDecided, Reading, Record},
    secrets::{SecretTexts, is_masked},
};
use std::collections::BTreeSet;

impl Supervisor {
    /// Seals what somebody wrote in plain into the records of these, unless others were first.
    pub(super) fn seal_what_is_plain(&mut self, names: &BTreeSet<String>) {
        if self.records.outage.is_some() {
            return;
        }
        for name in names {
            let Some(plugin) = self.plugins.get_mut(name).filter(|plugin| plugin.on_record.orders == 0) else {
                continue;
            };
            let Some((revision, sealed)) = plugin.sealed_anew() else { continue };
            plugin.on_record.sealing = Some(revision);
            let decision = match sealed {
                Ok(decision) => decision,
                Err(why) => {
                    tracing::warn!(
                        plugin = name,
                        "secrets lie in plain in the registry and cannot be sealed here: {why}"
                    );
                    continue;
                }
            };
            let (registry, reports, name) = (self.ports.registry.clone(), self.reports.clone(), name.clone());
            tokio::spawn(async move {
                let outcome = write(&*registry, &name, decision, Actor::Server, Some(revision)).await;
                let _ = reports.send(WorkReport::Registry(RegistryReport::Sealed(name, outcome)));
            });
        }
    }

    /// They are sealed, or not.
    pub(super) fn sealed(&mut self, name: &str, outcome: Result<Record, NotDecided>) {
        match outcome {
            Ok(record) => {
                tracing::info!(plugin = name, "secrets that lay in plain in the registry are sealed now");
                self.take_record(record, None);
            }
            // Somebody was first; perhaps with this.
            Err(NotDecided::Outdated(_) | NotDecided::Unknown(_)) => {
                self.read(Reading { names: Some([name.to_owned()].into()), ..Reading::default() });
            }
            Err(NotDecided::Unavailable(why)) => {
                if let Some(plugin) = self.plugins.get_mut(name) {
                    plugin.on_record.sealing = None;
                }
                self.registry_fails(&why);
            }
        }
    }

    /// There may be another key: what could not be opened, or sealed, is tried again.
    pub(super) fn key_changed(&mut self) {
        for plugin in self.plugins.values_mut() {
            plugin.on_record.sealing = None;
            let failed = plugin.failed.as_ref().filter(|failed| failed.failure.stage == Stage::Config);
            let failed = failed.map(|failed| failed.generation);
            if let Some(serving) = plugin.serving.as_mut().filter(|serving| Some(serving.generation) == failed) {
                serving.config.offered = serving.config.taken.clone();
            }
            self.dirty.insert(plugin.name.clone());
        }
    }

    /// Those of which secrets lie in plain on record.
    pub(super) fn those_in_plain(&self) -> Vec<String> {
        self.plugins.values().filter(|plugin| plugin.has_plain_secrets()).map(|plugin| plugin.name.clone()).collect()
    }
}

impl Plugin {
    /// Whether secrets lie in plain in its record.
    fn has_plain_secrets(&self) -> bool {
        let Some(record) = self.record() else { return false };
        let is_plain = |place: &String| {
            record.config.pointer(place).is_some_and(|value| !value.is_null()) && !is_masked(&record.config, place)
        };
        self.secret_places(&record.config).iter().any(is_plain)
    }

    /// Its record with the secrets sealed that lie there in plain, and its revision; none if there are none, or that is under way.
    fn sealed_anew(&self) -> Option<(u64, Result<Decision, NotOpened>)> {
        let record =
            self.record().filter(|record| !record.removed && self.on_record.sealing != Some(record.revision))?;
        if !self.has_plain_secrets() {
            return None;
        }
        let places = self.secret_places(&record.config);
        let sealed = self.on_record.sealer.set_apart(&self.name, &record.config, &places, &record.secrets);
        let decision = sealed.map(|(config, mut secrets)| {
            secrets.retain(|place, sealed| record.secrets.get(place) != Some(sealed));
            Decision { config: Some(config), secrets, ..Decision::default() }
        });
        Some((record.revision, decision))
    }

    /// The secrets that it has, or was offered: as far as they can be opened here.
    pub(super) fn secret_texts(&self) -> SecretTexts {
        self.secret_texts_and([])
    }

    /// The same, and those in configurations that a generation had which serves no longer.
    pub(super) fn secret_texts_and<'a>(&'a self, had: impl IntoIterator<Item = &'a RecordedConfig>) -> SecretTexts {
        let mut texts = SecretTexts::default();
        if let Some(record) = self.record() {
            let plain = self.secret_places(&record.config);
            plain.iter().filter_map(|place| record.config.pointer(place)).for_each(|secret| texts.add(secret));
        }
        let serving =
            self.serving.as_ref().map(|serving| [&serving.config.taken.recorded, &serving.config.offered.recorded]);
        let candidate = self.candidate.as_ref().and_then(|candidate| candidate.config());
        let mut seen: Vec<&RecordedConfig> = Vec::new();
        for config in serving.into_iter().flatten().chain(candidate).chain([&self.on_record.config]).chain(had) {
            if config.secrets.is_empty() || seen.contains(&config) {
                continue;
            }
            seen.push(config);
            let Ok(shown) = serde_json::from_str(&config.shown) else { continue };
            let Ok(opened) = self.on_record.sealer.put_back(&self.name, &shown, &config.secrets) else { continue };
            config.secrets.keys().filter_map(|place| opened.pointer(place)).for_each(|secret| texts.add(secret));
        }
        texts
    }

    /// A failure that quotes no secret, whatever the plugin said.
    pub(super) fn without_secret_texts(&self, failure: Failure) -> Failure {
        Failure { reason: self.secret_texts().hide(&failure.reason), ..failure }
    }

    /// The same of what plugin code ended with.
    pub(super) fn fault_without_secret_texts(&self, fault: Fault) -> Fault {
        Fault { message: self.secret_texts().hide(&fault.message), ..fault }
    }
}
