//! Carrying out the next steps: what `plan` says for each plugin that may have changed, until nothing is left to do.
//!
//! What must not live here: reasons. Why a step is the next one stands in `plan`, `dependencies` and `plugin`.

use super::{
    Supervisor,
    bring_up::{self, Predecessor, bring_up},
    departure::{Leave, leave},
    dependencies::Needs,
    making::{Wish, prepare},
    plan::{Situation, Source, Step, Wanted, plan},
    plugin::{Answer, Attempt, Bid, Leaving, Plugin, Serving, Times, Why, Work},
    work::{self, Report},
};
use crate::{
    BuildPriority, Candidate, Failure, Loaded, Refused, Stage,
    generation::{Event, Phase},
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
        let Some(plugin) = self.plugins.get(name) else { return false };
        let wanted = if self.ending.is_some() { Wanted::Nothing } else { plugin.wanted() };
        let looked = self.scans.begun - u64::from(self.scans.running);
        let asked = plugin.ask.as_ref().is_some_and(|ask| ask.scan <= looked);
        let serving = plugin.serving.as_ref();
        let supported = serving.is_none_or(|serving| self.needs(name, serving.candidate.manifest()) == Needs::Met);
        // Whatever waits is new enough when it is loaded.
        let waits = plugin.candidate.as_ref().is_some_and(|bid| bid.waits.is_some());
        let renew = !waits && plugin.renew.is_some_and(|due| due <= now);
        let situation = Situation {
            wanted: &wanted,
            asked: asked || renew,
            serving: plugin.serving.as_ref().map(|serving| &serving.source),
            candidate: plugin.on_its_way(),
            failed: plugin.failure(now),
            supported,
            // Nobody leans on what does not serve; and all would have to be asked.
            needed: serving.is_some() && !self.dependents(name).is_empty(),
            passed_over: plugin.passed_over,
        };
        match plan(&situation) {
            Step::Make(source) => self.make(name, source),
            Step::GiveUp => self.give_up(name),
            Step::Stop => self.stop(name, supported),
            Step::Rest => {
                if asked {
                    self.answer_hopeless(name, &wanted);
                }
                return self.admit_waiting(name) || self.offer_config(name) || self.move_away(name);
            }
        }
        true
    }

    /// Begins a candidate.
    fn make(&mut self, name: &str, source: Source) {
        let most = self.settings.limits(name).pinned;
        let desk = self.desk(name, self.plugins.get(name).map_or(0, |plugin| plugin.generations + 1));
        let ports = self.ports.clone();
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        plugin.generations += 1;
        plugin.renew = None;
        let ask = plugin.ask.take();
        let asker = ask.as_ref().and_then(|ask| ask.by.clone());
        let attempt = plugin.attempt.clone().filter(|attempt| source == Source::Kept(attempt.agreed.digest));
        let by = match (&attempt, asker) {
            (Some(Attempt { why: Why::Wanted(by), .. }), None) => by.clone(),
            (_, Some(asker)) => asker,
            (None, None) if matches!(source, Source::Entry(_)) => "filesystem".to_owned(),
            _ => "registry".to_owned(),
        };
        let agreed = attempt.map(|attempt| attempt.agreed).or_else(|| plugin.settled().cloned());
        let agreed = agreed.filter(|agreed| source == Source::Kept(agreed.digest));
        let mut bid = Bid {
            generation: plugin.generations,
            config: "{}".into(),
            gate: None,
            by: by.clone(),
            source: source.clone(),
            phase: Phase::Building,
            since: SystemTime::now(),
            doing: String::new(),
            waits: None,
            admitted: None,
            work: None,
            times: Times::new(),
            ask,
        };
        if plugin.pinned() >= most && !bid.ask.as_ref().is_some_and(|ask| ask.force) {
            plugin.candidate = Some(bid);
            let reason = format!("{most} generations of it cannot leave the process; see their reasons, or force it");
            self.failed(name, Failure::new(Stage::Load, reason));
            return;
        }
        let priority = match (&plugin.serving, &bid.ask) {
            (Some(_), _) => BuildPriority::Serving,
            (None, Some(_)) => BuildPriority::Asked,
            (None, None) => BuildPriority::Rest,
        };
        let wish = Wish { source, entry: plugin.entry.clone(), agreed, priority };
        let lost = || Report::Prepared(Err(work::lost(Stage::Build)));
        bid.work = Some(Work(work::begin(desk.clone(), lost, prepare(ports, wish, desk))));
        let generation = bid.generation;
        plugin.candidate = Some(bid);
        self.note(name, Some(generation), "begun", &by, serde_json::json!({}));
    }

    /// Gives a candidate up that was not loaded yet. Who asked for it waits for the next one.
    fn give_up(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let Some(mut bid) = plugin.candidate.take() else { return };
        Plugin::step(&mut bid.phase, Event::Superseded);
        tracing::info!(plugin = name, generation = bid.generation, "given up: something newer is wanted");
        // What waits at the gate was loaded: told so, it leaves in order.
        bid.gate = None;
        plugin.passed_over += u32::from(bid.waits.is_none());
        plugin.ask = match (bid.ask.take(), plugin.ask.take()) {
            (Some(first), Some(second)) => Some(first.and(second)),
            (first, second) => first.or(second),
        };
        if plugin.wanted() == Wanted::Nothing {
            plugin.refuse_ask("it is not wanted any more");
        }
    }

    /// Takes the generation that serves out of the table, and lets it go.
    fn stop(&mut self, name: &str, supported: bool) {
        let Some(serving) = self.plugins.get_mut(name).and_then(|plugin| plugin.serving.take()) else { return };
        let why = if supported { "no longer wanted" } else { "what it depends on has gone" };
        tracing::info!(plugin = name, generation = serving.generation, "stopped: {why}");
        let generation = serving.generation;
        self.let_go(name, serving);
        self.note(name, Some(generation), "stopped", "registry", serde_json::json!({ "reason": why }));
    }

    /// A generation that served leaves.
    pub(super) fn let_go(&mut self, name: &str, serving: Serving) {
        self.routes_changed = true;
        let mut phase = Phase::Serving;
        Plugin::step(&mut phase, Event::Replaced);
        let Serving { generation, loaded, farewell, .. } = serving;
        self.leave(name, generation, phase, loaded, farewell, true);
    }

    /// A loaded generation leaves.
    pub(super) fn leave(
        &mut self,
        name: &str,
        generation: u64,
        phase: Phase,
        loaded: Loaded,
        farewell: watch::Sender<bool>,
        started: bool,
    ) {
        let limits = self.settings.limits(name).clone();
        let after = self.plugins.values().filter(|plugin| plugin.needs().is_some_and(|needs| needs.contains_key(name)));
        let after = after.flat_map(|plugin| plugin.leaving.values().map(|leaving| leaving.down.clone())).collect();
        let (down, is_down) = watch::channel(false);
        let leaving =
            Leaving { phase, leases: loaded.leases.clone(), deadline: SystemTime::now() + limits.drain, down: is_down };
        let going = Leave { loaded, farewell, deadline: Instant::now() + limits.drain, started, after, down };
        tokio::spawn(leave(going, self.ports.clone(), limits, self.desk(name, generation)));
        if let Some(plugin) = self.plugins.get_mut(name) {
            plugin.leaving.insert(generation, leaving);
        }
    }

    pub(super) fn load(&mut self, name: &str, candidate: Arc<dyn Candidate>) {
        let limits = self.settings.limits(name).clone();
        let (ports, sender) = (self.ports.clone(), self.sender.clone());
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let gated = plugin.is_news(&candidate);
        let Some(bid) = plugin.candidate.as_mut() else { return };
        Plugin::step(&mut bid.phase, Event::Admitted);
        plugin.renew = None;
        bid.config = plugin.config.clone();
        let predecessor = plugin.serving.as_ref().map(|serving| Predecessor {
            instance: serving.loaded.instance.clone(),
            leases: serving.loaded.leases.clone(),
            version: serving.candidate.manifest().version.clone(),
        });
        let about = work::About { plugin: name.to_owned(), generation: bid.generation };
        let desk = work::Desk { about, reports: sender };
        bid.times.began = Instant::now();
        bid.admitted = Some(candidate.clone());
        // From here on it is not aborted: what was loaded has to leave in order.
        bid.work = None;
        let lost = || Report::Up(Err((work::lost(Stage::Load), None)));
        let bring = bring_up::Plan { candidate, config: bid.config.clone(), predecessor, gated };
        work::begin(desk.clone(), lost, bring_up(ports, limits, bring, desk));
        self.dirty.insert(name.to_owned());
    }

    /// An ask for what cannot even be begun.
    fn answer_hopeless(&mut self, name: &str, wanted: &Wanted) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        if plugin.candidate.is_some() && *wanted != Wanted::Nothing {
            // The one under way was begun before; the ask is for the next.
            return;
        }
        match (wanted, &plugin.failed) {
            (Wanted::AsItIs, Some(failed)) => {
                let refused = Refused::Failed {
                    failure: failed.failure.clone(),
                    generation: failed.generation,
                    plugin: plugin.view(),
                };
                for reply in plugin.ask.take().into_iter().flat_map(|ask| ask.replies) {
                    self.answers.push(Answer {
                        plugin: name.to_owned(),
                        reply,
                        outcome: Err(refused.clone()),
                        gone: None,
                    });
                }
            }
            (Wanted::Nothing, _) if plugin.entry.is_none() => {
                plugin.refuse_ask(&format!("the entry of `{name}` is gone from the plugins directory"));
            }
            (Wanted::Nothing, _) => plugin.refuse_ask("it is not wanted any more"),
            _ => {}
        }
    }
}
