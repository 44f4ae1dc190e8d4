//! How a candidate that is ready comes to serve: everybody who serves the plugin agrees first.
//!
//! A candidate that is something else than what was agreed on waits at a gate. Who made it proposes it; with nobody else
//! there it goes on at once. What must not live here: how the others are asked (the registry does that).

use super::{
    Supervisor,
    plan::Source,
    plugin::{Attempt, Gate, Plugin, Why},
    work::{About, Report},
};
use crate::{
    Candidate, Failure, Kept, Stage,
    registry::{Agreed, Proposal, Proposed, Reading, Rollout, RolloutId, RolloutState, Unavailable},
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::oneshot, time::Instant};

impl Plugin {
    /// Whether this is something else than what was agreed on.
    pub(super) fn is_news(&self, candidate: &Arc<dyn Candidate>) -> bool {
        let agreed = self.record.as_ref().and_then(|record| record.agreed.as_ref());
        candidate.digest().is_some_and(|digest| agreed.is_none_or(|agreed| agreed.digest != digest))
    }

    /// What a candidate's servers would agree on.
    pub(super) fn as_agreed(&self, source: &Source, candidate: &Arc<dyn Candidate>) -> Option<Agreed> {
        let digest = candidate.digest()?;
        let fingerprint = match (source, &self.attempt) {
            (Source::Entry(fingerprint), _) => Some(fingerprint.clone()),
            (_, Some(attempt)) if attempt.agreed.digest == digest => attempt.agreed.fingerprint.clone(),
            _ => self.settled().filter(|agreed| agreed.digest == digest).and_then(|agreed| agreed.fingerprint.clone()),
        };
        Some(Agreed { fingerprint, digest, version: candidate.manifest().version.clone() })
    }
}

impl Supervisor {
    /// Rollouts that candidates of this node are part of.
    pub(super) fn rollouts_of_mine(&self) -> BTreeSet<RolloutId> {
        let gates = self.plugins.values().filter_map(|plugin| plugin.candidate.as_ref()?.gate.as_ref()?.rollout);
        let attempts = self.plugins.values().filter_map(|plugin| match plugin.attempt.as_ref()?.why {
            Why::Rollout(id) => Some(id),
            Why::Wanted(_) => None,
        });
        gates.chain(attempts).collect()
    }

    /// A candidate is ready, and waits.
    pub(super) fn at_the_gate(&mut self, about: &About, open: oneshot::Sender<Result<(), Failure>>) {
        let Some(bid) = self.current(about).and_then(|plugin| plugin.candidate.as_mut()) else { return };
        bid.gate = Some(Gate { open, rollout: None, asking: false, trouble: None });
        "waiting for the other servers".clone_into(&mut bid.doing);
        self.open_gate(&about.plugin);
        self.ask_others(&about.plugin);
    }

    /// Lets a candidate go on that is what was agreed on.
    pub(super) fn open_gate(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let ready = plugin.candidate.as_ref().filter(|bid| bid.gate.is_some()).and_then(|bid| bid.admitted.clone());
        if ready.is_some_and(|candidate| !plugin.is_news(&candidate)) {
            self.through_the_gate(name, Ok(()));
        }
    }

