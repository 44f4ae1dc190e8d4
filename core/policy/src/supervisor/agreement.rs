//! How a candidate that is ready comes to serve: everybody who serves the plugin agrees first.
//!
//! A candidate that is something else than what was agreed on waits at a gate. Who made it proposes it; with nobody else
//! there it goes on at once. What must not live here: how the others are asked (the registry does that).

use super::{
    Supervisor,
    candidate::{AgreementState, CandidateGeneration, CandidateStage},
    plan::GenerationSource,
    plugin::{Attempt, AttemptReason, FailedGeneration, Plugin, ServingGeneration},
    work::{GenerationId, GenerationReport, GenerationReporter, RegistryReport, WorkReport, lost_call},
};
use crate::{
    Candidate, Failure, Kept, Stage, never,
    registry::{Actor, Agreed, Proposal, Proposed, Reading, Rollout, RolloutId, RolloutState, Unavailable},
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::oneshot, time::Instant};

impl Plugin {
    /// Whether this is something else than what was agreed on.
    pub(super) fn is_news(&self, artifact: &Arc<dyn Candidate>) -> bool {
        artifact.digest().is_some_and(|digest| self.agreed_on().is_none_or(|agreed| agreed.digest != digest))
    }

    /// What a candidate's servers would agree on.
    pub(super) fn as_agreed(&self, source: &GenerationSource, artifact: &Arc<dyn Candidate>) -> Option<Agreed> {
        let digest = artifact.digest()?;
        let known = || self.agreed_on().filter(|agreed| agreed.digest == digest);
        let fingerprint = match (source, &self.wishes.attempt) {
            (GenerationSource::Entry(fingerprint), _) => Some(fingerprint.clone()),
            (_, Some(attempt)) if attempt.agreed.digest == digest => attempt.agreed.fingerprint.clone(),
            _ => known().and_then(|agreed| agreed.fingerprint.clone()),
        };
        Some(Agreed { fingerprint, digest, version: artifact.manifest().version.clone() })
    }
}

impl CandidateGeneration {
    /// The gate that holds it, if it may be asked about now.
    fn may_be_asked_about(&self) -> bool {
        let agreement = self.gate().map(|gate| gate.agreement);
        matches!(agreement, Some(AgreementState::NotAsked | AgreementState::RegistryAway))
    }

    fn set_agreement(&mut self, agreement: AgreementState) {
        if let Some(gate) = self.gate_mut() {
            gate.agreement = agreement;
        }
    }
}

impl Supervisor {
    /// Rollouts that candidates of this node are part of.
    pub(super) fn rollouts_of_mine(&self) -> BTreeSet<RolloutId> {
        let gates = self.plugins.values().filter_map(|plugin| match plugin.candidate.as_ref()?.gate()?.agreement {
            AgreementState::InRollout(id) => Some(id),
            AgreementState::NotAsked | AgreementState::Asking | AgreementState::RegistryAway => None,
        });
        let attempts = self.plugins.values().filter_map(|plugin| match plugin.wishes.attempt.as_ref()?.reason {
            AttemptReason::Rollout(id) => Some(id),
            AttemptReason::Wanted(_) | AttemptReason::Canary(_) => None,
        });
        gates.chain(attempts).collect()
    }

    /// A candidate is ready, and waits.
    pub(super) fn at_the_gate(&mut self, id: &GenerationId, open: oneshot::Sender<Result<(), Failure>>) {
        // One that is none any more hears by the drop of `open` that it is not wanted.
        let Some(plugin) = self.current(id) else { return };
        plugin.candidate = plugin.candidate.take().map(|candidate| candidate.wait_at_gate(open));
        if let Some(candidate) = plugin.candidate.as_mut() {
            "waiting for the other servers".clone_into(&mut candidate.doing);
        }
        self.open_gate(&id.plugin);
        self.ask_others(&id.plugin);
    }

    /// Lets a candidate go on that is what was agreed on.
    pub(super) fn open_gate(&mut self, name: &str) {
        let agreed = self.plugins.get(name).is_some_and(|plugin| {
            let waits = plugin.candidate.as_ref().filter(|candidate| candidate.gate().is_some());
            waits.and_then(|candidate| candidate.artifact()).is_some_and(|artifact| !plugin.is_news(artifact))
        });
        if agreed {
            self.through_the_gate(name, Ok(()));
        }
    }

    pub(super) fn through_the_gate(&mut self, name: &str, word: Result<(), Failure>) {
        let Some(plugin) = self.plugins.get_mut(name).filter(|plugin| plugin.candidate.is_some()) else {
            never!("a gate opens for `{name}`, which has no candidate");
            return;
        };
        if let (Ok(()), Some(GenerationSource::Entry(fingerprint))) =
            (&word, plugin.candidate.as_ref().map(|candidate| &candidate.head.source))
        {
            // From here on it is what was agreed on: an entry that these bytes came of is accounted for.
            plugin.directory.accounted = Some(fingerprint.clone());
        }
        plugin.candidate = plugin.candidate.take().map(|candidate| candidate.pass_gate(word));
    }

