//! Carrying out the next steps: what `plan` says for each plugin that may have changed, until nothing is left to do.
//!
//! What must not live here: reasons. Why a step is the next one stands in `plan`, `dependencies` and `plugin`.

use super::{
    Supervisor,
    ask::{Ask, PendingAnswer},
    bring_up::{self, Predecessor, bring_up},
    candidate::{AbortOnDrop, CandidateGeneration, CandidateHead, CandidateStage, StageTimes},
    departure::{Leave, leave},
    dependencies::Needs,
    making::{Preparation, prepare},
    plan::{Desired, GenerationSource, NextStep, Retry, Situation, plan},
    plugin::{Attempt, AttemptReason, LeavingGeneration, NextTry, Plugin, RenewalCause, ServingGeneration},
    work::{self, GenerationReport, WorkReport},
};
use crate::{
    BuildPriority, Candidate, Failure, Loaded, Refused, Stage,
    generation::{Event, Phase},
    never,
    registry::Actor,
    secrets::SecretTexts,
};
use std::{collections::BTreeSet, sync::Arc, time::SystemTime};
use tokio::{sync::watch, time::Instant};

impl Supervisor {
    /// Takes every step that can be taken now.
    pub(super) fn settle(&mut self) {
        if self.ending.is_some() {
            // Everything is to go, in an order that depends on all others.
            self.dirty.extend(self.plugins.keys().cloned());
        }
        self.forget();
        self.seal_what_is_plain(&self.dirty.clone());
        // Plugins that wait, or that serve on others' support, hear of every change.
        let concerned = self.plugins.values().filter(|plugin| plugin.leans_on(|other| self.dirty.contains(other)));
        let concerned: Vec<_> = concerned.map(|plugin| plugin.name.clone()).collect();
        let mut queue: BTreeSet<String> = self.dirty.iter().cloned().chain(concerned).collect();
        queue.extend(self.take_up_refused());
        self.register_new();
        while let Some(name) = queue.pop_first() {
            while self.step(&name) {
                self.dirty.insert(name.clone());
                let this = self.plugins.get(&name);
                let touched = self.plugins.values().filter(|plugin| {
                    plugin.name != name && plugin.leans_on(|other| *other == name)
                        || this.is_some_and(|this| this.leans_on(|other| *other == plugin.name))
                });
                queue.extend(touched.map(|plugin| plugin.name.clone()));
            }
        }
    }

    /// Takes the next step of one plugin; whether there was one.
    fn step(&mut self, name: &str) -> bool {
        let now = Instant::now();
        // It may have been forgotten, and others that leant on it look.
        let Some(plugin) = self.plugins.get_mut(name) else { return false };
        plugin.renew_if_it_is_to_move(&self.settings, now);
        let Some(plugin) = self.plugins.get(name) else { return false };
        let wanted = if self.ending.is_some() { Desired::Nothing } else { plugin.wanted() };
        let asked = plugin.wishes.ask.as_ref().is_some_and(|ask| ask.look <= self.looks.ended);
        let serving = plugin.serving.as_ref();
        let supported = serving.is_none_or(|serving| self.needs(name, serving.artifact.manifest()) == Needs::Met);
        let held_back = plugin.is_held_back(&wanted, asked, now);
        // Whatever waits is new enough when it is loaded.
        let waits = plugin.candidate.as_ref().is_some_and(|candidate| candidate.waiting_for().is_some());
        let renew = !waits && !held_back && plugin.wishes.renewal.is_some_and(|renewal| renewal.due <= now);
        let failed = match &wanted {
            Desired::Source(source) if held_back => Some((source, Retry::Later)),
            _ => plugin.failure(now),
        };
        let situation = Situation {
            wanted: &wanted,
            asked: asked || renew,
            serving: serving.map(|serving| &serving.source),
            candidate: plugin.on_its_way(),
            failed,
            supported,
            // Nobody leans on what does not serve; and all would have to be asked.
            needed: serving.is_some() && !self.dependents(name).is_empty(),
            passed_over: plugin.past.passed_over,
        };
        match plan(&situation) {
            NextStep::Make(source) => self.make(name, source),
            NextStep::GiveUp => self.give_up(name),
            NextStep::Stop => self.stop(name, supported),
            NextStep::Rest => {
                if asked {
                    self.answer_hopeless(name, &wanted);
                }
                self.answer_arrival(name);
                return self.admit_waiting(name)
                    || self.offer_config(name)
                    || self.move_away(name)
                    || self.clear_superseded(name);
            }
        }
        true
    }

