//! A plugin's own tables, as its versions need them: brought there before one is loaded, and rid of what only earlier ones needed
//! once it has shown that it stays.
//!
//! What must not live here: SQL, and which file runs when (the port knows what has run).

use super::{
    Supervisor,
    candidate::CandidateGeneration,
    plugin::{Attempt, AttemptReason, Contracting, FailedGeneration, Plugin},
    work::{self, GenerationId, GenerationReport, WorkReport},
};
use crate::{
    Candidate, Failure, SqlRights, Stage, TableTerms, TablesNotReady, TablesReady, migrations, never, registry::Actor,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often it is looked whether another server has run what a version waits for.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// A look takes no longer: migrations are timed.
const PATIENCE: Duration = Duration::from_secs(3600);

/// When it is tried again to take away what could not be taken away now.
const TRY_AGAIN: Duration = Duration::from_secs(30);

impl Plugin {
    /// Whether its candidate serves although its tables may lack something that was taken away since: who wants it says so, or
    /// has been asked by another server.
    fn goes_back_regardless(&self, artifact: &Arc<dyn Candidate>) -> bool {
        let forced = self.candidate.as_ref().is_some_and(|candidate| candidate.head.forced);
        let proposed = |attempt: &Attempt| {
            matches!(attempt.reason, AttemptReason::Rollout(_)) && Some(attempt.agreed.digest) == artifact.digest()
        };
        forced || !self.is_news(artifact) || self.wishes.attempt.as_ref().is_some_and(proposed)
    }

    /// Whether nobody needs its tables but the candidate: nothing was ever agreed on, or what serves knows of none.
    fn is_first_with_tables(&self) -> bool {
        match &self.serving {
            Some(serving) => serving.artifact.migrations().is_empty(),
            None => self.agreed_on().is_none(),
        }
    }

    /// Whether what serves is what all agreed on, and nothing else is on its way but what waits for just this.
    fn is_settled(&self) -> bool {
        let agreed = self.agreed_on().map(|agreed| agreed.digest);
        self.candidate.as_ref().is_none_or(|candidate| candidate.looked_at_again().is_some())
            && self.wishes.attempt.is_none()
            && self.served_digest().is_none_or(|serves| Some(serves) == agreed)
    }
}

impl Supervisor {
    /// Loads what is admitted, once its tables are as it needs them.
    pub(super) fn load_with_tables(&mut self, name: &str, artifact: Arc<dyn Candidate>, config: Arc<str>) {
        let files = artifact.migrations().to_vec();
        if let Some(why) = migrations::never_run(artifact.manifest(), &files) {
            self.refuse(name, artifact, Failure::new(Stage::Migrate, why));
            return;
        }
        if !migrations::has_tables(artifact.manifest()) {
            self.load(name, artifact, config);
            return;
        }
        let reports = self.reports.clone();
        let keepings = self.ports.keepings.clone();
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("tables are made for `{name}`, which is not known");
            return;
        };
        let mut terms = TableTerms {
            back: plugin.goes_back_regardless(&artifact),
            alone: plugin.is_first_with_tables(),
            rights: SqlRights::default(),
        };
        let Some(candidate) = plugin.candidate.as_mut() else {
            never!("tables are made for a candidate of `{name}`, which has none");
            return;
        };
        if candidate.head.tables.is_some() {
            self.load(name, artifact, config);
            return;
        }
        if plugin.serving.as_ref().is_some_and(|serving| serving.health.contracts == Contracting::UnderWay) {
            let why = "what serves takes away from its tables what it does not need".to_owned();
            self.wait(name, artifact, why, Some(Instant::now() + LOOK_AGAIN));
            return;
        }
        if candidate.looked_at_again().is_some() {
            // It goes on waiting, unless it hears that it need not.
            candidate.look_again_at(Instant::now() + PATIENCE);
        } else {
            candidate.begin_migrating(artifact);
            "bringing its tables up to date".clone_into(&mut candidate.doing);
        }
        let generation = candidate.head.generation;
        // Of what serves and of the candidate: as soon as it begins it may use them.
        terms.rights = SqlRights::of(&plugin.grants_view());
        let reporter = self.reporter(name, generation);
        let id = reporter.id.clone();
        let lost = || {
            let lost = TablesNotReady::failed(work::lost(Stage::Migrate));
            WorkReport::Generation(id, GenerationReport::Tables(Err(lost)))
        };
        let name = name.to_owned();
        work::begin(reports, lost, async move {
            reporter.report(GenerationReport::Tables(keepings.make_tables_ready(&name, files, terms).await));
        });
    }

    /// What came of that.
    pub(super) fn tables_answered(&mut self, id: &GenerationId, outcome: Result<TablesReady, TablesNotReady>) {
        let name = id.plugin.as_str();
        match &outcome {
            Ok(TablesReady { ran, .. }) | Err(TablesNotReady::Failed { ran, .. }) => self.note_migrations(id, ran),
            Err(TablesNotReady::Waits(_)) => {}
        }
        // What was given up has run all the same, and is on record.
        let Some(candidate) = self.current(id).and_then(|plugin| plugin.candidate.as_mut()) else { return };
        let Some(artifact) = candidate.artifact().cloned() else {
            never!("`{name}` has tables before it has an artifact");
            return;
        };
        // A look that was begun before something else became of it says nothing any more.
        if candidate.word() != "migrating" && candidate.looked_at_again().is_none() {
            return;
        }
        candidate.doing.clear();
        match outcome {
            Ok(ready) => {
                candidate.head.tables = Some(ready);
                candidate.head.times.lap("migrate");
                // Others may have changed meanwhile.
                self.admit(name, artifact);
            }
            Err(TablesNotReady::Waits(why)) => {
                self.wait(name, artifact, why, Some(Instant::now() + LOOK_AGAIN));
            }
            Err(TablesNotReady::Failed { failure, .. }) => self.refuse(name, artifact, failure),
        }
    }

    fn note_migrations(&mut self, id: &GenerationId, ran: &[String]) {
        if !ran.is_empty() {
            tracing::info!(plugin = id.plugin, generation = id.generation, "migrated: {}", ran.join(", "));
            let detail = serde_json::json!({ "files": ran });
            self.note(&id.plugin, Some(id.generation), "migrated", &Actor::Server, detail);
        }
    }

    /// Begins to take away what is no longer needed, where it is time and nothing else is on its way.
    pub(super) fn contract_what_is_due(&mut self, now: Instant) {
        let mut due = Vec::new();
        for plugin in self.plugins.values_mut() {
            let settled = plugin.is_settled();
            let Some(serving) = plugin.serving.as_mut().filter(|serving| settled && serving.health.probation.is_none())
            else {
                continue;
            };
            if matches!(serving.health.contracts, Contracting::Due(due) if due <= now) {
                serving.health.contracts = Contracting::UnderWay;
                due.push((plugin.name.clone(), serving.generation, serving.artifact.migrations().to_vec()));
            }
        }
        for (name, generation, files) in due {
            let (keepings, reporter) = (self.ports.keepings.clone(), self.reporter(&name, generation));
            let id = reporter.id.clone();
            let lost = || WorkReport::Generation(id, GenerationReport::Contracted(Err(work::lost(Stage::Migrate))));
            work::begin(self.reports.clone(), lost, async move {
                reporter.report(GenerationReport::Contracted(keepings.contract_tables(&name, files).await));
            });
        }
    }

    /// What came of that. What serves goes on, whatever it was.
    pub(super) fn contracted(&mut self, id: &GenerationId, outcome: Result<Vec<String>, Failure>) {
        if let Ok(ran) = &outcome {
            self.note_migrations(id, ran);
        }
        let Some(plugin) = self.plugins.get_mut(&id.plugin) else { return };
        let now = Instant::now();
        // One that is being looked at hears soon enough.
        let waits = |candidate: &&mut CandidateGeneration| {
            candidate.looked_at_again().is_some_and(|again| again <= now + LOOK_AGAIN)
        };
        if let Some(candidate) = plugin.candidate.as_mut().filter(waits) {
            candidate.look_again_at(now);
        }
        let Some(serving) = plugin.serving.as_mut().filter(|serving| serving.generation == id.generation) else {
            return;
        };
        serving.health.contracts = Contracting::Nothing;
        let Err(failure) = outcome else { return };
        let (name, generation) = (id.plugin.as_str(), id.generation);
        let reason = format!("what only versions before it needed was not taken away: {}", failure.reason);
        if failure.transient {
            tracing::warn!(plugin = name, generation, "{reason}; it is tried again");
            serving.health.contracts = Contracting::Due(now + TRY_AGAIN);
            return;
        }
        let failure = Failure { reason: format!("{reason}; it serves on"), ..failure };
        tracing::error!(plugin = name, generation, stage = "migrate", "{failure}");
        plugin.failed = Some(FailedGeneration::serving(serving, failure));
    }
}
