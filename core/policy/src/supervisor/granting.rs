//! What is granted to a plugin as things are, and what follows when that changes. What must not live here: what permissions open.

use super::{Settings, Supervisor, plugin::Plugin};
use crate::{
    Grants, GrantsView, Manifest, PermissionView, PluginSource, meaning,
    registry::{Actor, Decision},
};
use camlock_api::CHECKED_BY_THE_HOST;
use std::collections::BTreeSet;

/// On what terms a plugin comes that is being installed.
#[derive(Clone, Debug, Default)]
pub(crate) struct ArrivalTerms {
    pub(super) source: PluginSource,
    /// What whoever installs it grants.
    pub(super) grants: Option<Grants>,
}

impl Plugin {
    /// What is granted to it: what an operator decided, else what its source is granted. While it arrives that is from where it
    /// comes now, whatever is on record.
    pub(super) fn grants(&self, arriving: Option<&ArrivalTerms>, settings: &Settings) -> Grants {
        let record = self.record();
        let source = arriving.map(|terms| &terms.source).or(record.map(|record| &record.source));
        let source = source.cloned().unwrap_or_default();
        let on_record = record.filter(|record| record.source == source).and_then(|record| record.grants.clone());
        let decided = arriving.and_then(|terms| terms.grants.clone()).or(on_record);
        decided.unwrap_or_else(|| match source {
            // Whoever compiled it in had it before their eyes.
            _ if record.is_some_and(|record| record.built_in) => Grants::Asked,
            PluginSource::Directory => settings.grants.clone(),
            PluginSource::Upload | PluginSource::Catalog(_) => Grants::default(),
        })
    }

    /// What this asks for and has not been granted, in a sentence, if there is anything.
    pub(super) fn not_granted(
        &self,
        manifest: &Manifest,
        arriving: Option<&ArrivalTerms>,
        settings: &Settings,
    ) -> Option<String> {
        let missing = self.grants(arriving, settings).missing(&manifest.camlock.permissions);
        if missing.is_empty() {
            return None;
        }
        let quoted: Vec<_> = missing.iter().map(|permission| format!("`{permission}`")).collect();
        let words: Vec<_> = missing.iter().map(String::as_str).collect();
        Some(format!(
            "version {} asks for {}, which nobody granted to it: `camlock grant {} {}` does",
            manifest.version,
            quoted.join(", "),
            self.name,
            words.join(" ")
        ))
    }

    /// Something may have been granted, or not any more: its generations have it from now on. Those of what came before are not
    /// given what is granted to what arrives.
    pub(super) fn apply_grants(&mut self, arriving: Option<&ArrivalTerms>, settings: &Settings) {
        if arriving.is_none() {
            let grants = self.grants(None, settings);
            self.on_record.granted.update(grants);
        }
    }

    /// What people see of that.
    pub(super) fn grants_view(&self) -> GrantsView {
        let now = self.on_record.granted.now();
        let serving = self.serving.as_ref().map(|serving| &serving.artifact);
        let waiting = self.candidate.as_ref().and_then(|candidate| candidate.artifact());
        let manifests: Vec<&Manifest> =
            serving.into_iter().chain(waiting).map(|artifact| artifact.manifest()).collect();
        // Of one that is disabled, what it last said of itself.
        let known = if manifests.is_empty() { self.past.manifest.as_ref() } else { None };
        let asked = |manifest: &Manifest| manifest.camlock.permissions.clone();
        let asked: BTreeSet<String> = manifests.into_iter().chain(known).flat_map(asked).collect();
        let granted = match now {
            Grants::These(these) if self.record().is_some_and(|record| record.grants.is_some()) => these.clone(),
            now => now.of(&asked),
        };
        GrantsView {
            source: self.record().map(|record| record.source.clone()).unwrap_or_default().to_string(),
            decided: self.record().is_some_and(|record| record.grants.is_some()),
            all: *now == Grants::Asked,
            granted: granted.into_iter().collect(),
            asked: asked
                .into_iter()
                .map(|permission| PermissionView {
                    meaning: meaning(&permission).to_owned(),
                    granted: now.cover(&permission),
                    permission,
                })
                .collect(),
            enforcement: CHECKED_BY_THE_HOST.to_owned(),
        }
    }
}

impl Supervisor {
    /// A plugin has arrived. What is on record of it says so; if nothing is, its first record will.
    pub(super) fn put_arrival_on_record(&mut self, name: &str, by: &Actor) {
        if self.plugins.get(name).is_none_or(|plugin| plugin.record().is_none_or(|record| record.removed)) {
            return;
        }
        if let Some(ArrivalTerms { source, grants }) = self.looks.arriving.remove(name) {
            self.decide_here(name, Decision { arrival: Some((source, grants)), ..Decision::default() }, by.clone());
            self.dirty.insert(name.to_owned());
        }
    }

    /// What was announced did not come: the terms that held before hold again.
    pub(super) fn does_not_arrive(&mut self, name: String, before: Option<ArrivalTerms>) {
        match before {
            Some(terms) => drop(self.looks.arriving.insert(name, terms)),
            None => drop(self.looks.arriving.remove(&name)),
        }
    }
}
