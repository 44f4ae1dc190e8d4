//! What the supervisor knows of one plugin, in parts that change together.
//!
//! What must not live here: what follows from it (`observed`), and anything that asks somebody.

use super::{
    ask::{Arrival, Ask, Reply},
    brake::Brake,
    candidate::CandidateGeneration,
    plan::GenerationSource,
    restarts::Restarts,
};
use crate::{
    BuildView, Candidate, ConfigSchema, Digest, Endpoint, Entry, Failure, Fingerprint, Isolation, Loaded, Manifest,
    Refused, SealedSecrets, Sealer, Watch,
    generation::{Event, Phase},
    grants::GrantedGenerations,
    never,
    registry::{Actor, Agreed, Record, RolloutId, Served},
};
use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Weak},
    time::SystemTime,
};
use tokio::{sync::watch, time::Instant};

/// A plugin: what is known of it, what is wanted, and its generations.
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) on_record: OnRecord,
    pub(crate) directory: InDirectory,
    /// It was removed, and its entry is to go.
    pub(crate) removal: Option<Removal>,
    pub(crate) wishes: Wishes,
    pub(crate) serving: Option<ServingGeneration>,
    pub(crate) candidate: Option<CandidateGeneration>,
    /// The last failure, as long as it says something of what is there now.
    pub(crate) failed: Option<FailedGeneration>,
    pub(crate) leaving: BTreeMap<u64, LeavingGeneration>,
    pub(crate) past: Past,
}

/// What the registry has of a plugin, and what it was told.
pub(crate) struct OnRecord {
    pub(crate) record: Option<Record>,
    /// The record's configuration.
    pub(crate) config: RecordedConfig,
    /// The revision of the record of which secrets are being sealed that lie there in plain.
    pub(crate) sealing: Option<u64>,
    /// What seals and opens its secrets.
    pub(crate) sealer: Arc<dyn Sealer>,
    /// What its generations may.
    pub(crate) granted: GrantedGenerations,
    /// When the record was taken over, by the count of records that were.
    pub(crate) taken_at: u64,
    /// Orders that are on their way to the record.
    pub(crate) orders: usize,
    /// The record changed while an order was under way, and that was not taken over.
    pub(crate) missed_change: bool,
    /// What the registry was last told of it, and of what it answers.
    pub(crate) reported: Option<Served>,
    pub(crate) reported_endpoints: Vec<Endpoint>,
}

/// A configuration as it is on record: with masks, and what they stand for. Two that are equal are the same to a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedConfig {
    pub(crate) shown: Arc<str>,
    pub(crate) secrets: Arc<SealedSecrets>,
}

/// A configuration on record, and a hash of what a plugin gets of it, with its secrets and defaults: sealed anew that is the same. None
/// if it could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandedConfig {
    pub(crate) recorded: RecordedConfig,
    pub(crate) given: Option<Digest>,
}

impl RecordedConfig {
    /// With what a plugin gets of it.
    pub(crate) fn handed(&self, given: Option<&str>) -> HandedConfig {
        HandedConfig { recorded: self.clone(), given: given.map(|given| Digest::of(given.as_bytes())) }
    }
}

impl From<&Record> for RecordedConfig {
    fn from(record: &Record) -> Self {
        RecordedConfig { shown: record.config.to_string().into(), secrets: Arc::new(record.secrets.clone()) }
    }
}

/// What lies in the plugins directory, and how that relates to what was agreed on.
pub(crate) struct InDirectory {
    pub(crate) presence: Presence,
    /// Another entry of the same name, which is left alone, and since when that is known.
    pub(crate) rival: Option<(PathBuf, SystemTime)>,
    /// The fingerprint of the entry that is accounted for: what was agreed on since then serves in place of it. An entry
    /// with another fingerprint is a proposal.
    pub(crate) accounted: Option<Fingerprint>,
    /// The node has just come to a fleet: whatever lies there is accounted for.
    pub(crate) joins: bool,
    /// The fingerprint of an entry that somebody here rolled back from. Asked for a reload, it is tried again.
    pub(crate) rolled_back_from: Option<Fingerprint>,
    /// All served what came of it, and serve another version by now, that was not made here: it was installed by name.
    pub(crate) is_superseded: bool,
}

impl InDirectory {
    /// The entry, if there is one.
    pub(crate) fn entry_mut(&mut self) -> Option<&mut Entry> {
        match &mut self.presence {
            Presence::Present(entry) => Some(entry),
            Presence::Unknown | Presence::Absent => None,
        }
    }
}

/// Whether a plugin has an entry.
pub(crate) enum Presence {
    /// The directory was not looked at yet.
    Unknown,
    Absent,
    Present(Entry),
}

/// How far a removal is, with those who wait for it.
pub(crate) enum Removal {
    /// Nothing of the plugin may serve any more; then its entry is moved.
    Stopping(Vec<Reply>),
    /// Its entry is being moved, and what it kept removed if that is wanted.
    Moving(Vec<Reply>),
    /// That is over: the next look finds it gone.
    Moved(Vec<Reply>),
}