    fn through_the_gate(&mut self, name: &str, word: Result<(), Failure>) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let Some(bid) = plugin.candidate.as_mut() else { return };
        let Some(gate) = bid.gate.take() else { return };
        if let (Ok(()), Some(digest)) = (&word, bid.admitted.as_ref().and_then(|candidate| candidate.digest())) {
            // From here on it is what was agreed on, whatever it was made of: an entry that these bytes came of is accounted for.
            if let Source::Entry(fingerprint) = std::mem::replace(&mut bid.source, Source::Kept(digest)) {
                plugin.seen = Some(fingerprint);
            }
        }
        let _ = gate.open.send(word);
    }

    /// Proposes what is ready, or answers who proposed it.
    fn ask_others(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let attempt = plugin.attempt.clone();
        let Some(bid) = plugin.candidate.as_ref() else { return };
        let (Some(gate), Some(candidate)) = (&bid.gate, bid.admitted.clone()) else { return };
        if gate.asking || gate.rollout.is_some() {
            return;
        }
        let Some(agreed) = plugin.as_agreed(&bid.source, &candidate) else { return };
        let of_others = attempt.as_ref().filter(|attempt| attempt.agreed.digest == agreed.digest);
        let answers = of_others.and_then(|attempt| match attempt.why {
            Why::Rollout(id) => Some(id),
            Why::Wanted(_) => None,
        });
        let by = match of_others.map(|attempt| &attempt.why) {
            Some(Why::Wanted(by)) => by.clone(),
            _ => bid.by.clone(),
        };
        let generation = bid.generation;
        let seen = plugin.entry.as_ref().map(|entry| entry.fingerprint.clone());
        let proposal = Proposal { plugin: name.to_owned(), agreed, by, seen };
        if let Some(gate) = plugin.candidate.as_mut().and_then(|bid| bid.gate.as_mut()) {
            gate.asking = true;
            gate.rollout = answers;
        }
        let desk = self.desk(name, generation);
        match answers {
            Some(id) => self.answer(id, Ok(())),
            None => {
                let ports = self.ports.clone();
                tokio::spawn(async move {
                    desk.tell(Report::Proposed(propose(ports, proposal, candidate).await));
                });
            }
        }
    }

    /// Answers a rollout of somebody else.
    pub(super) fn answer(&self, id: RolloutId, answer: Result<(), String>) {
        let (registry, desk) = (self.ports.registry.clone(), self.desk("", 0));
        tokio::spawn(async move {
            let outcome = registry.answer(id, answer).await;
            desk.tell(Report::Answered(outcome));
        });
    }

    /// Whether an answer, or the end of a rollout, could be put on record. What follows from it is read there.
    pub(super) fn answered(&mut self, outcome: Result<RolloutState, Unavailable>) {
        if let Err(why) = outcome {
            self.registry_fails(&why);
        }
    }

    /// What came of a proposal.
    pub(super) fn proposed(&mut self, about: &About, outcome: Result<Proposed, Unavailable>) {
        let name = about.plugin.as_str();
        let record = match &outcome {
            Ok(Proposed::Agreed(record)) => Some((**record).clone()),
            _ => None,
        };
        // Also if this candidate is none any more: it was agreed on.
        if let Some(record) = record {
            self.learn(record, None);
        }
        let Some(bid) = self.current(about).and_then(|plugin| plugin.candidate.as_mut()) else { return };
        let Some(gate) = bid.gate.as_mut() else { return };
        gate.asking = false;
        match outcome {
            Ok(Proposed::Agreed(_)) => {}
            Ok(Proposed::Asking(rollout)) => {
                let same =
                    bid.admitted.as_ref().and_then(|candidate| candidate.digest()) == Some(rollout.agreed.digest);
                gate.rollout = same.then_some(rollout.id);
                bid.doing = waits_for(&rollout, same);
                self.read(Reading { names: Some([name.to_owned()].into()), ..Reading::default() });
            }
            Ok(Proposed::Unknown) => {
                self.through_the_gate(name, Err(Failure::new(Stage::Start, "its record was deleted meanwhile")));
            }
            Err(why) => {
                gate.trouble = Some(why.0.clone());
                bid.doing = format!("it is ready, and waits for the registry: {why}");
                let safety = bid.by == "health";
                self.registry_fails(&why);
                // To go back from something bad waits for nobody. It is put on record later.
                if safety {
                    self.through_the_gate(name, Ok(()));
                }
            }
        }
        self.dirty.insert(name.to_owned());
    }

    /// The registry can be used again: who waited for it asks again.
    pub(super) fn ask_again(&mut self) {
        let waiting = self.plugins.values().filter(|plugin| {
            plugin.candidate.as_ref().and_then(|bid| bid.gate.as_ref()).is_some_and(|gate| gate.trouble.is_some())
        });
        let waiting: Vec<_> = waiting.map(|plugin| plugin.name.clone()).collect();
        for name in waiting {
            if let Some(gate) = self
                .plugins
                .get_mut(&name)
                .and_then(|plugin| plugin.candidate.as_mut())
                .and_then(|bid| bid.gate.as_mut())
            {
                gate.trouble = None;
            }
            self.ask_others(&name);
        }
        self.propose_what_serves();
    }

    /// What was gone back to without asking is proposed now.
    fn propose_what_serves(&self) {
        for plugin in self.plugins.values() {
            let (Some(serving), Some(Attempt { agreed, why: Why::Wanted(by) })) = (&plugin.serving, &plugin.attempt)
            else {
                continue;
            };
            if serving.candidate.digest() != Some(agreed.digest) || plugin.candidate.is_some() {
                continue;
            }
            let seen = plugin.entry.as_ref().map(|entry| entry.fingerprint.clone());
            let proposal = Proposal { plugin: plugin.name.clone(), agreed: agreed.clone(), by: by.clone(), seen };
            let (ports, candidate) = (self.ports.clone(), serving.candidate.clone());
            let desk = self.desk(&plugin.name, serving.generation);
            tokio::spawn(async move { desk.tell(Report::Proposed(propose(ports, proposal, candidate).await)) });
        }
    }

    /// Rollouts as they stand now.
    pub(super) fn take_rollouts(&mut self, rollouts: Vec<Rollout>) {
        let mut due: Option<Instant> = None;
        for rollout in rollouts {
            match (&rollout.state, rollout.left_ms) {
                (RolloutState::Open, Some(left)) => {
                    let over = Instant::now() + Duration::from_millis(left + 50);
                    due = Some(due.map_or(over, |due| due.min(over)));
                    self.take_part(&rollout);
                }
                (RolloutState::Open, None) => {
                    let (registry, desk, id) = (self.ports.registry.clone(), self.desk("", 0), rollout.id);
                    tokio::spawn(async move { desk.tell(Report::Answered(registry.conclude(id).await)) });
                }
                (RolloutState::Failed(why), _) => self.rollout_failed(&rollout, why),
                // What was agreed on stands in the record.
                (RolloutState::Committed, _) => self.rollout_is_over(&rollout),
            }
        }
        self.records.rollouts_due = due;
    }

    /// Another server proposes something, and waits for this one.
    fn take_part(&mut self, rollout: &Rollout) {
        let node = self.ports.registry.this_node();
        if !rollout.nodes.contains(&node) || rollout.answers.contains_key(&node) {
            if let Some(bid) = self.waiting_for(rollout) {
                bid.doing = waits_for(rollout, true);
                self.dirty.insert(rollout.plugin.clone());
            }
            return;
        }
        let Some(plugin) = self.plugins.get_mut(&rollout.plugin) else {
            self.answer(rollout.id, Ok(()));
            return;
        };
        let serves = plugin.serving.as_ref().and_then(|serving| serving.candidate.digest());
        let usable = plugin.entry.as_ref().is_some_and(|entry| entry.problem.is_none()) && plugin.enabled();
        if !usable || serves == Some(rollout.agreed.digest) {
            // Whoever does not serve it is in nobody's way.
            self.answer(rollout.id, Ok(()));
            return;
        }
        let attempt = Attempt { agreed: rollout.agreed.clone(), why: Why::Rollout(rollout.id) };
        if plugin.attempt.as_ref() != Some(&attempt) {
            tracing::info!(plugin = rollout.plugin, "server {} proposes {}", rollout.proposer, rollout.agreed.version);
            plugin.attempt = Some(attempt);
            self.dirty.insert(rollout.plugin.clone());
        }
        // The same may be ready here already.
        self.ask_others(&rollout.plugin.clone());
    }

    fn waiting_for(&mut self, rollout: &Rollout) -> Option<&mut super::plugin::Bid> {
        let bid = self.plugins.get_mut(&rollout.plugin)?.candidate.as_mut()?;
        bid.gate.as_ref().is_some_and(|gate| gate.rollout == Some(rollout.id)).then_some(bid)
    }

    fn rollout_failed(&mut self, rollout: &Rollout, why: &str) {
        let name = rollout.plugin.as_str();
        if self.waiting_for(rollout).is_some() {
            let reason = format!("version {} was not agreed on, and nobody swapped: {why}", rollout.agreed.version);
            self.through_the_gate(name, Err(Failure::new(Stage::Start, reason)));
        }
        self.rollout_is_over(rollout);
        // Who waited for its end may propose now.
        self.ask_others(name);
    }

    fn rollout_is_over(&mut self, rollout: &Rollout) {
        let Some(plugin) = self.plugins.get_mut(&rollout.plugin) else { return };
        let over = |attempt: &mut Attempt| attempt.why == Why::Rollout(rollout.id);
        let failed = rollout.state != RolloutState::Committed;
        if failed && plugin.attempt.take_if(over).is_some() {
            self.dirty.insert(rollout.plugin.clone());
        }
    }
}

fn waits_for(rollout: &Rollout, same: bool) -> String {
    let silent: Vec<_> =
        rollout.nodes.iter().filter(|node| !rollout.answers.contains_key(*node)).map(String::as_str).collect();
    match (same, &silent[..]) {
        (false, _) => format!("it waits for the end of the rollout of {}", rollout.agreed.version),
        (true, []) => "all servers are ready for it".to_owned(),
        (true, silent) => format!("it is ready, and waits for {}", silent.join(", ")),
    }
}

/// Makes the artifact available to others, and proposes it.
async fn propose(
    ports: super::Ports,
    proposal: Proposal,
    candidate: Arc<dyn Candidate>,
) -> Result<Proposed, Unavailable> {
    if let (Some(digest), Some(fingerprint)) = (candidate.digest(), proposal.agreed.fingerprint.clone()) {
        let version = proposal.agreed.version.clone();
        let kept = Kept { name: proposal.plugin.clone(), version, fingerprint, digest, at: SystemTime::now() };
        ports.exchange.offer(&kept, candidate.path().map(Into::into)).await?;
    }
    ports.registry.propose(proposal).await
}
