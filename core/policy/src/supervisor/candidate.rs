//! The generation on its way to serve: what each stage of that has, and the only ways from one to the next.
//!
//! What must not live here: when it goes on (`admission`, `agreement`, `reports`), and what becomes of it afterwards.

use super::{
    ask::Ask,
    plan::GenerationSource,
    plugin::{HandedConfig, RecordedConfig},
};
use crate::{
    Candidate, Failure, TablesReady,
    generation::{Event, Phase},
    never,
    registry::{Actor, RolloutId},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::oneshot, task::AbortHandle, time::Instant};

/// A generation on its way to serve.
pub(crate) struct CandidateGeneration {
    pub(crate) head: CandidateHead,
    /// What its stage is doing, for people.
    pub(crate) doing: String,
    pub(crate) stage: CandidateStage,
}

/// What a candidate is from its beginning to its end.
pub(crate) struct CandidateHead {
    pub(crate) generation: u64,
    pub(crate) source: GenerationSource,
    /// Who brought it about.
    pub(crate) by: Actor,
    /// Whether somebody wants just this generation; if not, something changed by itself.
    pub(crate) asked_for: bool,
    /// Whether it is to be a new generation even if nothing about it is new.
    pub(crate) anew: bool,
    pub(crate) since: SystemTime,
    pub(crate) ask: Option<Ask>,
    /// Whoever asked for it overrules what speaks against it.
    pub(crate) forced: bool,
    /// Its tables are as it needs them, if it has been seen to that.
    pub(crate) tables: Option<TablesReady>,
    pub(crate) times: StageTimes,
}

/// How far a candidate is, with what it has there and nothing else.
pub(crate) enum CandidateStage {
    /// It is found, fetched or built, and verified. Given up, that work ends.
    Preparing { built: bool, _work: AbortOnDrop },
    /// It may be loaded once others serve that it needs, what it asks for is granted, and its tables can be had: why it waits, and
    /// when it is looked at again though nothing is heard of that.
    Waiting { artifact: Arc<dyn Candidate>, why: String, again: Option<Instant> },
    /// Its tables are brought to what it needs.
    Migrating { artifact: Arc<dyn Candidate> },
    /// It is loaded, takes over state, and starts, with what `config` on record comes to by its schema. This is never aborted: what was
    /// loaded leaves in order.
    BringingUp { artifact: Arc<dyn Candidate>, config: HandedConfig, loaded: bool },
    /// It is ready, and waits until it was agreed on.
    AtTheGate { artifact: Arc<dyn Candidate>, config: HandedConfig, gate: Gate },
}

/// What holds a candidate that is ready.
pub(crate) struct Gate {
    pub(crate) open: oneshot::Sender<Result<(), Failure>>,
    pub(crate) agreement: AgreementState,
}

/// How far the servers are with agreeing on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgreementState {
    /// Nobody is asked just now: another rollout has to end first, or it has only just come.
    NotAsked,
    /// The registry is being asked.
    Asking,
    /// It is part of this rollout.
    InRollout(RolloutId),
    /// The registry could not be asked. It is when it can be used again.
    RegistryAway,
}

