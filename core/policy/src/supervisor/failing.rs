//! A candidate fails: what serves goes on, whoever asked is answered, and it is known when it is tried again.
//!
//! What must not live here: why it failed.

use super::{
    Supervisor,
    ask::PendingAnswer,
    candidate::CandidateHead,
    plan::GenerationSource,
    plugin::{Attempt, AttemptReason, FailedGeneration, NextTry, Plugin},
    restarts::backoff,
    settle::FailedCandidate,
    work::GenerationId,
};
use crate::{
    BuildView, Digest, Failure, Loaded, Manifest, Refused,
    generation::{Event, Phase},
    never,
    registry::Actor,
};
use std::{sync::Arc, time::SystemTime};
use tokio::{sync::watch, time::Instant};
use tracing::field::display;

/// So many of a plugin's builds are remembered.
const BUILDS: usize = 20;

impl Plugin {
    /// Remembers how a candidate was made, and what came of it.
    pub(super) fn keep_build(
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
}

impl Supervisor {
    pub(super) fn did_not_come_up(&mut self, id: &GenerationId, failure: Failure, loaded: Option<Loaded>) {
        // With what the candidate was handed: that may be on record no longer.
        let secrets = self.plugins.get(&id.plugin).map(Plugin::secret_texts).unwrap_or_default();
        let failure = Failure { reason: secrets.hide(&failure.reason), ..failure };
        if let Some(loaded) = loaded {
            let phase = Phase::Failed(failure.clone());
            let (farewell, _) = watch::channel(false);
            self.leave(&id.plugin, id.generation, phase, loaded, (farewell, secrets));
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
        let failure = plugin.without_secret_texts(failure);
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

    /// A generation that nobody asked for has ended its way. If these come too fast, the next one has to wait, and that is told.
    pub(super) fn brake(&mut self, name: &str, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("a generation of `{name}` is counted, which is not known");
            return;
        };
        let Some(pause) = plugin.past.brake.count(now) else { return };
        let seconds = pause.length.as_secs();
        tracing::warn!(
            plugin = name,
            "it changed again and again, and nobody asked for that: changes wait for {seconds} s now, a reload does not"
        );
        self.note(name, None, "held-back", &Actor::Server, serde_json::json!({ "seconds": seconds }));
    }
}
