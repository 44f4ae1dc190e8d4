//! What work reports, and what follows: the only place where a candidate moves on, serves, or fails.

use super::{
    Supervisor, Sweeps,
    plan::Source,
    plugin::{Answer, Attempt, Failed, Health, Plugin, Probation, Serving, Times, Why},
    restarts::backoff,
    watchful,
    work::{About, Report},
};
use crate::{
    BuildView, Candidate, Digest, Failure, Loaded, Manifest, Refused,
    generation::{Event, Phase},
};
use std::{
    collections::BTreeSet,
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
        generation: u64,
        began: SystemTime,
        times: &Times,
        manifest: Option<&Manifest>,
        artifact: Option<Digest>,
        failure: Option<&Failure>,
    ) {
        self.builds.push_front(Arc::new(BuildView {
            generation,
            began: began.into(),
            stages: times.stages.iter().copied().collect(),
            artifact,
            version: manifest.map(|manifest| manifest.version.clone()),
            failed: failure.map(|failure| {
                failure
                    .view(generation, began + times.stages.iter().map(|(_, took)| *took).sum::<std::time::Duration>())
            }),
        }));
        self.builds.truncate(BUILDS);
    }
}

impl Supervisor {
    pub(super) fn report(&mut self, about: &About, report: Report) {
        let name = about.plugin.as_str();
        // That a plugin is well changes nothing that is shown.
        if !matches!(report, Report::Health(_) | Report::Swept) && !name.is_empty() {
            self.dirty.insert(name.to_owned());
        }
        match report {
            Report::Scanned(scan) => self.scanned(scan),
            Report::Health(outcome) => self.heard_of(about, outcome),
            Report::Stuck(reason) => self.stuck(about, reason),
            Report::History(history, order, reply) => self.looked_up(&history, *order, reply),
            Report::Read { names, began, outcome } => self.was_read(names, began, outcome),
            Report::Registered(outcome) => self.registered(outcome),
            Report::Decided(order, outcome, reply) => self.decided(*order, outcome, reply),
            Report::DecidedHere(outcome) => self.decided_here(outcome),
            Report::Ready(open) => self.at_the_gate(about, open),
            Report::Proposed(outcome) => self.proposed(about, outcome),
            Report::Answered(outcome) => self.answered(outcome),
            Report::Configured(config, outcome) => self.configured(about, config, outcome),
            Report::Reported(served, outcome) => self.reported(served, outcome),
            Report::Moved(outcome) => self.moved(name, outcome),
            Report::Swept => self.swept(),
            Report::Left(left_behind) => self.left(about, left_behind),
            Report::Up(Ok(loaded)) => self.up(about, loaded),
            Report::Up(Err((failure, loaded))) => self.did_not_come_up(about, failure, loaded),
            Report::Prepared(Ok(candidate)) => self.prepared(about, candidate),
            Report::Prepared(Err(failure)) => {
                if self.current(about).is_some() {
                    self.failed(name, failure);
                }
            }
            Report::Built => {
                if let Some(plugin) = self.current(about)
                    && let Some(bid) = plugin.candidate.as_mut()
                {
                    bid.times.lap("build");
                    Plugin::step(&mut bid.phase, Event::Built);
                }
            }
            Report::Loaded => {
                if let Some(plugin) = self.current(about)
                    && let Some(bid) = plugin.candidate.as_mut()
                {
                    bid.times.lap("load");
                    Plugin::step(&mut bid.phase, Event::Loaded);
                }
            }
            Report::Progress(progress) => {
                if let Some(plugin) = self.current(about)
                    && let Some(bid) = plugin.candidate.as_mut()
                {
                    bid.doing = match progress.total {
                        Some(total) => format!("{} ({} of {total})", progress.doing, progress.done),
                        None => progress.doing,
                    };
                }
            }
            Report::Hold(held) => {
                if let Some(plugin) = self.current(about)
                    && let Some(serving) = plugin.serving.as_mut()
                {
                    serving.held = true;
                    self.routes_changed = true;
                    self.acks.push(held);
                }
            }
        }
    }

    /// The plugin, if this generation is still its candidate.
    pub(super) fn current(&mut self, about: &About) -> Option<&mut Plugin> {
        let plugin = self.plugins.get_mut(&about.plugin)?;
        plugin.candidate.as_ref().is_some_and(|bid| bid.generation == about.generation).then_some(plugin)
    }

    fn prepared(&mut self, about: &About, candidate: Arc<dyn Candidate>) {
        let Some(plugin) = self.current(about) else { return };
        if let Some(bid) = plugin.candidate.as_mut() {
            bid.times.lap("verify");
            bid.doing.clear();
        }
        if plugin.serving.is_none() {
            plugin.manifest = Some(candidate.manifest().clone());
        }
        if let Some(why) = candidate.stays() {
            tracing::warn!(
                plugin = about.plugin,
                generation = about.generation,
                "it will not leave once loaded: {why}"
            );
        }
        self.admit(&about.plugin, candidate);
    }