    /// Begins a candidate: a generation of this source, with whoever asked for it.
    fn make(&mut self, name: &str, source: GenerationSource) {
        let most = self.settings.limits(name).pinned;
        let ports = self.ports.clone();
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("a candidate is made of `{name}`, which is not known");
            return;
        };
        plugin.past.generations += 1;
        let generation = plugin.past.generations;
        let ask = plugin.wishes.ask.take();
        let renewal = plugin.wishes.renewal.take();
        let attempt =
            plugin.wishes.attempt.clone().filter(|attempt| source == GenerationSource::Kept(attempt.agreed.digest));
        let head = CandidateHead {
            generation,
            by: brought_about_by(ask.as_ref(), attempt.as_ref(), &source),
            asked_for: ask.is_some()
                || attempt.is_some()
                || renewal.is_some_and(|renewal| renewal.cause != RenewalCause::DependencyReplaced),
            anew: ask.is_some() || renewal.is_some(),
            source: source.clone(),
            since: SystemTime::now(),
            forced: ask.as_ref().is_some_and(|ask| ask.force),
            tables: None,
            times: StageTimes::new(),
            ask,
        };
        if head.ask.is_some() {
            plugin.past.brake.release();
        }
        if plugin.pinned() >= most && !head.forced {
            let reason = format!("{most} generations of it cannot leave the process; see their reasons, or force it");
            let failed = FailedCandidate { head, phase: Phase::Building, digest: None };
            self.has_failed(name, failed, Failure::new(Stage::Load, reason), NextTry::WhenPinsGo);
            return;
        }
        let agreed = attempt.map(|attempt| attempt.agreed).or_else(|| plugin.agreed_on().cloned());
        let agreed = agreed.filter(|agreed| source == GenerationSource::Kept(agreed.digest));
        let priority = match (&plugin.serving, &head.ask) {
            (Some(_), _) => BuildPriority::Serving,
            (None, Some(_)) => BuildPriority::Asked,
            (None, None) => BuildPriority::Rest,
        };
        let wish = Preparation { source, entry: plugin.entry().cloned(), agreed, priority };
        let reporter = self.reporter(name, generation);
        let id = reporter.id.clone();
        let lost = || WorkReport::Generation(id, GenerationReport::Prepared(Err(work::lost(Stage::Build))));
        let preparing = work::begin(self.reports.clone(), lost, prepare(ports, wish, reporter));
        self.note(name, Some(generation), "begun", &head.by, serde_json::json!({}));
        let stage = CandidateStage::Preparing { built: false, _work: AbortOnDrop(preparing) };
        if let Some(plugin) = self.plugins.get_mut(name) {
            plugin.candidate = Some(CandidateGeneration { head, doing: String::new(), stage });
        }
    }

    /// Gives a candidate up that was not loaded yet, or waits at its gate: told so, that leaves in order. Who asked for it
    /// waits for the next one.
    fn give_up(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("a candidate is given up of `{name}`, which is not known");
            return;
        };
        let Some(candidate) = plugin.candidate.take() else {
            never!("`{name}` gives up what it has not");
            return;
        };
        let mut phase = candidate.phase();
        Plugin::step(&mut phase, Event::Superseded);
        let CandidateHead { generation, ask, .. } = candidate.head;
        tracing::info!(plugin = name, generation, "given up: something newer is wanted");
        let waited = matches!(candidate.stage, CandidateStage::Waiting { .. });
        plugin.past.passed_over += u32::from(!waited);
        plugin.wishes.ask = match (ask, plugin.wishes.ask.take()) {
            (Some(first), Some(second)) => Some(first.and(second)),
            (first, second) => first.or(second),
        };
        if plugin.wanted() == Desired::Nothing {
            plugin.refuse_ask("it is not wanted any more");
        }
    }

    /// Takes the generation that serves out of the table, and lets it go.
    fn stop(&mut self, name: &str, supported: bool) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("`{name}` is stopped, which is not known");
            return;
        };
        for reply in std::mem::take(&mut plugin.wishes.configurers) {
            let _ = reply.send(Err(Refused::Conflict(format!("`{name}` was stopped meanwhile"))));
        }
        let Some(serving) = plugin.serving.take() else {
            never!("`{name}` is stopped and does not serve");
            return;
        };
        let why = if supported { "no longer wanted" } else { "what it depends on has gone" };
        tracing::info!(plugin = name, generation = serving.generation, "stopped: {why}");
        let generation = serving.generation;
        self.let_go(name, serving);
        self.note(name, Some(generation), "stopped", &Actor::Sql, serde_json::json!({ "reason": why }));
    }

    /// A generation that served leaves.
    pub(super) fn let_go(&mut self, name: &str, serving: ServingGeneration) {
        self.shown.routes_changed = true;
        let mut phase = Phase::Serving;
        Plugin::step(&mut phase, Event::Replaced);
        let ServingGeneration { generation, loaded, farewell, config, .. } = serving;
        let had = [&config.taken.recorded, &config.offered.recorded];
        let secrets = self.plugins.get(name).map(|plugin| plugin.secret_texts_and(had)).unwrap_or_default();
        self.leave(name, generation, phase, loaded, (farewell, secrets));
    }

    /// A loaded generation leaves.
    pub(super) fn leave(
        &mut self,
        name: &str,
        generation: u64,
        phase: Phase,
        loaded: Loaded,
        (farewell, secrets): (watch::Sender<bool>, SecretTexts),
    ) {
        let limits = self.settings.limits(name).clone();
        let after = self.plugins.values().filter(|plugin| plugin.needs().is_some_and(|needs| needs.contains_key(name)));
        let after = after.flat_map(|plugin| plugin.leaving.values().map(|leaving| leaving.down.clone())).collect();
        let (down, is_down) = watch::channel(false);
        let leaving = LeavingGeneration {
            phase,
            leases: loaded.leases.clone(),
            deadline: SystemTime::now() + limits.drain,
            down: is_down,
        };
        let going = Leave { loaded, secrets, farewell, deadline: Instant::now() + limits.drain, after, down };
        tokio::spawn(leave(going, self.ports.clone(), limits, self.reporter(name, generation)));
        // It may be forgotten, and what was loaded of it comes back only now.
        let nothing = self.looks.nothing_found();
        let plugin = self.plugins.entry(name.to_owned());
        let plugin = plugin.or_insert_with(|| Plugin::new(name, nothing, self.ports.keepings.sealer()));
        plugin.past.generations = plugin.past.generations.max(generation);
        plugin.leaving.insert(generation, leaving);
    }

    /// Loads what is admitted, beside the supervisor, with this configuration.
    pub(super) fn load(&mut self, name: &str, artifact: Arc<dyn Candidate>, config: Arc<str>) {
        let (limits, ports) = (self.settings.limits(name).clone(), self.ports.clone());
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("a candidate is loaded of `{name}`, which is not known");
            return;
        };
        let isolation = plugin.isolation(artifact.manifest(), &self.settings);
        let (gated, handed) = (plugin.is_news(&artifact), plugin.on_record.config.handed(Some(&config)));
        let grants = plugin.grants(self.looks.arriving.get(name), &self.settings);
        let granted = plugin.on_record.granted.begin(&artifact.manifest().camlock.permissions, &grants);
        let predecessor = plugin.serving.as_ref().map(|serving| Predecessor {
            instance: serving.loaded.instance.clone(),
            leases: serving.loaded.leases.clone(),
            version: serving.artifact.manifest().version.clone(),
        });
        let Some(candidate) = plugin.candidate.as_mut() else {
            never!("`{name}` loads a candidate that it has not");
            return;
        };
        candidate.begin_loading(artifact.clone(), handed);
        let generation = candidate.head.generation;
        let secrets = plugin.secret_texts();
        plugin.wishes.renewal = None;
        let reporter = self.reporter(name, generation);
        let id = reporter.id.clone();
        let lost = || WorkReport::Generation(id, GenerationReport::Up(Err((work::lost(Stage::Load), None))));
        let bring = bring_up::BringUp { candidate: artifact, config, secrets, granted, isolation, predecessor, gated };
        work::begin(self.reports.clone(), lost, bring_up(ports, limits, bring, reporter));
        self.dirty.insert(name.to_owned());
    }

    /// An ask for what cannot even be begun.
    fn answer_hopeless(&mut self, name: &str, wanted: &Desired) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("an ask for `{name}` is answered, which is not known");
            return;
        };
        if plugin.candidate.is_some() && *wanted != Desired::Nothing {
            // The one under way was begun before; the ask is for the next.
            return;
        }
        match (wanted, &plugin.failed) {
            (Desired::AsItIs, Some(failed)) => {
                let refused = Refused::Failed {
                    failure: failed.failure.clone(),
                    generation: failed.generation,
                    plugin: plugin.view(),
                };
                let replies = plugin.wishes.ask.take().into_iter().flat_map(|ask| ask.replies);
                self.shown.answers.extend(PendingAnswer::to_all(name, replies, &Err(refused)));
            }
            (Desired::Nothing, _) if !plugin.is_there() => {
                plugin.refuse_ask(&format!("the entry of `{name}` is gone from the plugins directory"));
            }
            (Desired::Nothing, _) => plugin.refuse_ask("it is not wanted any more"),
            _ => {}
        }
    }
}

