//! What time brings: health, probation, restarts, retries.

use super::{
    Supervisor,
    plan::{Source, Wanted},
    plugin::{Attempt, Failed, Plugin, Why},
    work::{About, Report, aside},
};
use crate::{
    Digest, Failure, Fault, FaultKind, Limits, Stage,
    registry::{Actor, Decision},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
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
            let glance = serving
                .and_then(|serving| serving.probation.as_ref())
                .map(|probation| probation.until.min(now + GLANCE));
            let retry = plugin.failed.as_ref().and_then(|failed| failed.retry);
            // What is overdue waits for something else, a candidate under way, say.
            let later = [retry, plugin.renew].into_iter().flatten().filter(|due| *due > now).min();
            [health, glance, later].into_iter().flatten().min()
        };
        let registry = [self.records.retry, self.records.rollouts_due].into_iter().flatten();
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
            let retry = plugin.failed.as_ref().and_then(|failed| failed.retry);
            if [retry, plugin.renew].into_iter().flatten().any(|due| due <= now) {
                self.dirty.insert(plugin.name.clone());
            }
            let Some(serving) = plugin.serving.as_mut() else { continue };
            if serving.probation.as_ref().is_some_and(|probation| probation.until <= now) {
                serving.probation = None;
            }
            let panics = serving.loaded.instance.panics();
            if serving.probation.is_some() && panics >= limits.panics {
                unwell.push((plugin.name.clone(), format!("it panicked {panics} times soon after it began to serve")));
                continue;
            }
            if !serving.health.asked && serving.health.due <= now {
                serving.health.asked = true;
                let about = About { plugin: plugin.name.clone(), generation: serving.generation };
                let (ports, limit, sender) = (self.ports.clone(), limits.start, self.sender.clone());
                if serving.health.call.strong_count() > 0 {
                    // Each call that blocks costs a thread: one is enough.
                    let fault = Fault::new(FaultKind::TimedOut, "it has not come to an end since it was last asked");
                    let _ = sender.send((about, Report::Health(Err(fault))));
                    continue;
                }
                let call = Arc::new(());
                serving.health.call = Arc::downgrade(&call);
                let instance = serving.loaded.instance.clone();
                tokio::spawn(async move {
                    let asking = instance.health();
                    drop(instance);
                    let asking = Box::pin(async move {
                        let _call = call;
                        asking.await
                    });
                    let outcome = aside(&ports, limit, asking).await;
                    let _ = sender.send((about, Report::Health(outcome)));
                });
            }
        }
        for (name, why) in unwell {
            self.not_well(&name, why, now);
        }
    }

    /// A plugin said how it is.
    pub(super) fn heard_of(&mut self, about: &About, outcome: Result<(), Fault>) {
        let now = Instant::now();
        let limits = self.settings.limits(&about.plugin).clone();
        let Some(plugin) = self.plugins.get_mut(&about.plugin) else { return };
        let Some(serving) = plugin.serving.as_mut().filter(|serving| serving.generation == about.generation) else {
            return;
        };
        serving.health.asked = false;
        serving.health.due = now + pace(&limits, serving.probation.is_some());
        match outcome {
            Ok(()) => serving.health.unwell = 0,
            Err(fault) => {
                serving.health.unwell += 1;
                let unwell = serving.health.unwell;
                tracing::warn!(plugin = about.plugin, generation = about.generation, "not well ({unwell}): {fault}");
                if unwell >= limits.unwell {
                    let times = limits.unwell;
                    let why = format!("`health` failed {times} times one after the other, at last: {fault}");
                    serving.health.unwell = 0;
                    self.not_well(&about.plugin, why, now);
                }
            }
        }
    }

    /// The generation that serves is not well: back to its predecessor if it is new, or once more from the beginning.
    fn not_well(&mut self, name: &str, why: String, now: Instant) {
        let limits = self.settings.limits(name).clone();
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        // Whatever comes of it, this is told once.
        let back = plugin.go_back();
        let told = match &back {
            Some((_, told)) => told.clone(),
            None => plugin.restart(&limits, now),
        };
        let Some(serving) = plugin.serving.as_ref() else { return };
        let reason = format!("{why}; {told}");
        let (stage, digest) = (display(Stage::Health), serving.candidate.digest().map(display));
        tracing::error!(plugin = name, generation = serving.generation, stage, digest, "{reason}");
        plugin.failed = Some(Failed {
            generation: serving.generation,
            source: serving.source.clone(),
            failure: Failure::new(Stage::Health, reason),
            at: SystemTime::now(),
            attempts: 1,
            // Should it stop serving for another reason, it may come back.
            retry: Some(now),
            refused: None,
        });
        let generation = serving.generation;
        self.dirty.insert(name.to_owned());
        if let Some((digest, _)) = back {
            let decision = Decision { quarantine: Some((digest, why.clone())), ..Decision::default() };
            self.decide_here(name, decision, Actor::Health);
        }
        self.note(name, Some(generation), "unwell", &Actor::Health, serde_json::json!({ "reason": why, "then": told }));
    }
}

