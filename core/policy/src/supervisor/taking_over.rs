//! A candidate that is ready takes its predecessor's place.
//!
//! What must not live here: how it became ready (`bring_up`), and what becomes of the predecessor (`departure`).

use super::{
    Supervisor,
    ask::PendingAnswer,
    candidate::{CandidateGeneration, CandidateHead, CandidateStage},
    plan::GenerationSource,
    plugin::{
        Contracting, HandedConfig, Health, Plugin, Probation, Renewal, RenewalCause, ServedConfig, ServingGeneration,
    },
    watchful,
    work::GenerationId,
};
use crate::{
    Candidate, Digest, Loaded, Refused, Stage,
    generation::{Event, Phase},
    never,
};
use std::{
    sync::{Arc, Weak},
    time::SystemTime,
};
use tokio::{sync::watch, time::Instant};

impl Supervisor {
    /// The candidate is ready: it takes its predecessor's place, unless nobody wants it any more.
    pub(super) fn up(&mut self, id: &GenerationId, loaded: Loaded) {
        let ending = self.ending.is_some();
        let candidate = self.current(id).and_then(|plugin| {
            let candidate = plugin.candidate.take();
            if ending || !plugin.enabled() || !plugin.is_there() {
                plugin.refuse_ask("it is not wanted any more");
                let asked = candidate.and_then(|candidate| candidate.head.ask);
                for reply in asked.into_iter().flat_map(|ask| ask.replies) {
                    let _ = reply.send(Err(Refused::Conflict("it is not wanted any more".to_owned())));
                }
                return None;
            }
            candidate
        });
        match candidate {
            Some(CandidateGeneration { head, stage, .. }) => match stage {
                CandidateStage::BringingUp { artifact, config, loaded: true } => {
                    self.takes_over(id, head, artifact, config, loaded);
                }
                stage => {
                    never!("generation {} of `{}` comes up before it is loaded", id.generation, id.plugin);
                    let candidate = CandidateGeneration { head, doing: String::new(), stage };
                    if let Some(plugin) = self.plugins.get_mut(&id.plugin) {
                        plugin.candidate = Some(candidate);
                    }
                    self.never_serves(id, loaded);
                }
            },
            None => self.never_serves(id, loaded),
        }
    }

    /// An instance that nobody wants any more leaves.
    fn never_serves(&mut self, id: &GenerationId, loaded: Loaded) {
        let (farewell, _) = watch::channel(false);
        let mut phase = Phase::Starting;
        Plugin::step(&mut phase, Event::Superseded);
        let secrets = self.plugins.get(&id.plugin).map(Plugin::secret_texts).unwrap_or_default();
        self.leave(&id.plugin, id.generation, phase, loaded, (farewell, secrets));
    }

