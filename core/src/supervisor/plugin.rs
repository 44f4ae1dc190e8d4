//! What the supervisor knows of one plugin, and what follows from it without asking anybody.

use super::{
    plan::{OnItsWay, Retry, Source, Wanted},
    restarts::Restarts,
};
use crate::{
    Candidate, Digest, Done, Entry, Failure, Headline, Loaded, Manifest, Mark, Refused,
    generation::{Event, Phase},
};
use std::{
    collections::BTreeMap,
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
    /// Its place among all: who came first keeps what two claim.
    pub(crate) registered: u64,
    pub(crate) entry: Option<Entry>,
    /// Another entry of the same name, which is left alone, and since when that is known.
    pub(crate) rival: Option<(PathBuf, SystemTime)>,
    pub(crate) enabled: bool,
    pub(crate) revision: u64,
    /// The last generation's number.
    pub(crate) generations: u64,
    /// An artifact that is to serve in place of the entry, as long as the entry has this mark.
    pub(crate) held: Option<(Mark, Digest)>,
    /// Artifacts that must not serve again, and why.
    pub(crate) quarantine: BTreeMap<Digest, String>,
    /// What it last said of itself.
    pub(crate) manifest: Option<Manifest>,
    pub(crate) serving: Option<Serving>,
    pub(crate) candidate: Option<Bid>,
    pub(crate) failed: Option<Failed>,
    pub(crate) leaving: BTreeMap<u64, Leaving>,
    pub(crate) ask: Option<Ask>,
    /// Bytes that its generations left in memory, of those that count them.
    pub(crate) left_behind: Option<u64>,
    /// The artifact that served before the one that serves.
    pub(crate) previous: Option<Digest>,
    /// When a new generation of the same is due: it was not well, or what it depends on was replaced.
    pub(crate) renew: Option<Instant>,
    pub(crate) restarts: Restarts,
    pub(crate) passed_over: u32,
}

/// The generation that serves.
pub(crate) struct Serving {
    pub(crate) generation: u64,
    pub(crate) source: Source,
    pub(crate) candidate: Arc<dyn Candidate>,
    pub(crate) loaded: Loaded,
    pub(crate) farewell: watch::Sender<bool>,
    pub(crate) since: SystemTime,
    /// Requests wait while it hands over its state.
    pub(crate) held: bool,
    pub(crate) probation: Option<Probation>,
    pub(crate) health: Health,
}

/// A new generation is watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probation {
    pub(crate) until: Instant,
    /// What to go back to.
    pub(crate) predecessor: Option<Digest>,
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
    pub(crate) work: Option<Work>,
    pub(crate) ask: Option<Ask>,
    pub(crate) times: Times,
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
    pub(crate) replies: Vec<oneshot::Sender<Result<Done, Refused>>>,
}

impl Ask {
    /// Both are answered by what comes next.
    pub(crate) fn and(mut self, other: Ask) -> Self {
        self.scan = self.scan.max(other.scan);
        self.force |= other.force;
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
}

impl Plugin {
    pub(crate) fn new(name: &str, registered: u64, enabled: bool) -> Self {
        Plugin {
            name: name.to_owned(),
            registered,
            entry: None,
            rival: None,
            enabled,
            revision: 1,
            generations: 0,
            held: None,
            quarantine: BTreeMap::new(),
            manifest: None,
            serving: None,
            candidate: None,
            failed: None,
            leaving: BTreeMap::new(),
            ask: None,
            left_behind: None,
            previous: None,
            renew: None,
            restarts: Restarts::default(),
            passed_over: 0,
        }
    }

    /// What is wanted of it.
    pub(crate) fn wanted(&self) -> Wanted {
        match &self.entry {
            Some(entry) if self.enabled => match (&entry.problem, &self.held) {
                (Some(_), _) => Wanted::AsItIs,
                (None, Some((mark, digest))) if *mark == entry.mark => Wanted::Source(Source::Kept(*digest)),
                (None, _) => Wanted::Source(Source::Entry(entry.mark.clone())),
            },
            _ => Wanted::Nothing,
        }
    }

    /// Its candidate, as planning sees it.
    pub(crate) fn on_its_way(&self) -> Option<OnItsWay<'_>> {
        self.candidate.as_ref().map(|bid| OnItsWay {
            source: &bid.source,
            light: matches!(bid.phase, Phase::Building | Phase::Verifying),
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
        let Some(entry) = &self.entry else { return Headline::Missing };
        if !self.enabled {
            return Headline::Disabled;
        }
        match (&self.candidate, &self.failed) {
            (Some(bid), _) if bid.waits.is_some() => Headline::Waiting,
            (Some(_), _) => Headline::Starting,
            (None, Some(failed)) => {
                let held = self.held.as_ref().is_some_and(|(mark, _)| *mark == entry.mark);
                if !self.quarantine.is_empty() && !held && failed.failure.stage == crate::Stage::Health {
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
            Headline::Disabled => Some("an operator disabled it".to_owned()),
            Headline::Missing => Some("its entry is gone from the plugins directory".to_owned()),
            Headline::Starting => self.candidate.as_ref().map(|bid| format!("it is {}", bid.phase.word())),
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