/// Work that ends when nobody wants it any more.
pub(crate) struct AbortOnDrop(pub(crate) AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long each stage took.
pub(crate) struct StageTimes {
    pub(crate) stages: Vec<(&'static str, Duration)>,
    began: Instant,
    /// Others come first.
    queued: bool,
}

impl StageTimes {
    pub(crate) fn new() -> Self {
        StageTimes { stages: Vec::new(), began: Instant::now(), queued: false }
    }

    /// What it takes does not include how long it is kept waiting by others.
    pub(crate) fn queue(&mut self, queued: bool) {
        if std::mem::replace(&mut self.queued, queued) && !queued {
            self.restart();
        }
    }

    /// Whether others come first.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued
    }

    /// This stage is over.
    pub(crate) fn lap(&mut self, stage: &'static str) {
        let now = Instant::now();
        self.stages.push((stage, now - self.began));
        self.began = now;
    }

    /// The next stage begins now: what came in between was no stage's.
    pub(crate) fn restart(&mut self) {
        self.began = Instant::now();
    }
}

impl CandidateGeneration {
    /// Where it is in a generation's life.
    pub(crate) fn phase(&self) -> Phase {
        match &self.stage {
            CandidateStage::Preparing { built: false, .. } => Phase::Building,
            CandidateStage::Preparing { built: true, .. }
            | CandidateStage::Waiting { .. }
            | CandidateStage::Migrating { .. } => Phase::Verifying,
            CandidateStage::BringingUp { loaded: false, .. } => Phase::Loading,
            CandidateStage::BringingUp { loaded: true, .. } | CandidateStage::AtTheGate { .. } => Phase::Starting,
        }
    }

    /// The word for its stage.
    pub(crate) fn word(&self) -> &'static str {
        match self.stage {
            CandidateStage::Waiting { .. } => "waiting",
            CandidateStage::Migrating { .. } => "migrating",
            _ => self.phase().word(),
        }
    }

    /// What it would serve, once that is prepared.
    pub(crate) fn artifact(&self) -> Option<&Arc<dyn Candidate>> {
        match &self.stage {
            CandidateStage::Preparing { .. } => None,
            CandidateStage::Waiting { artifact, .. }
            | CandidateStage::Migrating { artifact }
            | CandidateStage::BringingUp { artifact, .. }
            | CandidateStage::AtTheGate { artifact, .. } => Some(artifact),
        }
    }

    /// What it begins with, once that is said.
    pub(crate) fn config(&self) -> Option<&RecordedConfig> {
        match &self.stage {
            CandidateStage::Preparing { .. } | CandidateStage::Waiting { .. } | CandidateStage::Migrating { .. } => {
                None
            }
            CandidateStage::BringingUp { config, .. } | CandidateStage::AtTheGate { config, .. } => {
                Some(&config.recorded)
            }
        }
    }

    /// What is to be loaded, and why it waits, if it does.
    pub(crate) fn waiting_for(&self) -> Option<(&Arc<dyn Candidate>, &str)> {
        match &self.stage {
            CandidateStage::Waiting { artifact, why, .. } => Some((artifact, why)),
            _ => None,
        }
    }

    /// When it is looked at again that waits, if not before.
    pub(crate) fn looked_at_again(&self) -> Option<Instant> {
        match self.stage {
            CandidateStage::Waiting { again, .. } => again,
            _ => None,
        }
    }

    /// If it waits for its tables, that is looked at then.
    pub(crate) fn look_again_at(&mut self, then: Instant) {
        if let CandidateStage::Waiting { again: Some(again), .. } = &mut self.stage {
            *again = then;
        }
    }

    /// The gate that holds it, if one does.
    pub(crate) fn gate(&self) -> Option<&Gate> {
        match &self.stage {
            CandidateStage::AtTheGate { gate, .. } => Some(gate),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn gate_mut(&mut self) -> Option<&mut Gate> {
        match &mut self.stage {
            CandidateStage::AtTheGate { gate, .. } => Some(gate),
            _ => None,
        }
    }

    /// There is a library.
    pub(crate) fn mark_built(&mut self) {
        match &mut self.stage {
            CandidateStage::Preparing { built, .. } if !*built => {
                *built = true;
                self.head.times.lap("build");
            }
            _ => never!("generation {} is built at {}", self.head.generation, self.word()),
        }
    }

    /// It may be loaded, but for what it waits for.
    pub(crate) fn wait(&mut self, artifact: Arc<dyn Candidate>, why: String, again: Option<Instant>) {
        if self.may_follow(Event::Admitted) {
            self.stage = CandidateStage::Waiting { artifact, why, again };
        }
    }

    /// It may be loaded once its tables are as it needs them, and these are seen to.
    pub(crate) fn begin_migrating(&mut self, artifact: Arc<dyn Candidate>) {
        if self.may_follow(Event::Admitted) {
            self.stage = CandidateStage::Migrating { artifact };
            self.head.times.restart();
        }
    }

    /// It may be loaded, and is from now on.
    pub(crate) fn begin_loading(&mut self, artifact: Arc<dyn Candidate>, config: HandedConfig) {
        if self.may_follow(Event::Admitted) {
            self.stage = CandidateStage::BringingUp { artifact, config, loaded: false };
            self.head.times.restart();
        }
    }

    /// There is an instance.
    pub(crate) fn mark_loaded(&mut self) {
        match &mut self.stage {
            CandidateStage::BringingUp { loaded, .. } if !*loaded => {
                *loaded = true;
                self.head.times.lap("load");
            }
            _ => never!("generation {} is loaded at {}", self.head.generation, self.word()),
        }
    }

    /// It has to be agreed on before it goes on.
    pub(crate) fn wait_at_gate(self, open: oneshot::Sender<Result<(), Failure>>) -> Self {
        let CandidateStage::BringingUp { artifact, config, loaded: true } = self.stage else {
            never!("generation {} is ready at {}", self.head.generation, self.word());
            return self;
        };
        let gate = Gate { open, agreement: AgreementState::NotAsked };
        CandidateGeneration { stage: CandidateStage::AtTheGate { artifact, config, gate }, ..self }
    }

    /// It goes on from its gate with this word. Agreed on, it is these bytes, whatever it was made of.
    pub(crate) fn pass_gate(self, word: Result<(), Failure>) -> Self {
        let CandidateStage::AtTheGate { artifact, config, gate } = self.stage else {
            never!("generation {} stands at no gate", self.head.generation);
            return self;
        };
        let mut head = self.head;
        if let (Ok(()), Some(digest)) = (&word, artifact.digest()) {
            head.source = GenerationSource::Kept(digest);
        }
        // Whoever waited may have panicked, and is reported as lost then.
        let _ = gate.open.send(word);
        CandidateGeneration { head, stage: CandidateStage::BringingUp { artifact, config, loaded: true }, ..self }
    }

    fn may_follow(&self, event: Event) -> bool {
        let follows = self.phase().after(event.clone()).is_some();
        if !follows {
            never!("{event:?} follows {} of generation {}", self.word(), self.head.generation);
        }
        follows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_does_not_take_what_it_waits_for_others() {
        const WAIT: Duration = Duration::from_millis(500);
        let mut times = StageTimes::new();
        times.queue(true);
        std::thread::sleep(WAIT);
        times.queue(false);
        times.lap("build");
        assert!(times.stages[0].1 < WAIT, "{:?}", times.stages);
        // A stage that is not kept waiting takes what it takes.
        std::thread::sleep(WAIT);
        times.queue(false);
        times.lap("verify");
        assert!(times.stages[1].1 >= WAIT, "{:?}", times.stages);
    }
}
