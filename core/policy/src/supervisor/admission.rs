//! Whether a prepared candidate may be loaded now: its name, its claims, what it depends on, what depends on it, and what
//! it asks for.
//!
//! What must not live here: loading itself.

use super::{
    Supervisor,
    dependencies::{self, Needs, Neighbour},
    fitting::NoConfig,
    plan::Desired,
    plugin::{NextTry, Plugin},
};
use crate::{Candidate, Failure, Headline, Manifest, Refused, Stage, never, routes::overlap};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;

impl Supervisor {
    /// What others are to who needs these.
    fn neighbours(&self, needs: &BTreeMap<String, String>) -> BTreeMap<String, Neighbour> {
        // Most need nothing, and there may be thousands.
        if needs.is_empty() {
            return BTreeMap::new();
        }
        let neighbour = |plugin: &Plugin| Neighbour {
            // What is about to stop is no support any more.
            serves: plugin
                .serving
                .as_ref()
                .filter(|_| self.ending.is_none() && plugin.wanted() != Desired::Nothing)
                .map(|serving| serving.artifact.manifest().version.clone()),
            why_not: match plugin.headline() {
                Headline::Missing => "is missing".to_owned(),
                other => format!("is {}", other.word()),
            },
            needs: plugin.needs().cloned().unwrap_or_default(),
        };
        let mut neighbours = self.plugins.values().map(|plugin| (plugin.name.clone(), neighbour(plugin))).collect();
        dependencies::without_the_unsupported(&mut neighbours);
        neighbours
    }

    /// How the needs stand of what calls itself so.
    pub(super) fn needs(&self, name: &str, manifest: &Manifest) -> Needs {
        let needs = &manifest.camlock.dependencies;
        dependencies::needs(name, needs, &self.neighbours(needs))
    }

    /// The plugins that serve and need this one.
    pub(super) fn dependents(&self, name: &str) -> Vec<String> {
        let needs = |plugin: &&Plugin| {
            let serving = plugin.serving.as_ref();
            serving.is_some_and(|serving| serving.artifact.manifest().camlock.dependencies.contains_key(name))
        };
        self.plugins.values().filter(needs).map(|plugin| plugin.name.clone()).collect()
    }

    /// A candidate that waits is looked at again; whether that changed anything.
    pub(super) fn admit_waiting(&mut self, name: &str) -> bool {
        let waits = |plugin: &Plugin| {
            let candidate = plugin.candidate.as_ref()?;
            let (artifact, why) = candidate.waiting_for()?;
            let is_due = candidate.looked_at_again().is_none_or(|again| again <= Instant::now());
            is_due.then(|| (artifact.clone(), why.to_owned()))
        };
        let Some((artifact, before)) = self.plugins.get(name).and_then(waits) else { return false };
        self.admit(name, artifact);
        self.plugins.get(name).and_then(waits).is_none_or(|(_, why)| why != before)
    }

    /// Whether a candidate may be loaded now: then that begins; or it waits, or has failed.
    pub(super) fn admit(&mut self, name: &str, artifact: Arc<dyn Candidate>) {
        let Some(plugin) = self.plugins.get(name) else {
            never!("a candidate of `{name}` is admitted, which is not known");
            return;
        };
        if let Err(failure) = self.acceptable(plugin, &artifact) {
            self.refuse(name, artifact, failure);
            return;
        }
        let config = plugin.config_for(&*artifact);
        match self.needs(name, artifact.manifest()) {
            Needs::Met => {
                match plugin.not_granted(artifact.manifest(), self.looks.arriving.get(name), &self.settings) {
                    None => match config {
                        Ok(config) => self.load_with_tables(name, artifact, config),
                        Err(NoConfig::Failure(failure)) => self.refuse(name, artifact, failure),
                        Err(NoConfig::Sealed(why)) => self.wait(name, artifact, why, None),
                    },
                    Some(why) => self.wait(name, artifact, why, None),
                }
            }
            Needs::Impossible(why) => self.refuse(name, artifact, Failure::new(Stage::Dependencies, why)),
            Needs::Unmet(why) => self.wait(name, artifact, why, None),
        }
    }

    /// It may not be loaded yet; whoever asked for it hears why.
    pub(super) fn wait(&mut self, name: &str, artifact: Arc<dyn Candidate>, why: String, again: Option<Instant>) {
        let Some(candidate) = self.plugins.get_mut(name).and_then(|plugin| plugin.candidate.as_mut()) else {
            never!("`{name}` waits without a candidate");
            return;
        };
        if candidate.waiting_for().is_none_or(|(_, before)| before != why) {
            tracing::info!(plugin = name, generation = candidate.head.generation, "waits: {why}");
        }
        for reply in candidate.head.ask.take().into_iter().flat_map(|ask| ask.replies) {
            let _ = reply.send(Err(Refused::Conflict(format!("`{name}` waits: {why}"))));
        }
        candidate.wait(artifact, why, again);
        self.dirty.insert(name.to_owned());
    }

