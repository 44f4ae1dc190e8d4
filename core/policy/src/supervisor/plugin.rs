//! What the supervisor knows of one plugin, and what follows from it without asking anybody.

use super::{
    plan::{OnItsWay, Retry, Source, Wanted},
    restarts::Restarts,
};
use crate::{
    BuildView, Candidate, Digest, Done, Endpoint, Entry, Failure, Fingerprint, Headline, Kind, LivePlugin, Loaded,
    Manifest, Refused,
    generation::{Event, Phase},
    registry::{Actor, Agreed, Record, RolloutId, Served},
};
use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{oneshot, watch},
    task::AbortHandle,
    time::Instant,
};

/// A plugin.
pub(crate) struct Plugin {
    pub(crate) name: String,
    /// What the registry has of it, and when (by the count of what was learnt) that was heard.
    pub(crate) record: Option<Record>,
    pub(crate) learnt: u64,
    pub(crate) entry: Option<Entry>,
    /// Another entry of the same name, which is left alone, and since when that is known.
    pub(crate) rival: Option<(PathBuf, SystemTime)>,
    /// The last generation's number.
    pub(crate) generations: u64,
    /// The fingerprint of its entry that is accounted for: what was agreed on since then serves in place of it. An entry with
    /// another fingerprint is a proposal.
    pub(crate) seen: Option<Fingerprint>,
    /// The node has just come to a fleet: whatever lies there is accounted for.
    pub(crate) joins: bool,
    /// The fingerprint of an entry that somebody here went back from. Asked for a reload, it is tried again.
    pub(crate) turned_away: Option<Fingerprint>,
    /// Its configuration on record, as plugins get it, and those who wait until it is taken.
    pub(crate) config: Arc<str>,
    pub(crate) configurers: Vec<oneshot::Sender<Result<Done, Refused>>>,
    /// An artifact that is to be tried, and to serve if that is agreed on.
    pub(crate) attempt: Option<Attempt>,
    /// It was removed: its entry is moved away once nothing of it serves.
    pub(crate) removing: bool,
    /// Its entry is being moved.
    pub(crate) moving: bool,
    /// Those who wait for that.
    pub(crate) removers: Vec<oneshot::Sender<Result<Done, Refused>>>,
    /// What it last said of itself.
    pub(crate) manifest: Option<Manifest>,
    pub(crate) serving: Option<Serving>,
    pub(crate) candidate: Option<Bid>,
    pub(crate) failed: Option<Failed>,
    pub(crate) leaving: BTreeMap<u64, Leaving>,
    pub(crate) ask: Option<Ask>,
    /// Orders that are on their way to the record.
    pub(crate) orders: usize,
    /// Its record was written meanwhile, and not read.
    pub(crate) unread: bool,
    /// Bytes that its generations left in memory, of those that count them.
    pub(crate) left_behind: Option<u64>,
    /// What served before the one that serves.
    pub(crate) previous: Option<Agreed>,
    /// When a new generation of the same is due: it was not well, or what it depends on was replaced.
    pub(crate) renew: Option<Instant>,
    pub(crate) restarts: Restarts,
    pub(crate) passed_over: u32,
    /// How candidates were made, the newest first.
    pub(crate) builds: VecDeque<Arc<BuildView>>,
    /// What the registry was last told of it, and of what it answers.
    pub(crate) told: Option<Served>,
    pub(crate) told_endpoints: Vec<Endpoint>,
}

/// An artifact that is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) agreed: Agreed,
    pub(crate) why: Why,
}

/// Why an artifact is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Somebody here wants it: it is proposed.
    Wanted(Actor),
    /// Another node proposes it, and is answered.
    Rollout(RolloutId),
}

