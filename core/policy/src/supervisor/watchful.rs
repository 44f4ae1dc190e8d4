//! What time brings: health, probation, restarts, retries.

use super::{
    Supervisor,
    plan::{Desired, GenerationSource},
    plugin::{Attempt, AttemptReason, Contracting, FailedGeneration, Plugin, Renewal, RenewalCause},
    work::{GenerationId, GenerationReport, GenerationReporter, aside},
};
use crate::{
    Digest, Failure, Fault, FaultKind, Limits, Stage, never,
    registry::{Actor, Decision},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tracing::field::display;

/// How often panics are counted while a generation is on probation.
const GLANCE: Duration = Duration::from_millis(500);

/// How often a plugin is asked how it is: while it is on probation so often that it can be found unwell before that is over.
pub(super) fn pace(limits: &Limits, on_probation: bool) -> Duration {
    let hurried = limits.probation / (limits.unwell.saturating_add(2));
    if on_probation { limits.health.min(hurried.max(Duration::from_millis(100))) } else { limits.health }
}

impl Supervisor {
    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let due = |plugin: &Plugin| {
            let serving = plugin.serving.as_ref();
            let health = serving.filter(|serving| !serving.health.asked).map(|serving| serving.health.due);
            let probation = serving.and_then(|serving| serving.health.probation.as_ref());
            let glance = probation.map(|probation| probation.until.min(now + GLANCE));
            // What is overdue waits for something else, a candidate under way, say.
            let later = plugin.later().into_iter().flatten().filter(|due| *due > now).min();
            [health, glance, later].into_iter().flatten().min()
        };
        let retry = self.records.outage.as_ref().and_then(|outage| outage.retry);
        let registry = [retry, self.records.rollouts_due].into_iter().flatten();
        if self.ending.is_some() { None } else { self.plugins.values().filter_map(due).chain(registry).min() }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        self.retry_registry(now);
        let mut unwell = Vec::new();
        for plugin in self.plugins.values_mut() {
            let limits = self.settings.plugins.get(&plugin.name).unwrap_or(&self.settings.limits);
            if plugin.past.brake.lifts(now) || plugin.later().into_iter().flatten().any(|due| due <= now) {
                self.dirty.insert(plugin.name.clone());
            }
            let Some(serving) = plugin.serving.as_mut() else { continue };
            serving.health.probation.take_if(|probation| probation.until <= now);
            let panics = serving.loaded.instance.panics();
            if serving.health.probation.is_some() && panics >= limits.panics {
                unwell.push((plugin.name.clone(), format!("it panicked {panics} times soon after it began to serve")));
                continue;
            }
            if !serving.health.asked && serving.health.due <= now {
                serving.health.asked = true;
                let id = GenerationId { plugin: plugin.name.clone(), generation: serving.generation };
                let reporter = GenerationReporter { id, reports: self.reports.clone() };
                if serving.health.call.strong_count() > 0 {
                    // Each call that blocks costs a thread: one is enough.
                    let fault = Fault::new(FaultKind::TimedOut, "it has not come to an end since it was last asked");
                    reporter.report(GenerationReport::Health(Err(fault)));
                    continue;
                }
                let (ports, limit, call) = (self.ports.clone(), limits.start, Arc::new(()));
                serving.health.call = Arc::downgrade(&call);
                let instance = serving.loaded.instance.clone();
                tokio::spawn(async move {
                    let asking = instance.health();
                    drop(instance);
                    let asking = Box::pin(async move {
                        let _call = call;
                        asking.await
                    });
                    reporter.report(GenerationReport::Health(aside(&ports, limit, asking).await));
                });
            }
        }
        for (name, why) in unwell {
            self.not_well(&name, why, now);
        }
        self.contract_what_is_due(now);
        self.propose_what_has_soaked(now);
    }

    /// A plugin said how it is.
    pub(super) fn health_answered(&mut self, id: &GenerationId, outcome: Result<(), Fault>) {
        let now = Instant::now();
        let limits = self.settings.limits(&id.plugin).clone();
        let Some(plugin) = self.plugins.get_mut(&id.plugin) else { return };
        let outcome = outcome.map_err(|fault| plugin.fault_without_secret_texts(fault));
        let serving = plugin.serving.as_mut();
        // Another may have taken its place since it was asked.
        let Some(serving) = serving.filter(|serving| serving.generation == id.generation) else { return };
        let health = &mut serving.health;
        health.asked = false;
        health.due = now + pace(&limits, health.probation.is_some());
        match outcome {
            Ok(()) => health.unwell = 0,
            Err(fault) => {
                health.unwell += 1;
                let unwell = health.unwell;
                tracing::warn!(plugin = id.plugin, generation = id.generation, "not well ({unwell}): {fault}");
                if unwell >= limits.unwell {
                    let times = limits.unwell;
                    let why = format!("`health` failed {times} times one after the other, at last: {fault}");
                    health.unwell = 0;
                    self.not_well(&id.plugin, why, now);
                }
            }
        }
    }

    /// The generation that serves is not well: back to its predecessor if it is new, or once more from the beginning.
    pub(super) fn not_well(&mut self, name: &str, why: String, now: Instant) {
        self.take_care(name, why, false, now);
    }

    /// The same; of one that is dead nothing can go on.
    pub(super) fn take_care(&mut self, name: &str, why: String, is_dead: bool, now: Instant) {
        let limits = self.settings.limits(name).clone();
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("`{name}` is not well, and is not known");
            return;
        };
        // Whatever comes of it, this is told once.
        let back = plugin.go_back();
        let then = match &back {
            Some((_, then)) => then.clone(),
            None => plugin.restart(&limits, is_dead, now),
        };
        let Some(serving) = plugin.serving.as_ref() else {
            never!("`{name}` is not well, and does not serve");
            return;
        };
        let reason = format!("{why}; {then}");
        let (stage, digest) = (display(Stage::Health), serving.artifact.digest().map(display));
        tracing::error!(plugin = name, generation = serving.generation, stage, digest, "{reason}");
        let generation = serving.generation;
        plugin.failed = Some(FailedGeneration::serving(serving, Failure::new(Stage::Health, reason)));
        self.dirty.insert(name.to_owned());
        if let Some((digest, _)) = back {
            let decision = Decision { quarantine: Some((digest, why.clone())), ..Decision::default() };
            self.decide_here(name, decision, Actor::Health);
        }
        self.note(name, Some(generation), "unwell", &Actor::Health, serde_json::json!({ "reason": why, "then": then }));
    }
}