    /// Not as things are. Where that is because of others, it may do when they change.
    pub(super) fn refuse(&mut self, name: &str, artifact: Arc<dyn Candidate>, failure: Failure) {
        let next_try = match failure.stage {
            Stage::Routes | Stage::Dependencies => NextTry::WhenOthersAllow(artifact),
            _ => NextTry::Never,
        };
        self.fail_candidate(name, failure, next_try);
    }

    /// What was refused because of others, and would not be now, is due again: who that is.
    pub(super) fn take_up_refused(&mut self) -> Vec<String> {
        let would_do = |plugin: &&Plugin| match plugin.failed.as_ref().map(|failed| &failed.next_try) {
            Some(NextTry::WhenOthersAllow(artifact)) => {
                let needs = || self.needs(&plugin.name, artifact.manifest());
                self.acceptable(plugin, artifact).is_ok() && !matches!(needs(), Needs::Impossible(_))
            }
            _ => false,
        };
        let due: Vec<_> = self.plugins.values().filter(would_do).map(|plugin| plugin.name.clone()).collect();
        for name in &due {
            if let Some(failed) = self.plugins.get_mut(name).and_then(|plugin| plugin.failed.as_mut()) {
                failed.next_try = NextTry::At(Instant::now());
            }
        }
        due
    }

    /// Those of a plugin's claims that hold.
    pub(super) fn granted_claims<'a>(&'a self, plugin: &'a Plugin) -> impl Iterator<Item = &'a String> {
        plugin.claims().iter().filter(|claim| self.settings.grants_claim(&plugin.name, claim))
    }

    /// Whether a candidate is in nobody's way.
    fn acceptable(&self, plugin: &Plugin, candidate: &Arc<dyn Candidate>) -> Result<(), Failure> {
        let manifest = candidate.manifest();
        if manifest.name != plugin.name {
            let reason = format!("the library calls itself `{}`, and its entry `{}`", manifest.name, plugin.name);
            return Err(Failure::new(Stage::Verify, reason));
        }
        if let Some(why) = candidate.digest().and_then(|digest| plugin.quarantined(digest)) {
            let reason = format!("these bytes are under quarantine: {why}; change them, or ask for a reload");
            return Err(Failure::new(Stage::Health, reason));
        }
        for other in self.plugins.values().filter(|other| other.name != plugin.name && other.is_there()) {
            // Whoever has it keeps it; of two that have nothing yet, the one registered first.
            let theirs = other.serving.is_some() || other.registered() < plugin.registered();
            let mine = manifest.camlock.routes.iter().filter(|mine| self.settings.grants_claim(&plugin.name, mine));
            let both = mine.into_iter().find_map(|mine| {
                let theirs = self.granted_claims(other).filter(|_| theirs).find(|theirs| overlap(mine, theirs))?;
                Some((mine, theirs))
            });
            if let Some((mine, theirs)) = both {
                let reason = format!(
                    "`{}` claims `{mine}`, which `{}` has already (`{theirs}`): one of them must do without",
                    plugin.name, other.name
                );
                return Err(Failure::new(Stage::Routes, reason));
            }
        }
        let left: Vec<_> = self
            .plugins
            .values()
            .filter_map(|other| {
                let serving = other.serving.as_ref()?;
                let range = serving.artifact.manifest().camlock.dependencies.get(&plugin.name)?;
                let fits = dependencies::within(range, &manifest.version) || self.follows(other, manifest);
                (!fits).then(|| format!("`{}` needs {range}", other.name))
            })
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        let left = left.join(", ");
        let reason = format!(
            "version {} would leave others without what they need: {left}; change or remove them first",
            manifest.version
        );
        Err(Failure::new(Stage::Dependencies, reason))
    }

    /// Whether a plugin has a candidate that waits for just this, and for nothing else.
    fn follows(&self, plugin: &Plugin, this: &Manifest) -> bool {
        let waits = plugin.candidate.as_ref().and_then(|candidate| candidate.waiting_for());
        waits.is_some_and(|(artifact, _)| {
            let needs = &artifact.manifest().camlock.dependencies;
            let mut neighbours = self.neighbours(needs);
            if let Some(neighbour) = neighbours.get_mut(&this.name) {
                neighbour.serves = Some(this.version.clone());
            }
            dependencies::needs(&plugin.name, needs, &neighbours) == Needs::Met
        })
    }
}
