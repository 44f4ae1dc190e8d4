//! What follows from what is known of one plugin, without asking anybody: what is wanted of it, and how it stands.
//!
//! What must not live here: the next step (`plan`), and anything that changes a plugin.

use super::{
    candidate::CandidateStage,
    plan::{Desired, GenerationSource, OnItsWay, Retry},
    plugin::{NextTry, Plugin, Presence},
};
use crate::{
    Digest, Headline, Kind, Stage,
    generation::Phase,
    registry::{Agreed, Record},
};
use std::collections::BTreeMap;
use tokio::time::Instant;

impl Plugin {
    /// What is wanted of it.
    pub(crate) fn wanted(&self) -> Desired {
        let Some(desired) = self.desired() else { return Desired::Nothing };
        if let Some(agreed) = self.fallback() {
            return Desired::Source(GenerationSource::Kept(agreed.digest));
        }
        if self.directory.is_broken() { Desired::AsItIs } else { Desired::Source(desired) }
    }

    /// What is to serve, whether that can be or not; nothing if nothing is.
    fn desired(&self) -> Option<GenerationSource> {
        if !self.enabled() || !self.is_there() {
            return None;
        }
        match (self.entry(), &self.wishes.attempt, self.settled()) {
            (Some(entry), ..) if entry.problem.is_some() => Some(GenerationSource::Entry(entry.fingerprint.clone())),
            (_, Some(attempt), _) => Some(GenerationSource::Kept(attempt.agreed.digest)),
            (_, None, Some(agreed)) => Some(GenerationSource::Kept(agreed.digest)),
            (entry, None, None) => entry.map(|entry| GenerationSource::Entry(entry.fingerprint.clone())),
        }
    }

    /// What was agreed on before, if nothing serves and what is to serve has failed: something old is better than nothing.
    pub(crate) fn fallback(&self) -> Option<&Agreed> {
        let (desired, failed) = (self.desired()?, self.failed.as_ref()?);
        let agreed = self.agreed_on().filter(|_| self.serving.is_none())?;
        let usable = desired != GenerationSource::Kept(agreed.digest) && self.quarantined(agreed.digest).is_none();
        (failed.source == desired && !failed.fallback_failed && usable).then_some(agreed)
    }

    /// It was installed by name, and nothing of that name lies in this server's directory: it is an entry of the registry alone.
    pub(crate) fn is_named(&self) -> bool {
        let by_name = |record: &Record| !record.removed && record.source.catalog().is_some();
        matches!(self.directory.presence, Presence::Absent) && self.record().is_some_and(by_name)
    }

    /// Whether there is anything of which it could serve here: its entry, or else what all are to serve of what was installed by name.
    pub(crate) fn is_there(&self) -> bool {
        let is_agreed = || self.agreed_on().is_some() || self.wishes.attempt.is_some();
        self.entry().is_some() || self.is_named() && is_agreed()
    }

    /// Whether that came of the entry as it lies here.
    pub(crate) fn is_of_entry(&self, agreed: &Agreed) -> bool {
        agreed.fingerprint.is_some() && agreed.fingerprint.as_ref() == self.directory.fingerprint()
    }

    /// What was agreed on, as long as the entry is accounted for with that.
    pub(crate) fn settled(&self) -> Option<&Agreed> {
        if self.is_named() {
            return self.agreed_on();
        }
        let (entry, agreed) = (self.entry()?, self.agreed_on()?);
        let accounted = self.is_of_entry(agreed) || self.directory.accounted.as_ref() == Some(&entry.fingerprint);
        (accounted && entry.kind != Kind::BuiltIn).then_some(agreed)
    }

    /// Whether an operator wants it.
    pub(crate) fn enabled(&self) -> bool {
        self.record().is_some_and(|record| record.enabled && !record.removed)
    }

    /// Its place among all: who came first keeps what two claim. Who has no record yet comes last.
    pub(crate) fn registered(&self) -> u64 {
        self.record().map_or(u64::MAX, |record| record.registered)
    }

    /// Whether bytes of it are under quarantine.
    pub(crate) fn has_quarantine(&self) -> bool {
        self.record().is_some_and(|record| !record.quarantine.is_empty())
    }

    /// Why an artifact must not serve again, if it must not.
    pub(crate) fn quarantined(&self, digest: Digest) -> Option<&String> {
        self.record()?.quarantine.get(&digest)
    }

