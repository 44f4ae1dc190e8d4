//! Webhooks: each is a hint that one repository has changed, and has it looked at. However many come, one repository is looked at
//! once in a while: who comes too soon waits for the next look, together with all others who do.

use super::{DiscoveryService, is_name, not_discovered, version};
use crate::{
    known::{KnownOrganization, KnownRepository, assemble},
    scan::tell_of,
    trouble::ForgeError,
};
use camlock_api::{HintOutcome, HintedPlugin};
use camlock_policy::{NotDiscovered, RepositoryHint};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// The last look for a webhook: when it began, and what came of it.
type LastHintLook = Option<(Instant, Result<HintOutcome, NotDiscovered>)>;

pub(super) struct Hints {
    every: Duration,
    /// By the repository's name in small letters.
    looks: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<LastHintLook>>>>,
    /// What was changed by them, when: by organisation and name.
    changed: Mutex<BTreeMap<(String, String), Instant>>,
}

impl Hints {
    pub(super) fn new(every: Duration) -> Self {
        Hints { every, looks: Mutex::default(), changed: Mutex::default() }
    }

    fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<LastHintLook>> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |look: &LastHintLook| look.as_ref().is_some_and(|(began, _)| began.elapsed() < self.every);
        // What nobody waits for, and does not hold anybody up any more, is forgotten.
        looks.retain(|_, look| Arc::strong_count(look) > 1 || look.try_lock().is_ok_and(|look| recent(&look)));
        looks.entry(name.to_ascii_lowercase()).or_default().clone()
    }

    fn note(&self, organization: &str, name: &str) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.insert((organization.to_owned(), name.to_owned()), Instant::now());
    }

    /// What was changed since then. What was changed before is forgotten.
    pub(super) fn since(&self, organization: &str, then: Instant) -> Vec<String> {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.retain(|(whose, _), at| whose != organization || *at >= then);
        changed.keys().filter(|(whose, _)| whose == organization).map(|(_, name)| name.clone()).collect()
    }
}

impl DiscoveryService {
    pub(super) async fn hinted(&self, hint: RepositoryHint) -> Result<HintOutcome, NotDiscovered> {
        let organization = self.0.settings.organization.clone();
        if !hint.owner.eq_ignore_ascii_case(&organization) || !is_name(&hint.name) {
            return Ok(ignored(format!("it is about no repository of {organization}")));
        }
        let arrived = Instant::now();
        let look = self.0.hints.of(&hint.name);
        let mut last = look.lock().await;
        if let Some((began, outcome)) = &*last {
            if *began >= arrived {
                return outcome.clone();
            }
            let next = *began + self.0.hints.every;
            tokio::time::sleep_until(next.into()).await;
        }
        let began = Instant::now();
        let outcome = self.look(&organization, &hint.name).await;
        *last = Some((began, outcome.clone()));
        outcome
    }

    /// Looks at one repository.
    async fn look(&self, organization: &str, name: &str) -> Result<HintOutcome, NotDiscovered> {
        let known = self.current(organization).await;
        let before = known.repositories.get(name).cloned();
        let seen = match self.0.forge.one(organization, name, before.as_ref()).await {
            Ok(seen) => Some(seen),
            Err(ForgeError::RepositoryNotFound(_)) => None,
            Err(error) => {
                tell_of(&format!("{organization}/{name}"), &error.clone().into());
                return Err(not_discovered(&error));
            }
        };
        let seen = seen.filter(|seen| seen.owner.eq_ignore_ascii_case(organization));
        let gone = || {
            Ok(HintOutcome {
                status: "success".to_owned(),
                plugin: None,
                detail: Some(format!("{organization} has no public repository `{name}`")),
            })
        };
        let _alone = self.0.changing.lock().await;
        let mut known = KnownOrganization::clone(&*self.current(organization).await);
        let Some(seen) = seen else {
            if known.repositories.remove(name).is_some() {
                self.0.hints.note(organization, name);
                self.keep(known).await;
            }
            return gone();
        };
        let actual = seen.name.clone();
        let learned = KnownRepository::learn(known.repositories.get(&actual), seen, SystemTime::now());
        if let Some(error) = learned.error() {
            tell_of(&format!("{organization}/{actual}"), &error);
        }
        // It was renamed.
        if actual != name && known.repositories.remove(name).is_some() {
            self.0.hints.note(organization, name);
        }
        let updated = version(before.as_ref()) != version(Some(&learned));
        known.repositories.insert(actual.clone(), learned);
        self.0.hints.note(organization, &actual);
        let assembled = assemble(&known.repositories, &self.elsewhere());
        self.keep(known).await;
        let plugin = assembled.plugins.into_iter().find(|plugin| plugin.repository == actual);
        let failed = assembled.failed.into_iter().find(|failed| failed.repository == actual);
        let told = |failed: camlock_api::DiscoveryFailure| {
            failed.errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ")
        };
        let detail = match (&plugin, failed) {
            (_, Some(failed)) => Some(told(failed)),
            (None, None) => Some(format!("{organization}/{actual} has no release with a manifest")),
            _ => None,
        };
        let plugin = plugin.map(|plugin| HintedPlugin { name: plugin.name, version: plugin.version, updated });
        Ok(HintOutcome { status: "success".to_owned(), plugin, detail })
    }
}

fn ignored(why: String) -> HintOutcome {
    HintOutcome { status: "ignored".to_owned(), plugin: None, detail: Some(why) }
}