/// The generation that serves.
pub(crate) struct Serving {
    pub(crate) generation: u64,
    pub(crate) source: Source,
    /// The configuration it has, and the last one that it was offered.
    pub(crate) config: Arc<str>,
    pub(crate) offered: Arc<str>,
    pub(crate) candidate: Arc<dyn Candidate>,
    pub(crate) loaded: Loaded,
    /// What it is, as others would agree on it; none if it is compiled in.
    pub(crate) agreed: Option<Agreed>,
    pub(crate) farewell: watch::Sender<bool>,
    pub(crate) since: SystemTime,
    /// Requests wait while it hands over its state.
    pub(crate) held: bool,
    pub(crate) probation: Option<Probation>,
    pub(crate) health: Health,
}

/// A new generation is watched.
#[derive(Clone, Debug)]
pub(crate) struct Probation {
    pub(crate) until: Instant,
    /// What to go back to.
    pub(crate) predecessor: Option<Agreed>,
}

/// How a generation's health is followed.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) due: Instant,
    pub(crate) asked: bool,
    /// There as long as the last call has not come to an end, which may be longer than anybody waits for it.
    pub(crate) call: Weak<()>,
    pub(crate) unwell: u32,
}

/// A candidate.
pub(crate) struct Bid {
    pub(crate) generation: u64,
    pub(crate) source: Source,
    pub(crate) phase: Phase,
    pub(crate) since: SystemTime,
    pub(crate) doing: String,
    /// It is ready to be loaded, and waits for other plugins: why.
    pub(crate) waits: Option<(Arc<dyn Candidate>, String)>,
    /// What is to be loaded, once it is admitted.
    pub(crate) admitted: Option<Arc<dyn Candidate>>,
    /// The configuration that it begins with.
    pub(crate) config: Arc<str>,
    /// It is ready, and waits until that was agreed on.
    pub(crate) gate: Option<Gate>,
    /// Who brought it about.
    pub(crate) by: Actor,
    pub(crate) work: Option<Work>,
    pub(crate) ask: Option<Ask>,
    pub(crate) times: Times,
}

/// A candidate that is ready, and waits for the word to go on.
pub(crate) struct Gate {
    pub(crate) open: oneshot::Sender<Result<(), Failure>>,
    /// The rollout that it waits for; none as long as it was not proposed.
    pub(crate) rollout: Option<RolloutId>,
    /// Somebody is being asked just now.
    pub(crate) asking: bool,
    /// Why nobody could be asked, if so.
    pub(crate) trouble: Option<String>,
}

/// Work that ends when nobody wants it any more.
pub(crate) struct Work(pub(crate) AbortHandle);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long each stage took.
pub(crate) struct Times {
    pub(crate) stages: Vec<(&'static str, Duration)>,
    pub(crate) began: Instant,
}

impl Times {
    pub(crate) fn new() -> Self {
        Times { stages: Vec::new(), began: Instant::now() }
    }