    /// Its candidate, as planning sees it.
    pub(crate) fn on_its_way(&self) -> Option<OnItsWay<'_>> {
        let candidate = self.candidate.as_ref()?;
        let (disposable, waiting) = match candidate.stage {
            CandidateStage::Preparing { .. } | CandidateStage::Migrating { .. } => (true, false),
            CandidateStage::Waiting { .. } => (true, true),
            CandidateStage::BringingUp { .. } => (false, false),
            // What only waits for a word can still be told to go, if something else is wanted.
            CandidateStage::AtTheGate { .. } => (!self.directory.is_broken(), false),
        };
        Some(OnItsWay { source: &candidate.head.source, disposable, waiting })
    }

    /// Its failure, as planning sees it.
    pub(crate) fn failure(&self, now: Instant) -> Option<(&GenerationSource, Retry)> {
        let failed = self.failed.as_ref()?;
        let retry = match failed.next_try {
            NextTry::Never | NextTry::WhenOthersAllow(_) | NextTry::WhenPinsGo => Retry::Never,
            NextTry::At(at) if at <= now => Retry::Due,
            NextTry::At(_) => Retry::Later,
        };
        Some((&failed.source, retry))
    }

    /// What it claims: what it serves, else what its entry says, else what it last said.
    pub(crate) fn claims(&self) -> &[String] {
        if let Some(serving) = &self.serving {
            return &serving.artifact.manifest().camlock.routes;
        }
        match (self.entry(), &self.past.manifest) {
            (Some(entry), _) if entry.problem.is_none() => &entry.claims,
            (_, Some(manifest)) => &manifest.camlock.routes,
            _ => &[],
        }
    }

    /// What it needs of others.
    pub(crate) fn needs(&self) -> Option<&BTreeMap<String, String>> {
        let serving = self.serving.as_ref().map(|serving| serving.artifact.manifest());
        serving.or(self.past.manifest.as_ref()).map(|manifest| &manifest.camlock.dependencies)
    }

    /// Whether what serves, or what waits to, needs one of these.
    pub(crate) fn leans_on(&self, others: impl Fn(&String) -> bool) -> bool {
        let waits = self.candidate.as_ref().and_then(|candidate| candidate.waiting_for());
        let waits = waits.map(|(artifact, _)| &artifact.manifest().camlock.dependencies);
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
        match &self.directory.presence {
            Presence::Absent if !self.is_there() => return Headline::Missing,
            // Only what an operator decided is known of it so far.
            Presence::Unknown if self.enabled() => return Headline::Starting,
            Presence::Unknown | Presence::Absent | Presence::Present(_) => {}
        }
        match self.record() {
            // Whether it is wanted is not known yet.
            None if self.failed.is_some() => return Headline::Failed,
            None => return Headline::Starting,
            Some(_) if !self.enabled() => return Headline::Disabled,
            Some(_) => {}
        }
        match (&self.candidate, &self.failed) {
            (Some(candidate), _) if candidate.waiting_for().is_some() => Headline::Waiting,
            (Some(_), _) => Headline::Starting,
            (None, Some(failed)) => {
                if self.has_quarantine() && failed.failure.stage == Stage::Health {
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
        let waits =
            self.candidate.as_ref().and_then(|candidate| candidate.waiting_for()).map(|(_, why)| why.to_owned());
        match self.headline() {
            Headline::Serving => waits.or_else(|| self.held_back()).or_else(|| self.told_as_canary()),
            Headline::Waiting => waits,
            Headline::Failed | Headline::Quarantined => {
                let failure = self.failed.as_ref().map(|failed| failed.failure.to_string());
                let both = [failure, self.held_back()].into_iter().flatten().collect::<Vec<_>>();
                (!both.is_empty()).then(|| both.join("; "))
            }
            Headline::Disabled if self.removal.is_some() => Some("it is being removed".to_owned()),
            Headline::Disabled => Some("the registry says so".to_owned()),
            Headline::Missing if self.is_named() => {
                Some("it was installed by name, and no version of it is agreed on yet".to_owned())
            }
            Headline::Missing => Some("its entry is gone from the plugins directory".to_owned()),
            Headline::Starting => match (&self.candidate, self.record(), &self.directory.presence) {
                (Some(candidate), _, _) => Some(format!("it is {}", candidate.word())),
                (None, _, Presence::Unknown) => Some("the plugins directory is being looked at".to_owned()),
                (None, None, _) => Some("whether it is wanted is not known yet: the registry is asked".to_owned()),
                (None, Some(_), _) => None,
            },
        }
    }

    /// Why a change of it has no effect yet, if it changed too often by itself.
    fn held_back(&self) -> Option<String> {
        let pause = self.past.brake.pause(Instant::now())?;
        Some(format!(
            "it changed again and again, and nobody asked for that: changes wait for {} s now; `camlock reload {}` does not",
            pause.length.as_secs(),
            self.name
        ))
    }
}