impl Plugin {
    /// What is due at some time.
    fn later(&self) -> [Option<Instant>; 6] {
        let retry = self.failed.as_ref().and_then(|failed| failed.next_try.at());
        let renewal = self.wishes.renewal.map(|renewal| renewal.due);
        let waiting = self.candidate.as_ref().and_then(|candidate| candidate.looked_at_again());
        let contracting = match self.serving.as_ref().map(|serving| serving.health.contracts) {
            Some(Contracting::Due(due)) => Some(due),
            _ => None,
        };
        [retry, renewal, self.past.brake.lifts_at(), waiting, contracting, self.soaks_until()]
    }

    /// Goes back to what served before, if this generation is on probation and its predecessor was well: what is to be put
    /// under quarantine, and what was done, in words.
    fn go_back(&mut self) -> Option<(Digest, String)> {
        let serving = self.serving.as_mut()?;
        let predecessor = serving.health.probation.take()?.predecessor?;
        let digest = serving.artifact.digest().filter(|digest| *digest != predecessor.digest)?;
        if !self.is_there() || self.quarantined(predecessor.digest).is_some() {
            return None;
        }
        if self.has_newer() {
            let then = format!("{digest} is under quarantine, and what was saved since then takes its place");
            return Some((digest, then));
        }
        // What all agreed on is wanted as soon as nothing else is.
        self.wishes.attempt = (!self.is_canary(digest))
            .then_some(Attempt { agreed: predecessor, reason: AttemptReason::Wanted(Actor::Health) });
        Some((digest, format!("{digest} is under quarantine, and what served before it comes back")))
    }

    /// Whether something else than what serves is wanted, and may come to serve.
    fn has_newer(&self) -> bool {
        let Desired::Source(wanted) = self.wanted() else { return false };
        let served = self.serving.as_ref().is_some_and(|serving| serving.source == wanted);
        let hopeless =
            self.failed.as_ref().is_some_and(|failed| failed.source == wanted && failed.next_try.at().is_none());
        !served && !hopeless
    }

    /// After a failure for good: what was to take the place of something bad did not, so what was well before that does.
    pub(super) fn fall_back(&mut self) {
        // What serves is bad only if it was put under quarantine; a failure alone leaves it where it is.
        let Some((failed, fingerprint)) = self.failed.as_ref().zip(self.directory.fingerprint()) else { return };
        if failed.source != GenerationSource::Entry(fingerprint.clone()) || failed.next_try.at().is_some() {
            return;
        }
        let bad = self.served_digest().is_some_and(|digest| self.quarantined(digest).is_some());
        let previous = self.past.previous.clone().filter(|previous| self.quarantined(previous.digest).is_none());
        if let Some(agreed) = previous.filter(|_| bad) {
            self.wishes.attempt = Some(Attempt { agreed, reason: AttemptReason::Wanted(Actor::Health) });
        }
    }

    /// A new generation of the same, if there were not too many; what was done, in words.
    fn restart(&mut self, limits: &Limits, is_dead: bool, now: Instant) -> String {
        match self.past.restarts.next(now, limits.restarts) {
            Some(due) => {
                self.past.restarts.count(due);
                self.wishes.renewal = Some(Renewal { due, cause: RenewalCause::Unwell });
                let (count, most) = (self.past.restarts.count_now(), limits.restarts);
                let which = format!("restart {count} of {most} this hour");
                match (due - now).as_secs() {
                    0 => format!("it is started anew ({which})"),
                    seconds => format!("it is started anew in {seconds} s ({which})"),
                }
            }
            None => {
                let then = if is_dead { "serves no more until an hour is over" } else { "goes on as it is" };
                format!("it was started anew {} times within an hour, and {then}", limits.restarts)
            }
        }
    }
}
