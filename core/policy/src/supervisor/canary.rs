//! A canary: what is new of a plugin that came from a catalog serves on this server for a while, and goes back by itself if it is
//! not well; only then the others are asked.
//!
//! What must not live here: how all come to it (`agreement`), and what being well is (`watchful`).

use super::{
    Supervisor,
    granting::ArrivalTerms,
    plan::GenerationSource,
    plugin::{Attempt, AttemptReason, Plugin},
    work::GenerationId,
};
use crate::{
    Digest, PluginSource, Settings, never,
    registry::{Agreed, Proposed, Reading, Unavailable},
};
use jiff::Timestamp;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// When it is proposed again if that could not be done.
const AGAIN: Duration = Duration::from_secs(10);

impl Plugin {
    /// What serves here, or is to, before it is proposed.
    fn canary(&self) -> Option<&Agreed> {
        let attempt = self.wishes.attempt.as_ref();
        attempt.filter(|attempt| matches!(attempt.reason, AttemptReason::Canary(_))).map(|attempt| &attempt.agreed)
    }

    /// Whether there is such a thing.
    pub(super) fn tries_a_canary(&self) -> bool {
        self.canary().is_some()
    }

    /// Whether that is these bytes.
    pub(super) fn is_canary(&self, digest: Digest) -> bool {
        self.canary().is_some_and(|agreed| agreed.digest == digest)
    }

    /// How long versions of it that come from a catalog serve on one server alone.
    fn soak_of_its_source(&self, arriving: Option<&ArrivalTerms>, settings: &Settings) -> Duration {
        let source = arriving.map(|terms| &terms.source).or(self.record().map(|record| &record.source));
        match source.and_then(PluginSource::catalog) {
            Some(_) => settings.catalogs.updates_of(&self.name).soak,
            None => Duration::ZERO,
        }
    }

    /// Whether its candidate is a canary: new bytes of what lies in the directory, where there is something to go back to.
    pub(super) fn begins_as_canary(&self, arriving: Option<&ArrivalTerms>, settings: &Settings) -> bool {
        let of_entry = |source: &GenerationSource| matches!(source, GenerationSource::Entry(_));
        self.candidate.as_ref().is_some_and(|candidate| of_entry(&candidate.head.source))
            && self.agreed_on().is_some()
            && !self.soak_of_its_source(arriving, settings).is_zero()
    }

    /// How long these bytes have to serve, if they are a canary.
    pub(super) fn soak(
        &self,
        digest: Option<Digest>,
        arriving: Option<&ArrivalTerms>,
        settings: &Settings,
    ) -> Option<Duration> {
        digest.filter(|digest| self.is_canary(*digest)).map(|_| self.soak_of_its_source(arriving, settings))
    }

    /// Until when a canary soaks.
    pub(super) fn soaks_until(&self) -> Option<Instant> {
        let serving =
            self.serving.as_ref().filter(|serving| serving.artifact.digest().is_some_and(|it| self.is_canary(it)));
        serving?.health.soaked
    }

    /// What people are told of a canary.
    pub(super) fn told_as_canary(&self) -> Option<String> {
        let left = self.soaks_until()?.saturating_duration_since(Instant::now());
        let version = &self.canary()?.version;
        let until = Timestamp::try_from(SystemTime::now() + left).ok()?.strftime("%Y-%m-%d %H:%M:%S UTC");
        Some(format!(
            "{version} serves on this server alone until {until}; if it stays well, the others are asked then"
        ))
    }
}

impl Supervisor {
    /// What waits at its gate serves here, and the others are not asked yet.
    pub(super) fn begin_canary(&mut self, name: &str, agreed: Agreed) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("a canary of `{name}` begins, which is not known");
            return;
        };
        let Some(head) = plugin.candidate.as_ref().map(|candidate| &candidate.head) else {
            never!("a canary of `{name}` begins without a candidate");
            return;
        };
        let (generation, by, version) = (head.generation, head.by.clone(), agreed.version.clone());
        plugin.wishes.attempt = Some(Attempt { agreed, reason: AttemptReason::Canary(by.clone()) });
        let soak = plugin.soak_of_its_source(self.looks.arriving.get(name), &self.settings).as_secs();
        tracing::info!(plugin = name, generation, version, "it serves on this server alone for {soak} s");
        self.through_the_gate(name, Ok(()));
        self.note(name, Some(generation), "canary", &by, serde_json::json!({ "version": version, "soak_s": soak }));
    }

    /// Proposes what has served for long enough.
    pub(super) fn propose_what_has_soaked(&mut self, now: Instant) {
        let mut soaked = Vec::new();
        for plugin in self.plugins.values_mut() {
            let is_due = plugin.candidate.is_none() && plugin.soaks_until().is_some_and(|until| until <= now);
            if let Some(serving) = plugin.serving.as_mut().filter(|_| is_due) {
                serving.health.soaked = None;
                soaked.push(plugin.name.clone());
            }
        }
        for plugin in soaked.iter().filter_map(|name| self.plugins.get(name)) {
            if let (Some(serving), Some(Attempt { agreed, reason: AttemptReason::Canary(by) })) =
                (&plugin.serving, &plugin.wishes.attempt)
            {
                let (plugin_name, generation) = (&plugin.name, serving.generation);
                tracing::info!(plugin = plugin_name, generation, "it was well for long enough, and is proposed to all");
                self.propose_serving(plugin, serving, agreed, by);
            }
        }
        self.dirty.extend(soaked);
    }

    /// What came of proposing a canary that serves.
    pub(super) fn canary_was_proposed(&mut self, id: &GenerationId, outcome: Result<Proposed, Unavailable>) {
        let name = id.plugin.as_str();
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let Some(serving) = plugin.serving.as_mut().filter(|serving| serving.generation == id.generation) else {
            return;
        };
        let Some(attempt) = plugin.wishes.attempt.as_mut() else { return };
        if !matches!(attempt.reason, AttemptReason::Canary(_))
            || serving.artifact.digest() != Some(attempt.agreed.digest)
        {
            return;
        }
        match outcome {
            Ok(Proposed::Asking(rollout)) if rollout.agreed.digest == attempt.agreed.digest => {
                attempt.reason = AttemptReason::Rollout(rollout.id);
                self.read(Reading { names: Some([name.to_owned()].into()), ..Reading::default() });
            }
            // It has to wait for the end of another rollout.
            Ok(Proposed::Asking(_)) => serving.health.soaked = Some(Instant::now() + AGAIN),
            Ok(Proposed::Agreed(_) | Proposed::Unknown) => {}
            Err(why) => {
                serving.health.soaked = Some(Instant::now() + AGAIN);
                self.registry_fails(&why);
            }
        }
        self.dirty.insert(name.to_owned());
    }
}
