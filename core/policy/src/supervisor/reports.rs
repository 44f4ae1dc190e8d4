//! What work reports, and what follows: the only place where a candidate moves on, serves, or fails.

use super::{
    Supervisor,
    ask::PendingAnswer,
    candidate::{CandidateGeneration, CandidateHead, CandidateStage},
    plan::GenerationSource,
    plugin::{
        Attempt, AttemptReason, FailedGeneration, Health, NextTry, Plugin, Probation, Renewal, RenewalCause,
        ServedConfig, ServingGeneration,
    },
    restarts::backoff,
    settle::FailedCandidate,
    watchful,
    work::{DirectoryReport, GenerationId, GenerationReport, RegistryReport, WorkReport},
};
use crate::{
    BuildProgress, BuildView, Candidate, Digest, Failure, Fingerprint, Loaded, Manifest, Refused,
    generation::{Event, Phase},
    never,
    registry::Actor,
};
use std::{
    sync::{Arc, Weak},
    time::SystemTime,
};
use tokio::{sync::watch, time::Instant};
use tracing::field::display;

/// So many of a plugin's builds are remembered.
const BUILDS: usize = 20;

impl Plugin {
    /// Remembers how a candidate was made, and what came of it.
    fn keep_build(
        &mut self,
        head: &CandidateHead,
        manifest: Option<&Manifest>,
        artifact: Option<Digest>,
        failure: Option<&Failure>,
    ) {
        self.past.builds.push_front(Arc::new(BuildView {
            generation: head.generation,
            began: head.since.into(),
            stages: head.times.stages.iter().copied().collect(),
            artifact,
            version: manifest.map(|manifest| manifest.version.clone()),
            failed: failure.map(|failure| {
                let took: std::time::Duration = head.times.stages.iter().map(|(_, took)| *took).sum();
                failure.view(head.generation, head.since + took)
            }),
        }));
        self.past.builds.truncate(BUILDS);
    }

    /// Whether this was made of what lies in the directory: of the entry as it is, or of what was agreed on of it.
    fn is_entrys(&self, source: &GenerationSource) -> bool {
        match source {
            GenerationSource::Entry(_) => true,
            GenerationSource::Kept(digest) => self.agreed_on().is_some_and(|agreed| {
                agreed.digest == *digest
                    && agreed.fingerprint.is_some()
                    && agreed.fingerprint.as_ref() == self.directory.fingerprint()
            }),
        }
    }
}

impl Supervisor {
    pub(super) fn report(&mut self, report: WorkReport) {
        match report {
            WorkReport::Directory(report) => self.directory_report(report),
            WorkReport::Registry(report) => self.registry_report(report),
            WorkReport::Generation(id, report) => {
                // That a plugin is well changes nothing that is shown.
                if !matches!(report, GenerationReport::Health(_)) {
                    self.dirty.insert(id.plugin.clone());
                }
                self.generation_report(&id, report);
            }
        }
    }

    fn directory_report(&mut self, report: DirectoryReport) {
        match report {
            DirectoryReport::Scanned(scan) => self.scanned(scan),
            DirectoryReport::Moved { plugin, outcome } => self.moved(&plugin, outcome),
            DirectoryReport::Installed { by, outcome, reply } => self.installed(by, outcome, reply),
            DirectoryReport::History { kept, order, reply } => self.looked_up(&kept, *order, reply),
            DirectoryReport::Swept => self.swept(),
        }
    }

    fn registry_report(&mut self, report: RegistryReport) {
        match report {
            RegistryReport::Read { reading, began, outcome } => self.was_read(reading, began, outcome),
            RegistryReport::Registered(outcome) => self.registered(outcome),
            RegistryReport::Decided { order, outcome, reply } => self.decided(*order, outcome, reply),
            RegistryReport::DecidedHere(outcome) => self.decided_here(outcome),
            RegistryReport::Answered(outcome) => self.answered(outcome),
            RegistryReport::Reported(served, outcome) => self.reported(served, outcome),
        }
    }