/// What somebody, or something, wants of a plugin beside its record.
#[derive(Default)]
pub(crate) struct Wishes {
    /// Somebody asks for a new generation.
    pub(crate) ask: Option<Ask>,
    /// The outcome of an installation.
    pub(crate) arrival: Option<Arrival>,
    /// Those who wait until its configuration is taken.
    pub(crate) configurers: Vec<Reply>,
    /// An artifact that is to be tried, and to serve if that is agreed on.
    pub(crate) attempt: Option<Attempt>,
    /// A new generation of the same.
    pub(crate) renewal: Option<Renewal>,
}

/// An artifact that is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) agreed: Agreed,
    pub(crate) reason: AttemptReason,
}

/// Why an artifact is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AttemptReason {
    /// Somebody here wants it: it is proposed.
    Wanted(Actor),
    /// Another node proposes it, and is answered; or this one does, and it serves here already.
    Rollout(RolloutId),
    /// It serves here for a while before it is proposed.
    Canary(Actor),
}

/// A new generation of the same is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Renewal {
    pub(crate) due: Instant,
    pub(crate) cause: RenewalCause,
}

/// Why a new generation of the same is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenewalCause {
    /// Its record asks for it.
    Requested,
    /// It has to begin with another configuration.
    Configured,
    /// It is to run in the other mode.
    Isolated,
    /// It was not well.
    Unwell,
    /// What it depends on was replaced.
    DependencyReplaced,
    /// A reload was refused because of pins that have gone since.
    PinsGone,
}

/// The generation that serves.
pub(crate) struct ServingGeneration {
    pub(crate) generation: u64,
    pub(crate) source: GenerationSource,
    pub(crate) config: ServedConfig,
    pub(crate) artifact: Arc<dyn Candidate>,
    pub(crate) loaded: Loaded,
    /// What it is, as others would agree on it; none if it is compiled in.
    pub(crate) agreed: Option<Agreed>,
    pub(crate) farewell: watch::Sender<bool>,
    pub(crate) since: SystemTime,
    /// Requests wait while it hands over its state.
    pub(crate) held: bool,
    pub(crate) health: Health,
}

/// The configuration that a generation has, and the last one that it was offered.
pub(crate) struct ServedConfig {
    pub(crate) taken: HandedConfig,
    pub(crate) offered: HandedConfig,
}

/// How a generation is followed while it serves.
pub(crate) struct Health {
    /// It is new, and watched.
    pub(crate) probation: Option<Probation>,
    /// When a canary has served for long enough, and is proposed; none while that is done.
    pub(crate) soaked: Option<Instant>,
    /// How far it is with taking from its tables what only versions before it needed.
    pub(crate) contracts: Contracting,
    pub(crate) due: Instant,
    pub(crate) asked: bool,
    /// There as long as the last call has not come to an end, which may be longer than anybody waits for it.
    pub(crate) call: Weak<()>,
    pub(crate) unwell: u32,
}

/// How far a generation is with taking from its tables what only versions before it needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contracting {
    /// There is nothing, or nothing any more.
    Nothing,
    /// It is done then, if nothing else is on its way.
    Due(Instant),
    /// It is being done.
    UnderWay,
}

/// A new generation is watched.
#[derive(Clone, Debug)]
pub(crate) struct Probation {
    pub(crate) until: Instant,
    /// What to go back to.
    pub(crate) predecessor: Option<Agreed>,
}

/// A generation that failed, or that serves and was found wanting.
pub(crate) struct FailedGeneration {
    pub(crate) generation: u64,
    pub(crate) source: GenerationSource,
    pub(crate) failure: Failure,
    pub(crate) at: SystemTime,
    pub(crate) attempts: u32,
    pub(crate) next_try: NextTry,
    /// What was agreed on before could not serve in its place either.
    pub(crate) fallback_failed: bool,
}

impl FailedGeneration {
    /// One that serves and was found wanting. Should it stop serving for another reason, it may come back.
    pub(super) fn serving(serving: &ServingGeneration, failure: Failure) -> Self {
        FailedGeneration {
            generation: serving.generation,
            source: serving.source.clone(),
            failure,
            at: SystemTime::now(),
            attempts: 1,
            next_try: NextTry::At(Instant::now()),
            fallback_failed: false,
        }
    }
}

/// When a source that failed may be tried again.
pub(crate) enum NextTry {
    /// Not before it changes, or somebody asks.
    Never,
    At(Instant),
    /// When other plugins change so that this may be loaded.
    WhenOthersAllow(Arc<dyn Candidate>),
    /// When generations that were pinned have left.
    WhenPinsGo,
}