    /// This stage is over.
    pub(crate) fn lap(&mut self, stage: &'static str) {
        let now = Instant::now();
        self.stages.push((stage, now - self.began));
        self.began = now;
    }
}

/// A failure, and when it is tried again.
pub(crate) struct Failed {
    pub(crate) generation: u64,
    pub(crate) source: Source,
    pub(crate) failure: Failure,
    pub(crate) at: SystemTime,
    pub(crate) attempts: u32,
    pub(crate) retry: Option<Instant>,
    /// What was refused because of other plugins: when they change, it may do.
    pub(crate) refused: Option<Arc<dyn Candidate>>,
}

/// A generation on its way out.
pub(crate) struct Leaving {
    pub(crate) phase: Phase,
    pub(crate) leases: crate::Watch,
    pub(crate) deadline: SystemTime,
    /// Turns true when it was shut down.
    pub(crate) down: watch::Receiver<bool>,
}

/// Somebody waits for an outcome.
pub(crate) struct Ask {
    /// Not before this look at the directory.
    pub(crate) scan: u64,
    pub(crate) force: bool,
    /// Who asks, if that is somebody outside.
    pub(crate) by: Option<Actor>,
    pub(crate) replies: Vec<oneshot::Sender<Result<Done, Refused>>>,
}

impl Ask {
    /// Both are answered by what comes next.
    pub(crate) fn and(mut self, other: Ask) -> Self {
        self.scan = self.scan.max(other.scan);
        self.force |= other.force;
        self.by = self.by.or(other.by);
        self.replies.extend(other.replies);
        self
    }
}

/// An answer that is given when everything that was decided is published and shown, so that whoever hears it and looks sees it.
pub(crate) struct Answer {
    pub(crate) plugin: String,
    pub(crate) reply: oneshot::Sender<Result<Done, Refused>>,
    /// How long each stage took, or why it was not done.
    pub(crate) outcome: Result<Vec<(&'static str, Duration)>, Refused>,
    /// How the plugin was last seen, if it is not shown any more.
    pub(crate) gone: Option<Arc<LivePlugin>>,
}

impl Plugin {
    pub(crate) fn new(name: &str) -> Self {
        Plugin {
            name: name.to_owned(),
            record: None,
            learnt: 0,
            entry: None,
            rival: None,
            generations: 0,
            seen: None,
            joins: false,
            turned_away: None,
            config: "{}".into(),
            configurers: Vec::new(),
            attempt: None,
            removing: false,
            moving: false,
            removers: Vec::new(),
            manifest: None,
            serving: None,
            candidate: None,
            failed: None,
            leaving: BTreeMap::new(),
            ask: None,
            left_behind: None,
            previous: None,
            renew: None,
            orders: 0,
            unread: false,
            restarts: Restarts::default(),
            passed_over: 0,
            builds: VecDeque::new(),
            told: None,
            told_endpoints: Vec::new(),
        }
    }

    /// What is wanted of it.
    pub(crate) fn wanted(&self) -> Wanted {
        let (Some(entry), Some(record)) = (&self.entry, &self.record) else { return Wanted::Nothing };
        if !record.enabled || record.removed {
            return Wanted::Nothing;
        }
        if entry.problem.is_some() {
            return Wanted::AsItIs;
        }
        Wanted::Source(match (&self.attempt, self.settled()) {
            (Some(attempt), _) => Source::Kept(attempt.agreed.digest),
            (None, Some(agreed)) => Source::Kept(agreed.digest),
            (None, None) => Source::Entry(entry.fingerprint.clone()),
        })
    }

    /// What was agreed on, as long as the entry is accounted for with that.
    pub(crate) fn settled(&self) -> Option<&Agreed> {
        let (entry, agreed) = (self.entry.as_ref()?, self.record.as_ref()?.agreed.as_ref()?);
        let accounted =
            agreed.fingerprint.as_ref() == Some(&entry.fingerprint) || self.seen.as_ref() == Some(&entry.fingerprint);
        (accounted && entry.kind != Kind::BuiltIn).then_some(agreed)
    }

    /// Whether an operator wants it.
    pub(crate) fn enabled(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.enabled && !record.removed)
    }

    /// Its place among all: who came first keeps what two claim. Who has no record yet comes last.
    pub(crate) fn registered(&self) -> u64 {
        self.record.as_ref().map_or(u64::MAX, |record| record.registered)
    }

    /// Artifacts that must not serve again, and why.
    pub(crate) fn quarantined(&self, digest: Digest) -> Option<&String> {
        self.record.as_ref()?.quarantine.get(&digest)
    }

    /// Its candidate, as planning sees it.
    pub(crate) fn on_its_way(&self) -> Option<OnItsWay<'_>> {
        self.candidate.as_ref().map(|bid| OnItsWay {
            source: &bid.source,
            // What only waits for a word can still be told to go, if something else is wanted.
            light: matches!(bid.phase, Phase::Building | Phase::Verifying)
                || bid.gate.is_some() && self.entry.as_ref().is_none_or(|entry| entry.problem.is_none()),
            waits: bid.waits.is_some(),
        })
    }