impl Plugin {
    /// Goes back to what served before, if this generation is on probation and its predecessor was well: what is to be put
    /// under quarantine, and what was done, in words.
    fn go_back(&mut self) -> Option<(Digest, String)> {
        let serving = self.serving.as_mut()?;
        let predecessor = serving.probation.take()?.predecessor?;
        let digest = serving.candidate.digest().filter(|digest| *digest != predecessor.digest)?;
        self.entry.as_ref()?;
        if self.quarantined(predecessor.digest).is_some() {
            return None;
        }
        if self.has_newer() {
            let told = format!("{digest} is under quarantine, and what was saved since then takes its place");
            return Some((digest, told));
        }
        self.attempt = Some(Attempt { agreed: predecessor, why: Why::Wanted(Actor::Health) });
        Some((digest, format!("{digest} is under quarantine, and what served before it comes back")))
    }

    /// Whether something else than what serves is wanted, and may come to serve.
    fn has_newer(&self) -> bool {
        let Wanted::Source(wanted) = self.wanted() else { return false };
        let served = self.serving.as_ref().is_some_and(|serving| serving.source == wanted);
        let hopeless = self.failed.as_ref().is_some_and(|failed| failed.source == wanted && failed.retry.is_none());
        !served && !hopeless
    }

    /// After a failure for good: what was to take the place of something bad did not, so what was well before that does.
    pub(super) fn fall_back(&mut self) {
        let (Some(failed), Some(entry)) = (&self.failed, &self.entry) else { return };
        let is_entrys = matches!(&failed.source, Source::Entry(fingerprint) if *fingerprint == entry.fingerprint);
        if !is_entrys || failed.retry.is_some() {
            return;
        }
        let serves = self.serving.as_ref().and_then(|serving| serving.candidate.digest());
        let bad = serves.is_some_and(|digest| self.quarantined(digest).is_some());
        let previous = self.previous.clone().filter(|previous| self.quarantined(previous.digest).is_none());
        if let Some(agreed) = previous.filter(|_| bad) {
            self.attempt = Some(Attempt { agreed, why: Why::Wanted(Actor::Health) });
        }
    }

    /// A new generation of the same, if there were not too many; what was done, in words.
    fn restart(&mut self, limits: &Limits, now: Instant) -> String {
        match self.restarts.next(now, limits.restarts) {
            Some(due) => {
                self.restarts.count(due);
                self.renew = Some(due);
                match (due - now).as_secs() {
                    0 => "it is started anew".to_owned(),
                    seconds => format!("it is started anew in {seconds} s"),
                }
            }
            None => format!("it was started anew {} times within an hour, and goes on as it is", limits.restarts),
        }
    }
}