    /// The candidate is ready: it takes its predecessor's place, unless nobody wants it any more.
    fn up(&mut self, about: &About, loaded: Loaded) {
        let ending = self.ending.is_some();
        let name = about.plugin.as_str();
        let limits = self.settings.limits(name).clone();
        let now = Instant::now();
        let unwanted = |plugin: &Plugin| ending || !plugin.enabled() || plugin.entry.is_none();
        let (farewell, _) = watch::channel(false);
        let Some(plugin) = self.current(about).filter(|plugin| !unwanted(plugin)) else {
            if let Some(plugin) = self.current(about) {
                plugin.candidate = None;
                plugin.refuse_ask("it is not wanted any more");
            }
            let mut phase = Phase::Starting;
            Plugin::step(&mut phase, Event::Superseded);
            self.leave(name, about.generation, phase, loaded, farewell, true);
            return;
        };
        let Some(mut bid) = plugin.candidate.take() else { return };
        let Some(candidate) = bid.admitted.take() else { return };
        let agreed = plugin.as_agreed(&bid.source, &candidate);
        let configurers =
            if bid.config == plugin.config { std::mem::take(&mut plugin.configurers) } else { Vec::new() };
        bid.times.lap("start");
        Plugin::step(&mut bid.phase, Event::Published);
        let digest = candidate.digest();
        let manifest = candidate.manifest().clone();
        let before = plugin.serving.take();
        let predecessor = before.as_ref().and_then(|before| {
            let steady = before.loaded.instance.panics() < limits.panics && before.health.unwell < limits.unwell;
            before.agreed.clone().filter(|_| steady)
        });
        let other = predecessor.clone().filter(|previous| Some(previous.digest) != digest);
        plugin.previous = other.or(plugin.previous.take());
        // What is wrong with the entry as it is now remains wrong.
        let broken = plugin.entry.as_ref().is_some_and(|entry| entry.problem.is_some());
        let is_entrys = match &bid.source {
            Source::Entry(_) => true,
            // What was agreed on of just this entry.
            Source::Kept(digest) => plugin.entry.as_ref().is_some_and(|entry| {
                let agreed = plugin.record.as_ref().and_then(|record| record.agreed.as_ref());
                agreed.is_some_and(|agreed| {
                    agreed.digest == *digest && agreed.fingerprint.as_ref() == Some(&entry.fingerprint)
                })
            }),
        };
        if is_entrys && !broken {
            plugin.failed = None;
        }
        plugin.passed_over = 0;
        // Not all are asked at the same instant.
        let spread = watchful::pace(&limits, true) * (plugin.registered() % 16) as u32 / 64;
        plugin.serving = Some(Serving {
            generation: bid.generation,
            // Whatever it was made of: these bytes serve.
            source: digest.map_or(bid.source, Source::Kept),
            config: bid.config.clone(),
            offered: bid.config,
            agreed,
            candidate,
            loaded,
            farewell,
            since: SystemTime::now(),
            held: false,
            probation: Some(Probation { until: now + limits.probation, predecessor }),
            health: Health {
                due: now + watchful::pace(&limits, true) + spread,
                asked: false,
                call: Weak::new(),
                unwell: 0,
            },
        });
        tracing::info!(plugin = name, generation = bid.generation, version = manifest.version, "serving");
        plugin.manifest = Some(manifest.clone());
        let replies = bid.ask.take().map(|ask| ask.replies).unwrap_or_default();
        bid.times.lap("swap");
        plugin.keep_build(bid.generation, bid.since, &bid.times, Some(&manifest), digest, None);
        for reply in replies.into_iter().chain(configurers) {
            let outcome = Ok(bid.times.stages.clone());
            self.answers.push(Answer { plugin: name.to_owned(), reply, outcome, gone: None });
        }
        let detail = serde_json::json!({ "version": manifest.version, "artifact": digest });
        self.note(name, Some(bid.generation), "serving", &bid.by, detail);
        self.routes_changed = true;
        if let Some(before) = before {
            self.let_go(name, before);
            self.renew_dependents(name, now);
        }
    }

    /// Whoever depends on a plugin that was replaced begins anew, with the one that serves now.
    fn renew_dependents(&mut self, name: &str, now: Instant) {
        for dependent in self.dependents(name) {
            if let Some(plugin) = self.plugins.get_mut(&dependent) {
                plugin.renew = Some(now);
                self.dirty.insert(dependent);
            }
        }
    }

    fn did_not_come_up(&mut self, about: &About, failure: Failure, loaded: Option<Loaded>) {
        if let Some(loaded) = loaded {
            let phase = Phase::Failed(failure.clone());
            let (farewell, _) = watch::channel(false);
            self.leave(&about.plugin, about.generation, phase, loaded, farewell, true);
        }
        if self.current(about).is_some() {
            self.failed(&about.plugin, failure);
        }
    }