/// A generation on its way out.
pub(crate) struct LeavingGeneration {
    pub(crate) phase: Phase,
    pub(crate) leases: Watch,
    pub(crate) deadline: SystemTime,
    /// Turns true when it was shut down.
    pub(crate) down: watch::Receiver<bool>,
}

/// What is left of earlier generations, and what is counted over them.
#[derive(Default)]
pub(crate) struct Past {
    /// The last generation's number.
    pub(crate) generations: u64,
    /// What the plugin last said of itself.
    pub(crate) manifest: Option<Manifest>,
    /// The schema of its configuration that was last seen.
    pub(crate) schema: Option<Arc<dyn ConfigSchema>>,
    /// What served before the one that serves.
    pub(crate) previous: Option<Agreed>,
    /// How candidates were made, the newest first.
    pub(crate) builds: VecDeque<Arc<BuildView>>,
    /// Bytes that its generations left in memory, of those that count them.
    pub(crate) left_behind: Option<u64>,
    pub(crate) restarts: Restarts,
    pub(crate) brake: Brake,
    /// So many candidates in a row were given up for newer ones.
    pub(crate) passed_over: u32,
    /// The mode for which a new generation was last begun, since what serves began to.
    pub(crate) moved_to: Option<Isolation>,
}

impl Plugin {
    pub(crate) fn new(name: &str, presence: Presence, sealer: Arc<dyn Sealer>) -> Self {
        Plugin {
            name: name.to_owned(),
            on_record: OnRecord {
                record: None,
                config: RecordedConfig { shown: "{}".into(), secrets: Arc::default() },
                sealing: None,
                sealer,
                granted: GrantedGenerations::default(),
                taken_at: 0,
                orders: 0,
                missed_change: false,
                reported: None,
                reported_endpoints: Vec::new(),
            },
            directory: InDirectory {
                presence,
                rival: None,
                accounted: None,
                joins: false,
                rolled_back_from: None,
                is_superseded: false,
            },
            removal: None,
            wishes: Wishes::default(),
            serving: None,
            candidate: None,
            failed: None,
            leaving: BTreeMap::new(),
            past: Past::default(),
        }
    }

    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.directory.entry()
    }

    pub(crate) fn record(&self) -> Option<&Record> {
        self.on_record.record.as_ref()
    }

    /// What was agreed on, as its record says.
    pub(crate) fn agreed_on(&self) -> Option<&Agreed> {
        self.record()?.agreed.as_ref()
    }

    /// The bytes that serve.
    pub(crate) fn served_digest(&self) -> Option<Digest> {
        self.serving.as_ref()?.artifact.digest()
    }

    /// Follows a generation's event; one that cannot happen is a mistake here, and changes nothing.
    pub(crate) fn step(phase: &mut Phase, event: Event) {
        match phase.after(event.clone()) {
            Some(next) => *phase = next,
            None => never!("{event:?} follows {phase:?}"),
        }
    }
}

impl InDirectory {
    pub(crate) fn entry(&self) -> Option<&Entry> {
        match &self.presence {
            Presence::Present(entry) => Some(entry),
            Presence::Unknown | Presence::Absent => None,
        }
    }

    /// What its entry is made of, if there is one.
    pub(crate) fn fingerprint(&self) -> Option<&Fingerprint> {
        self.entry().map(|entry| &entry.fingerprint)
    }

    /// An entry of it lay here. It may come back: a directory can be away for a while.
    pub(crate) fn lay_here(&self) -> bool {
        self.accounted.as_ref().is_some_and(|accounted| *accounted != Fingerprint::NOTHING)
    }

    /// No plugin can come of its entry as it is.
    pub(crate) fn is_broken(&self) -> bool {
        self.entry().is_some_and(|entry| entry.problem.is_some())
    }
}

impl Removal {
    pub(crate) fn replies(&mut self) -> &mut Vec<Reply> {
        match self {
            Removal::Stopping(replies) | Removal::Moving(replies) | Removal::Moved(replies) => replies,
        }
    }
}

impl NextTry {
    /// The time at which it is tried, if there is one.
    pub(crate) fn at(&self) -> Option<Instant> {
        match self {
            NextTry::At(at) => Some(*at),
            NextTry::Never | NextTry::WhenOthersAllow(_) | NextTry::WhenPinsGo => None,
        }
    }
}

impl Plugin {
    pub(super) fn ask(&mut self, ask: Ask) {
        self.wishes.ask = Some(match self.wishes.ask.take() {
            Some(first) => first.and(ask),
            None => ask,
        });
    }

    /// Answers those who ask that it cannot be done.
    pub(super) fn refuse_ask(&mut self, why: &str) {
        let of_candidate = self.candidate.as_mut().and_then(|candidate| candidate.head.ask.take());
        for reply in self.wishes.ask.take().into_iter().chain(of_candidate).flat_map(|ask| ask.replies) {
            let _ = reply.send(Err(Refused::Conflict(why.to_owned())));
        }
    }
}