    /// Proposes what is ready, or answers who proposed it.
    fn ask_others(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let Some(candidate) = plugin.candidate.as_ref().filter(|candidate| candidate.may_be_asked_about()) else {
            return;
        };
        let CandidateStage::AtTheGate { artifact, .. } = &candidate.stage else {
            never!("`{name}` may be asked about and stands at no gate");
            return;
        };
        // Only what is compiled in has no bytes to agree on, and that never waits.
        let Some(agreed) = plugin.as_agreed(&candidate.head.source, artifact) else {
            never!("`{name}` waits at the gate without an artifact");
            return;
        };
        let reason = plugin.wishes.attempt.as_ref().filter(|attempt| attempt.agreed.digest == agreed.digest);
        let (agreement, by) = match reason.map(|attempt| &attempt.reason) {
            Some(AttemptReason::Canary(_)) => {
                self.through_the_gate(name, Ok(()));
                return;
            }
            None if plugin.begins_as_canary(self.looks.arriving.get(name), &self.settings) => {
                self.begin_canary(name, agreed);
                return;
            }
            Some(AttemptReason::Rollout(id)) => (AgreementState::InRollout(*id), candidate.head.by.clone()),
            Some(AttemptReason::Wanted(by)) => (AgreementState::Asking, by.clone()),
            None => (AgreementState::Asking, candidate.head.by.clone()),
        };
        let (generation, artifact) = (candidate.head.generation, artifact.clone());
        let seen = plugin.directory.fingerprint().cloned();
        if let Some(candidate) = plugin.candidate.as_mut() {
            candidate.set_agreement(agreement);
        }
        match agreement {
            AgreementState::InRollout(id) => self.answer(id, Ok(())),
            _ => {
                let proposal = Proposal { plugin: name.to_owned(), agreed, by, seen };
                begin_proposal(self.ports.clone(), proposal, artifact, self.reporter(name, generation));
            }
        }
    }

    /// Answers a rollout of somebody else.
    pub(super) fn answer(&self, id: RolloutId, answer: Result<(), String>) {
        let (registry, reports) = (self.ports.registry.clone(), self.reports.clone());
        tokio::spawn(async move {
            let outcome = registry.answer(id, answer).await;
            let _ = reports.send(WorkReport::Registry(RegistryReport::Answered(outcome)));
        });
    }

    /// Whether an answer, or the end of a rollout, could be put on record. What follows from it is read there.
    pub(super) fn answered(&mut self, outcome: Result<RolloutState, Unavailable>) {
        if let Err(why) = outcome {
            self.registry_fails(&why);
        }
    }