    fn generation_report(&mut self, id: &GenerationId, report: GenerationReport) {
        match report {
            GenerationReport::Progress(progress) => self.progressed(id, progress),
            GenerationReport::Learned(fingerprint) => self.learned(id, fingerprint),
            GenerationReport::Built => self.if_current(id, CandidateGeneration::mark_built),
            GenerationReport::Prepared(Ok(artifact)) => self.prepared(id, artifact),
            GenerationReport::Prepared(Err(failure)) => self.did_not_come_up(id, failure, None),
            GenerationReport::Loaded => self.if_current(id, CandidateGeneration::mark_loaded),
            GenerationReport::Hold(held) => self.hold(id, held),
            GenerationReport::Ready(open) => self.at_the_gate(id, open),
            GenerationReport::Proposed(outcome) => self.proposed(id, outcome),
            GenerationReport::Up(Ok(loaded)) => self.up(id, loaded),
            GenerationReport::Up(Err((failure, loaded))) => self.did_not_come_up(id, failure, loaded),
            GenerationReport::Health(outcome) => self.health_answered(id, outcome),
            GenerationReport::Configured(config, outcome) => self.configured(id, config, outcome),
            GenerationReport::Stuck(reason) => self.stuck(id, reason),
            GenerationReport::Left(left_behind) => self.left(id, left_behind),
        }
    }

    /// The plugin, if this generation is still its candidate. One that was given up may still report.
    pub(super) fn current(&mut self, id: &GenerationId) -> Option<&mut Plugin> {
        let plugin = self.plugins.get_mut(&id.plugin)?;
        let candidate = plugin.candidate.as_ref()?;
        (candidate.head.generation == id.generation).then_some(plugin)
    }

    fn if_current(&mut self, id: &GenerationId, change: impl FnOnce(&mut CandidateGeneration)) {
        if let Some(candidate) = self.current(id).and_then(|plugin| plugin.candidate.as_mut()) {
            change(candidate);
        }
    }

    fn progressed(&mut self, id: &GenerationId, progress: BuildProgress) {
        self.if_current(id, |candidate| {
            candidate.head.times.queue(progress.is_queued);
            candidate.doing = progress.to_string();
        });
    }

    /// A build taught what its plugin is made of. So will the next look have the entry: that is no change of it.
    fn learned(&mut self, id: &GenerationId, fingerprint: Fingerprint) {
        let Some(plugin) = self.current(id) else { return };
        let Some(candidate) = plugin.candidate.as_mut() else { return };
        if let GenerationSource::Entry(before) = &mut candidate.head.source {
            if let Some(entry) = plugin.directory.entry_mut().filter(|entry| entry.fingerprint == *before) {
                entry.fingerprint = fingerprint.clone();
            }
            *before = fingerprint;
        }
    }

    fn hold(&mut self, id: &GenerationId, held: tokio::sync::oneshot::Sender<()>) {
        if let Some(serving) = self.current(id).and_then(|plugin| plugin.serving.as_mut()) {
            serving.held = true;
            self.shown.routes_changed = true;
            self.shown.when_published.push(held);
        }
    }

    fn prepared(&mut self, id: &GenerationId, artifact: Arc<dyn Candidate>) {
        // What was given up is of no use; its bytes are kept.
        let Some(plugin) = self.current(id) else { return };
        if let Some(candidate) = plugin.candidate.as_mut() {
            candidate.head.times.lap("verify");
            candidate.doing.clear();
        }
        if plugin.serving.is_none() {
            plugin.past.manifest = Some(artifact.manifest().clone());
        }
        if let Some(why) = artifact.stays() {
            tracing::warn!(plugin = id.plugin, generation = id.generation, "it will not leave once loaded: {why}");
        }
        self.admit(&id.plugin, artifact);
    }