/// A candidate that failed: what it was, how far it came, and its bytes, if there are any.
pub(super) struct FailedCandidate {
    pub(super) head: CandidateHead,
    pub(super) phase: Phase,
    pub(super) digest: Option<crate::Digest>,
}

impl Plugin {
    /// Whether a new generation has to wait because too many came that nobody asked for.
    fn is_held_back(&self, wanted: &Desired, asked: bool, now: Instant) -> bool {
        let requested = self.wishes.renewal.is_some_and(|renewal| renewal.cause != RenewalCause::DependencyReplaced);
        let free = asked || requested || self.wishes.attempt.is_some() || self.candidate.is_some();
        !free && matches!(wanted, Desired::Source(_)) && self.past.brake.pause(now).is_some()
    }
}

/// Who brings a new generation about: who asks, else who wants the artifact, else what it is made of.
fn brought_about_by(ask: Option<&Ask>, attempt: Option<&Attempt>, source: &GenerationSource) -> Actor {
    if let Some(asker) = ask.and_then(|ask| ask.by.clone()) {
        return asker;
    }
    match (attempt, source) {
        (Some(Attempt { reason: AttemptReason::Wanted(by) | AttemptReason::Canary(by), .. }), _) => by.clone(),
        (None, GenerationSource::Entry(_)) => Actor::Filesystem,
        _ => Actor::Sql,
    }
}