    /// What came of a proposal.
    pub(super) fn proposed(&mut self, id: &GenerationId, outcome: Result<Proposed, Unavailable>) {
        let name = id.plugin.as_str();
        // Also if this candidate is none any more: it was agreed on.
        if let Ok(Proposed::Agreed(record)) = &outcome {
            self.take_record((**record).clone(), None);
        }
        // What serves already, or is at no gate any more, needs no word.
        let Some(candidate) = self.current(id).and_then(|plugin| plugin.candidate.as_mut()) else {
            self.canary_was_proposed(id, outcome);
            return;
        };
        let Some(gate) = candidate.gate() else { return };
        if gate.agreement != AgreementState::Asking {
            return;
        }
        candidate.set_agreement(AgreementState::NotAsked);
        match outcome {
            Ok(Proposed::Agreed(_)) => {}
            Ok(Proposed::Asking(rollout)) => {
                let digest = candidate.artifact().and_then(|artifact| artifact.digest());
                let same = digest == Some(rollout.agreed.digest);
                if same {
                    candidate.set_agreement(AgreementState::InRollout(rollout.id));
                }
                candidate.doing = waits_for(&rollout, same);
                self.read(Reading { names: Some([name.to_owned()].into()), ..Reading::default() });
            }
            Ok(Proposed::Unknown) => {
                self.through_the_gate(name, Err(Failure::new(Stage::Start, "its record was deleted meanwhile")));
            }
            Err(why) => {
                candidate.set_agreement(AgreementState::RegistryAway);
                candidate.doing = format!("it is ready, and waits for the registry: {why}");
                let safety = candidate.head.by == Actor::Health;
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
        let away = |plugin: &&Plugin| {
            let gate = plugin.candidate.as_ref().and_then(|candidate| candidate.gate());
            gate.is_some_and(|gate| gate.agreement == AgreementState::RegistryAway)
        };
        let waiting: Vec<_> = self.plugins.values().filter(away).map(|plugin| plugin.name.clone()).collect();
        for name in waiting {
            self.ask_others(&name);
        }
        self.propose_what_serves();
    }

    /// What was gone back to without asking is proposed now.
    fn propose_what_serves(&self) {
        for plugin in self.plugins.values() {
            let Some(serving) = &plugin.serving else { continue };
            let Some(Attempt { agreed, reason: AttemptReason::Wanted(by) }) = &plugin.wishes.attempt else { continue };
            if serving.artifact.digest() != Some(agreed.digest) || plugin.candidate.is_some() {
                continue;
            }
            self.propose_serving(plugin, serving, agreed, by);
        }
    }

    /// Proposes what serves here already.
    pub(super) fn propose_serving(&self, plugin: &Plugin, serving: &ServingGeneration, agreed: &Agreed, by: &Actor) {
        let seen = plugin.directory.fingerprint().cloned();
        let proposal = Proposal { plugin: plugin.name.clone(), agreed: agreed.clone(), by: by.clone(), seen };
        let reporter = self.reporter(&plugin.name, serving.generation);
        begin_proposal(self.ports.clone(), proposal, serving.artifact.clone(), reporter);
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
                    let (registry, reports, id) = (self.ports.registry.clone(), self.reports.clone(), rollout.id);
                    tokio::spawn(async move {
                        let outcome = registry.conclude(id).await;
                        let _ = reports.send(WorkReport::Registry(RegistryReport::Answered(outcome)));
                    });
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
            if let Some(candidate) = self.waiting_for(rollout) {
                candidate.doing = waits_for(rollout, true);
                self.dirty.insert(rollout.plugin.clone());
            }
            return;
        }
        let Some(plugin) = self.plugins.get_mut(&rollout.plugin) else {
            self.answer(rollout.id, Ok(()));
            return;
        };
        let there = plugin.entry().map_or_else(|| plugin.is_named(), |entry| entry.problem.is_none());
        let usable = there && plugin.enabled();
        if !usable || plugin.served_digest() == Some(rollout.agreed.digest) {
            // Whoever does not serve it is in nobody's way.
            self.answer(rollout.id, Ok(()));
            return;
        }
        let attempt = Attempt { agreed: rollout.agreed.clone(), reason: AttemptReason::Rollout(rollout.id) };
        if plugin.wishes.attempt.as_ref() != Some(&attempt) {
            tracing::info!(plugin = rollout.plugin, "server {} proposes {}", rollout.proposer, rollout.agreed.version);
            plugin.wishes.attempt = Some(attempt);
            self.dirty.insert(rollout.plugin.clone());
        }
        // The same may be ready here already.
        self.ask_others(&rollout.plugin.clone());
    }

    fn waiting_for(&mut self, rollout: &Rollout) -> Option<&mut CandidateGeneration> {
        let candidate = self.plugins.get_mut(&rollout.plugin)?.candidate.as_mut()?;
        (candidate.gate()?.agreement == AgreementState::InRollout(rollout.id)).then_some(candidate)
    }

    fn rollout_failed(&mut self, rollout: &Rollout, why: &str) {
        let name = rollout.plugin.as_str();
        let not_agreed = |then: &str| {
            Failure::new(
                Stage::Start,
                format!("version {} was not agreed on, and {then}: {why}", rollout.agreed.version),
            )
        };
        if self.waiting_for(rollout).is_some() {
            self.through_the_gate(name, Err(not_agreed("nobody swapped")));
        } else if let Some(plugin) = self.plugins.get_mut(name)
            && let Some(serving) = plugin.serving.as_ref()
            && serving.artifact.digest() == Some(rollout.agreed.digest)
            && plugin
                .wishes
                .attempt
                .as_ref()
                .is_some_and(|attempt| attempt.reason == AttemptReason::Rollout(rollout.id))
        {
            let failure = not_agreed("this server, where it served already, goes back");
            plugin.failed = Some(FailedGeneration::serving(serving, failure));
        }
        self.rollout_is_over(rollout);
        // Who waited for its end may propose now.
        self.ask_others(name);
    }

    fn rollout_is_over(&mut self, rollout: &Rollout) {
        let Some(plugin) = self.plugins.get_mut(&rollout.plugin) else { return };
        let over = |attempt: &mut Attempt| attempt.reason == AttemptReason::Rollout(rollout.id);
        let failed = rollout.state != RolloutState::Committed;
        if failed && plugin.wishes.attempt.take_if(over).is_some() {
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

/// Proposes beside the supervisor.
fn begin_proposal(ports: super::Ports, proposal: Proposal, artifact: Arc<dyn Candidate>, reporter: GenerationReporter) {
    let id = reporter.id.clone();
    let lost = move || WorkReport::Generation(id, GenerationReport::Proposed(Err(lost_call("proposing it"))));
    super::work::begin(reporter.reports.clone(), lost, async move {
        let outcome = propose(ports, proposal, artifact).await;
        reporter.report(GenerationReport::Proposed(outcome));
    });
}

/// Makes the artifact available to others, and proposes it.
async fn propose(
    ports: super::Ports,
    proposal: Proposal,
    artifact: Arc<dyn Candidate>,
) -> Result<Proposed, Unavailable> {
    if let (Some(digest), Some(fingerprint)) = (artifact.digest(), proposal.agreed.fingerprint.clone()) {
        let version = proposal.agreed.version.clone();
        let kept = Kept { name: proposal.plugin.clone(), version, fingerprint, digest, at: SystemTime::now() };
        ports.exchange.offer(&kept, artifact.path().map(Into::into)).await?;
    }
    ports.registry.propose(proposal).await
}