    /// The candidate is ready: it takes its predecessor's place, unless nobody wants it any more.
    fn up(&mut self, id: &GenerationId, loaded: Loaded) {
        let ending = self.ending.is_some();
        let candidate = self.current(id).and_then(|plugin| {
            let candidate = plugin.candidate.take();
            if ending || !plugin.enabled() || plugin.entry().is_none() {
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
        self.leave(&id.plugin, id.generation, phase, loaded, farewell);
    }

    /// From now on this generation serves.
    fn takes_over(
        &mut self,
        id: &GenerationId,
        mut head: CandidateHead,
        artifact: Arc<dyn Candidate>,
        config: Arc<str>,
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
        let is_current = config == plugin.on_record.config;
        let configurers = if is_current { std::mem::take(&mut plugin.wishes.configurers) } else { Vec::new() };
        head.times.lap("start");
        let (digest, manifest) = (artifact.digest(), artifact.manifest().clone());
        let before = plugin.serving.take();
        let predecessor = before.as_ref().and_then(|before| {
            let steady = before.loaded.instance.panics() < limits.panics && before.health.unwell < limits.unwell;
            before.agreed.clone().filter(|_| steady)
        });
        let other = predecessor.clone().filter(|previous| Some(previous.digest) != digest);
        plugin.past.previous = other.or(plugin.past.previous.take());
        if let GenerationSource::Entry(fingerprint) = &head.source {
            // These bytes were agreed on under another fingerprint: the entry is accounted for with them all the same.
            plugin.directory.accounted = Some(fingerprint.clone());
        }
        // What is wrong with the entry as it is now remains wrong.
        if plugin.is_entrys(&head.source) && !plugin.directory.is_broken() {
            plugin.failed = None;
        }
        plugin.past.passed_over = 0;
        // Not all are asked at the same instant.
        let spread = watchful::pace(&limits, true) * (plugin.registered() % 16) as u32 / 64;
        let (farewell, _) = watch::channel(false);
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
                probation: Some(Probation { until: now + limits.probation, predecessor }),
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
        let replaces = before.is_some();
        if let Some(before) = before {
            self.let_go(name, before);
            self.renew_dependents(name, now);
        }
        if replaces && !head.asked_for {
            self.brake(name, now);
        }
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

    /// A generation that nobody asked for has ended its way. If these come too fast, the next one has to wait, and that is told.
    fn brake(&mut self, name: &str, now: Instant) {
        let Some(pause) = self.plugins.get_mut(name).and_then(|plugin| plugin.past.brake.count(now)) else { return };
        let seconds = pause.length.as_secs();
        tracing::warn!(
            plugin = name,
            "it changed again and again, and nobody asked for that: changes wait for {seconds} s now, a reload does not"
        );
        self.note(name, None, "held-back", &Actor::Server, serde_json::json!({ "seconds": seconds }));
    }

    fn did_not_come_up(&mut self, id: &GenerationId, failure: Failure, loaded: Option<Loaded>) {
        if let Some(loaded) = loaded {
            let phase = Phase::Failed(failure.clone());
            let (farewell, _) = watch::channel(false);
            self.leave(&id.plugin, id.generation, phase, loaded, farewell);
        }
        if self.current(id).is_some() {
            self.fail_candidate(&id.plugin, failure, NextTry::Never);
        }
    }

    /// The candidate failed; what serves goes on. What may pass is tried again later, whatever `next_try` says.
    pub(super) fn fail_candidate(&mut self, name: &str, failure: Failure, next_try: NextTry) {
        let Some(candidate) = self.plugins.get_mut(name).and_then(|plugin| plugin.candidate.take()) else {
            never!("a candidate of `{name}` fails, and it has none");
            return;
        };
        let phase = candidate.phase();
        let digest = candidate.artifact().and_then(|artifact| artifact.digest());
        self.has_failed(name, FailedCandidate { head: candidate.head, phase, digest }, failure, next_try);
    }

    /// A candidate failed that is none any more.
    pub(super) fn has_failed(&mut self, name: &str, failed: FailedCandidate, failure: Failure, next_try: NextTry) {
        let FailedCandidate { mut head, mut phase, digest } = failed;
        let failure = failure.with_hint();
        let now = Instant::now();
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("a candidate of `{name}` fails, which is not known");
            return;
        };
        Plugin::step(&mut phase, Event::Failed(failure.clone()));
        let (stage, digest) = (display(failure.stage), digest.map(display));
        // A target of its own: a terminal that tells what becomes of plugins does not log it once more.
        tracing::error!(
            target: "camlock_policy::outcome",
            plugin = name,
            generation = head.generation,
            stage,
            digest,
            "failed: {failure}"
        );
        if plugin.serving.as_mut().is_some_and(|serving| std::mem::take(&mut serving.held)) {
            self.shown.routes_changed = true;
        }
        let was_fallback = plugin.fallback().is_some_and(|agreed| head.source == GenerationSource::Kept(agreed.digest));
        match &mut plugin.failed {
            // What it was to stand in for is what people have to know.
            Some(failed) if was_fallback => failed.fallback_failed = true,
            before => {
                let attempts = before.take().filter(|failed| failed.source == head.source);
                let attempts = attempts.map_or(1, |failed| failed.attempts + 1);
                *before = Some(FailedGeneration {
                    generation: head.generation,
                    source: head.source.clone(),
                    failure: failure.clone(),
                    at: SystemTime::now(),
                    attempts,
                    next_try: if failure.transient { NextTry::At(now + backoff(attempts)) } else { next_try },
                    fallback_failed: false,
                });
            }
        }
        plugin.past.passed_over = 0;
        let tried = |attempt: &mut Attempt| head.source == GenerationSource::Kept(attempt.agreed.digest);
        let attempt = plugin.wishes.attempt.take_if(tried);
        plugin.keep_build(&head, None, None, Some(&failure));
        plugin.fall_back();
        let detail = serde_json::json!({ "stage": failure.stage, "reason": failure.reason });
        let answer = failure.to_string();
        let refused = Refused::Failed { failure, generation: head.generation, plugin: plugin.view() };
        let replies = head.ask.take().into_iter().flat_map(|ask| ask.replies);
        self.shown.answers.extend(PendingAnswer::to_all(name, replies, &Err(refused)));
        self.note(name, Some(head.generation), "failed", &head.by, detail);
        if let Some(Attempt { reason: AttemptReason::Rollout(id), .. }) = attempt {
            self.answer(id, Err(answer));
        }
        if !head.asked_for {
            self.brake(name, now);
        }
        self.dirty.insert(name.to_owned());
    }

    fn stuck(&mut self, id: &GenerationId, reason: String) {
        let leaving = self.plugins.get_mut(&id.plugin).and_then(|plugin| plugin.leaving.get_mut(&id.generation));
        let Some(leaving) = leaving else {
            never!("generation {} of `{}` is stuck and does not leave", id.generation, id.plugin);
            return;
        };
        tracing::warn!(plugin = id.plugin, generation = id.generation, "it cannot leave: {reason}");
        Plugin::step(&mut leaving.phase, Event::Stuck(reason.clone()));
        self.note(&id.plugin, Some(id.generation), "pinned", &Actor::Sql, serde_json::json!({ "reason": reason }));
    }

    fn left(&mut self, id: &GenerationId, left_behind: Option<u64>) {
        let most = self.settings.limits(&id.plugin).pinned;
        let Some(plugin) = self.plugins.get_mut(&id.plugin) else {
            never!("generation {} of `{}` has left, which is not known", id.generation, id.plugin);
            return;
        };
        if let Some(bytes) = left_behind {
            plugin.past.left_behind = Some(plugin.past.left_behind.unwrap_or(0) + bytes);
        }
        let Some(mut leaving) = plugin.leaving.remove(&id.generation) else {
            never!("generation {} of `{}` has left twice", id.generation, id.plugin);
            return;
        };
        Plugin::step(&mut leaving.phase, Event::Left);
        tracing::info!(plugin = id.plugin, generation = id.generation, "left the process");
        if plugin.pinned() < most {
            plugin.try_what_pins_refused();
        }
        self.note(&id.plugin, Some(id.generation), "left", &Actor::Sql, serde_json::json!({}));
        self.sweep();
    }
}

impl Plugin {
    /// Generations that were in the way have left: what was refused because of them is due.
    fn try_what_pins_refused(&mut self) {
        let Some(failed) = self.failed.as_mut().filter(|failed| matches!(failed.next_try, NextTry::WhenPinsGo)) else {
            return;
        };
        let due = Instant::now();
        failed.next_try = NextTry::At(due);
        // A reload of what serves: nothing else would bring a new generation.
        if self.serving.as_ref().is_some_and(|serving| serving.source == failed.source) {
            self.wishes.renewal.get_or_insert(Renewal { due, cause: RenewalCause::PinsGone });
        }
    }
}