    /// Its failure, as planning sees it.
    pub(crate) fn failure(&self, now: Instant) -> Option<(&Source, Retry)> {
        let failed = self.failed.as_ref()?;
        let retry = match failed.retry {
            None => Retry::Never,
            Some(at) if at <= now => Retry::Due,
            Some(_) => Retry::Later,
        };
        Some((&failed.source, retry))
    }

    /// What it claims: what it serves, else what its entry says, else what it last said.
    pub(crate) fn claims(&self) -> &[String] {
        if let Some(serving) = &self.serving {
            return &serving.candidate.manifest().camlock.routes;
        }
        match (&self.entry, &self.manifest) {
            (Some(entry), _) if entry.problem.is_none() => &entry.claims,
            (_, Some(manifest)) => &manifest.camlock.routes,
            _ => &[],
        }
    }

    /// What it needs of others.
    pub(crate) fn needs(&self) -> Option<&BTreeMap<String, String>> {
        let serving = self.serving.as_ref().map(|serving| serving.candidate.manifest());
        serving.or(self.manifest.as_ref()).map(|manifest| &manifest.camlock.dependencies)
    }

    /// Whether what serves, or what waits to, needs one of these.
    pub(crate) fn leans_on(&self, others: impl Fn(&String) -> bool) -> bool {
        let waits = self.candidate.as_ref().and_then(|bid| bid.waits.as_ref());
        let waits = waits.map(|(candidate, _)| &candidate.manifest().camlock.dependencies);
        self.needs().into_iter().chain(waits).flat_map(BTreeMap::keys).any(others)
    }

    /// How many generations cannot leave.
    pub(crate) fn pinned(&self) -> usize {
        self.leaving.values().filter(|leaving| matches!(leaving.phase, Phase::Pinned { .. })).count()
    }

    /// Its state in a word.
    pub(crate) fn headline(&self) -> Headline {
        if self.serving.is_some() {
            return Headline::Serving;
        }
        if self.entry.is_none() {
            return Headline::Missing;
        }
        match &self.record {
            // Whether it is wanted is not known yet.
            None if self.failed.is_some() => return Headline::Failed,
            None => return Headline::Starting,
            Some(record) if !record.enabled || record.removed => return Headline::Disabled,
            Some(_) => {}
        }
        match (&self.candidate, &self.failed) {
            (Some(bid), _) if bid.waits.is_some() => Headline::Waiting,
            (Some(_), _) => Headline::Starting,
            (None, Some(failed)) => {
                let quarantined = self.record.as_ref().is_some_and(|record| !record.quarantine.is_empty());
                if quarantined && failed.failure.stage == crate::Stage::Health {
                    Headline::Quarantined
                } else {
                    Headline::Failed
                }
            }
            (None, None) => Headline::Starting,
        }
    }

    /// Its state in a sentence, where there is something to say.
    pub(crate) fn reason(&self) -> Option<String> {
        let waits = self.candidate.as_ref().and_then(|bid| bid.waits.as_ref()).map(|(_, why)| why.clone());
        match self.headline() {
            Headline::Serving => waits,
            Headline::Waiting => waits,
            Headline::Failed | Headline::Quarantined => self.failed.as_ref().map(|failed| failed.failure.to_string()),
            Headline::Disabled if self.removing => Some("it is being removed".to_owned()),
            Headline::Disabled => Some("the registry says so".to_owned()),
            Headline::Missing => Some("its entry is gone from the plugins directory".to_owned()),
            Headline::Starting => match (&self.candidate, &self.record) {
                (Some(bid), _) => Some(format!("it is {}", bid.phase.word())),
                (None, None) => Some("whether it is wanted is not known yet: the registry is asked".to_owned()),
                (None, Some(_)) => None,
            },
        }
    }

    /// Follows a generation's event; one that cannot happen is a mistake here, and changes nothing.
    pub(crate) fn step(phase: &mut Phase, event: Event) {
        match phase.after(event.clone()) {
            Some(next) => *phase = next,
            None => tracing::error!("{event:?} cannot follow {phase:?}"),
        }
    }
}