    /// From now on this generation serves.
    fn takes_over(
        &mut self,
        id: &GenerationId,
        mut head: CandidateHead,
        artifact: Arc<dyn Candidate>,
        config: HandedConfig,
        loaded: Loaded,
    ) {
        let (name, now) = (id.plugin.as_str(), Instant::now());
        let limits = self.settings.limits(name).clone();
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("`{name}` comes up and is not known");
            self.never_serves(id, loaded);
            return;
        };
        let agreed = plugin.as_agreed(&head.source, &artifact);
        let is_current = config.recorded == plugin.on_record.config;
        let configurers = if is_current { std::mem::take(&mut plugin.wishes.configurers) } else { Vec::new() };
        head.times.lap("start");
        let (digest, manifest) = (artifact.digest(), artifact.manifest().clone());
        let before = plugin.serving.take();
        let soak = plugin.soak(digest, self.looks.arriving.get(name), &self.settings);
        let predecessor = match (soak, &before) {
            // Whatever served here meanwhile: a canary goes back to what all agreed on.
            (Some(_), _) => plugin.agreed_on().cloned(),
            (None, Some(before)) => {
                let steady = before.loaded.instance.panics() < limits.panics && before.health.unwell < limits.unwell;
                before.agreed.clone().filter(|_| steady)
            }
            (None, None) => None,
        };
        let other = predecessor.clone().filter(|previous| Some(previous.digest) != digest);
        plugin.past.previous = other.or(plugin.past.previous.take());
        plugin.account_for(&head.source, digest);
        // What is wrong with the entry as it is now remains wrong.
        if plugin.is_entrys(&head.source) && !plugin.directory.is_broken() {
            plugin.failed = None;
        }
        plugin.past.passed_over = 0;
        // Not all are asked at the same instant.
        let spread = watchful::pace(&limits, true) * (plugin.registered() % 16) as u32 / 64;
        let (farewell, _) = watch::channel(false);
        plugin.past.moved_to = None;
        plugin.serving = Some(ServingGeneration {
            generation: head.generation,
            // Whatever it was made of: these bytes serve.
            source: digest.map_or(head.source.clone(), GenerationSource::Kept),
            config: ServedConfig { taken: config.clone(), offered: config },
            agreed,
            artifact,
            loaded,
            farewell,
            since: SystemTime::now(),
            held: false,
            health: Health {
                contracts: match head.tables.take() {
                    Some(tables) if tables.contracts => Contracting::Due(now + limits.probation),
                    _ => Contracting::Nothing,
                },
                probation: Some(Probation { until: now + limits.probation.max(soak.unwrap_or_default()), predecessor }),
                soaked: soak.map(|soak| now + soak),
                due: now + watchful::pace(&limits, true) + spread,
                asked: false,
                call: Weak::new(),
                unwell: 0,
            },
        });
        tracing::info!(plugin = name, generation = head.generation, version = manifest.version, "serving");
        head.times.lap("swap");
        plugin.keep_build(&head, Some(&manifest), digest, None);
        plugin.past.manifest = Some(manifest.clone());
        let replies = head.ask.take().map(|ask| ask.replies).unwrap_or_default();
        let outcome = Ok(head.times.stages.clone());
        self.shown.answers.extend(PendingAnswer::to_all(name, replies.into_iter().chain(configurers), &outcome));
        let detail = serde_json::json!({ "version": manifest.version, "artifact": digest });
        self.note(name, Some(head.generation), "serving", &head.by, detail);
        self.shown.routes_changed = true;
        if let Some(serving) = self.plugins.get(name).and_then(|plugin| plugin.serving.as_ref()) {
            self.watch_for_death(id, &serving.loaded);
        }
        let replaces = before.is_some();
        if let Some(before) = before {
            self.let_go(name, before);
            self.renew_dependents(name, now);
        }
        if replaces && !head.asked_for {
            self.brake(name, now);
        }
    }

    /// The candidate's sources are other ones, its bytes are those that serve: these serve on.
    pub(super) fn nothing_new(&mut self, name: &str, artifact: &Arc<dyn Candidate>) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("`{name}` has nothing new, and is not known");
            return;
        };
        let Some(candidate) = plugin.candidate.take() else {
            never!("`{name}` has nothing new without a candidate");
            return;
        };
        let mut phase = candidate.phase();
        Plugin::step(&mut phase, Event::Superseded);
        let (head, digest) = (candidate.head, artifact.digest());
        tracing::info!(plugin = name, generation = head.generation, "its sources changed, and its bytes did not");
        plugin.account_for(&head.source, digest);
        if !plugin.directory.is_broken() {
            plugin.failed = None;
        }
        plugin.past.passed_over = 0;
        plugin.keep_build(&head, Some(artifact.manifest()), digest, None);
        self.note(name, Some(head.generation), "unchanged", &head.by, serde_json::json!({ "artifact": digest }));
        self.brake(name, Instant::now());
        self.dirty.insert(name.to_owned());
    }

    /// Whoever depends on a plugin that was replaced begins anew, with the one that serves now.
    fn renew_dependents(&mut self, name: &str, due: Instant) {
        for dependent in self.dependents(name) {
            if let Some(plugin) = self.plugins.get_mut(&dependent) {
                let cause = RenewalCause::DependencyReplaced;
                plugin.wishes.renewal.get_or_insert(Renewal { due, cause }).due = due;
                self.dirty.insert(dependent);
            }
        }
    }
}

impl Plugin {
    /// Whether a candidate that was made of other sources has the very bytes that serve, and nobody wants them anew.
    pub(super) fn changes_nothing(&self, artifact: &Arc<dyn Candidate>) -> bool {
        let Some(head) = self.candidate.as_ref().map(|candidate| &candidate.head) else { return false };
        let same = artifact.digest().is_some() && artifact.digest() == self.served_digest();
        same && !head.anew && matches!(head.source, GenerationSource::Entry(_)) && !self.is_news(artifact)
    }

    /// What was agreed on came of an entry with another fingerprint too: that is no news any more.
    fn account_for(&mut self, source: &GenerationSource, digest: Option<Digest>) {
        let agreed = self.agreed_on().map(|agreed| agreed.digest);
        if let GenerationSource::Entry(fingerprint) = source
            && digest.is_some()
            && digest == agreed
        {
            self.directory.accounted = Some(fingerprint.clone());
        }
    }

    /// Whether what failed last serves no more because it was not well.
    fn went_back(&self) -> bool {
        self.failed.as_ref().is_some_and(|failed| failed.failure.stage == Stage::Health)
    }

    /// Whether this was made of what lies in the directory: of the entry as it is, or of what was agreed on of it.
    fn is_entrys(&self, source: &GenerationSource) -> bool {
        match source {
            GenerationSource::Entry(_) => true,
            GenerationSource::Kept(digest) => self.agreed_on().is_some_and(|agreed| {
                agreed.digest == *digest && (self.is_of_entry(agreed) || self.is_named() && !self.went_back())
            }),
        }
    }
}