    /// The candidate failed; what serves goes on.
    pub(super) fn failed(&mut self, name: &str, failure: Failure) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let Some(mut bid) = plugin.candidate.take() else { return };
        Plugin::step(&mut bid.phase, Event::Failed(failure.clone()));
        let digest = bid.admitted.as_ref().and_then(|candidate| candidate.digest()).map(display);
        let stage = display(failure.stage);
        tracing::error!(plugin = name, generation = bid.generation, stage, digest, "failed: {failure}");
        let before = plugin.failed.take().filter(|failed| failed.source == bid.source);
        let attempts = before.map_or(1, |failed| failed.attempts + 1);
        let retry = failure.transient.then(|| Instant::now() + backoff(attempts));
        if let Some(serving) = plugin.serving.as_mut()
            && std::mem::take(&mut serving.held)
        {
            self.routes_changed = true;
        }
        plugin.failed = Some(Failed {
            generation: bid.generation,
            source: bid.source.clone(),
            failure: failure.clone(),
            at: SystemTime::now(),
            attempts,
            retry,
            refused: None,
        });
        plugin.passed_over = 0;
        let attempt = plugin.attempt.clone().filter(|attempt| bid.source == Source::Kept(attempt.agreed.digest));
        if attempt.is_some() {
            plugin.attempt = None;
        }
        plugin.keep_build(bid.generation, bid.since, &bid.times, None, None, Some(&failure));
        plugin.fall_back();
        let refused = Refused::Failed { failure, generation: bid.generation, plugin: plugin.view() };
        for reply in bid.ask.take().into_iter().flat_map(|ask| ask.replies) {
            self.answers.push(Answer { plugin: name.to_owned(), reply, outcome: Err(refused.clone()), gone: None });
        }
        let failure = match &refused {
            Refused::Failed { failure, .. } => failure,
            _ => return,
        };
        let detail = serde_json::json!({ "stage": failure.stage, "reason": failure.reason });
        self.note(name, Some(bid.generation), "failed", &bid.by, detail);
        if let Some(Attempt { why: Why::Rollout(id), .. }) = attempt {
            self.answer(id, Err(failure.to_string()));
        }
        self.dirty.insert(name.to_owned());
    }

    fn stuck(&mut self, about: &About, reason: String) {
        let Some(plugin) = self.plugins.get_mut(&about.plugin) else { return };
        let Some(leaving) = plugin.leaving.get_mut(&about.generation) else { return };
        tracing::warn!(plugin = about.plugin, generation = about.generation, "it cannot leave: {reason}");
        Plugin::step(&mut leaving.phase, Event::Stuck(reason.clone()));
        self.note(&about.plugin, Some(about.generation), "pinned", "registry", serde_json::json!({ "reason": reason }));
    }

    fn left(&mut self, about: &About, left_behind: Option<u64>) {
        let Some(plugin) = self.plugins.get_mut(&about.plugin) else { return };
        if let Some(bytes) = left_behind {
            plugin.left_behind = Some(plugin.left_behind.unwrap_or(0) + bytes);
        }
        let Some(mut leaving) = plugin.leaving.remove(&about.generation) else { return };
        Plugin::step(&mut leaving.phase, Event::Left);
        tracing::info!(plugin = about.plugin, generation = about.generation, "left the process");
        self.note(&about.plugin, Some(about.generation), "left", "registry", serde_json::json!({}));
        self.sweep();
    }

    /// Artifacts that nobody needs any more are removed: one sweep at a time, and none at the end, which the next start makes up for.
    fn sweep(&mut self) {
        if self.ending.is_some() {
            return;
        }
        if self.sweeps.running {
            self.sweeps.again = true;
            return;
        }
        self.sweeps = Sweeps { running: true, again: false };
        let back = self.plugins.values().flat_map(|plugin| {
            let probation = plugin.serving.as_ref().and_then(|serving| serving.probation.as_ref());
            let predecessor = probation.and_then(|probation| probation.predecessor.as_ref());
            [plugin.previous.as_ref(), predecessor].into_iter().flatten().map(|agreed| agreed.digest)
        });
        let serving = self.plugins.values().filter_map(|plugin| plugin.serving.as_ref()?.candidate.digest());
        let coming = self.plugins.values().filter_map(|plugin| {
            let bid = plugin.candidate.as_ref()?;
            bid.admitted.as_ref().or(bid.waits.as_ref().map(|(candidate, _)| candidate))?.digest()
        });
        let agreed = self.plugins.values().filter_map(|plugin| Some(plugin.record.as_ref()?.agreed.as_ref()?.digest));
        let tried = self.plugins.values().filter_map(|plugin| Some(plugin.attempt.as_ref()?.agreed.digest));
        let in_use: BTreeSet<_> = serving.chain(coming).chain(agreed).chain(tried).chain(back).collect();
        let (shelf, settings, desk) = (self.ports.shelf.clone(), self.settings.clone(), self.desk("", 0));
        tokio::task::spawn_blocking(move || {
            shelf.sweep(&|plugin| settings.limits(plugin).artifacts, &in_use);
            desk.tell(Report::Swept);
        });
    }

    fn swept(&mut self) {
        self.sweeps.running = false;
        if self.sweeps.again {
            self.sweep();
        }
    }
}
