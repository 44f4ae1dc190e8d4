//! What work reports, and whose affair that is.
//!
//! What must not live here: what follows, but for a step of a candidate or a generation that leaves.

use super::{
    Supervisor,
    candidate::CandidateGeneration,
    plan::GenerationSource,
    plugin::{NextTry, Plugin, Renewal, RenewalCause},
    work::{DirectoryReport, GenerationId, GenerationReport, RegistryReport, WorkReport},
};
use crate::{BuildProgress, Candidate, Fingerprint, generation::Event, never, registry::Actor};
use std::sync::Arc;
use tokio::{sync::oneshot, time::Instant};

impl Supervisor {
    pub(super) fn report(&mut self, report: WorkReport) {
        match report {
            WorkReport::Directory(report) => self.directory_report(report),
            WorkReport::Registry(report) => self.registry_report(report),
            WorkReport::Generation(id, report) => {
                // That a plugin is well changes nothing that is shown.
                if !matches!(report, GenerationReport::Health(_)) {
                    self.dirty.insert(id.plugin.clone());
                }
                self.generation_report(&id, report);
            }
        }
    }

    fn directory_report(&mut self, report: DirectoryReport) {
        match report {
            DirectoryReport::Scanned(scan) => self.scanned(scan),
            DirectoryReport::Moved { plugin, outcome, purged } => self.moved(&plugin, outcome, purged),
            DirectoryReport::Arriving { plugin, terms, known } => {
                drop(known.send(self.looks.arriving.insert(plugin, terms)))
            }
            DirectoryReport::Installed { by, before, outcome, reply } => {
                if let (Err(_), Some((plugin, before))) = (&outcome, before) {
                    self.does_not_arrive(plugin, before);
                }
                self.installed(by, outcome, reply);
            }
            DirectoryReport::Purged { plugin, outcome } => self.purged(&plugin, outcome),
            DirectoryReport::Cleared { plugin, outcome } => self.cleared(&plugin, outcome),
            DirectoryReport::History { kept, order, reply } => self.looked_up(&kept, *order, reply),
            DirectoryReport::Swept => self.swept(),
        }
    }

    fn registry_report(&mut self, report: RegistryReport) {
        match report {
            RegistryReport::Read { reading, began, outcome } => self.was_read(reading, began, outcome),
            RegistryReport::Registered(outcome) => self.registered(outcome),
            RegistryReport::Decided { order, outcome, reply } => self.decided(*order, outcome, reply),
            RegistryReport::DecidedHere(outcome) => self.decided_here(outcome),
            RegistryReport::Answered(outcome) => self.answered(outcome),
            RegistryReport::Sealed(plugin, outcome) => self.sealed(&plugin, outcome),
            RegistryReport::Reported(served, outcome) => self.reported(served, outcome),
        }
    }

    fn generation_report(&mut self, id: &GenerationId, report: GenerationReport) {
        match report {
            GenerationReport::Progress(progress) => self.progressed(id, progress),
            GenerationReport::Learned(fingerprint) => self.learned(id, fingerprint),
            GenerationReport::Built => self.if_current(id, CandidateGeneration::mark_built),
            GenerationReport::Prepared(Ok(artifact)) => self.prepared(id, artifact),
            GenerationReport::Prepared(Err(failure)) => self.did_not_come_up(id, failure, None),
            GenerationReport::Tables(outcome) => self.tables_answered(id, outcome),
            GenerationReport::Contracted(outcome) => self.contracted(id, outcome),
            GenerationReport::Loaded => self.if_current(id, CandidateGeneration::mark_loaded),
            GenerationReport::Hold(held) => self.hold(id, held),
            GenerationReport::Ready(open) => self.at_the_gate(id, open),
            GenerationReport::Proposed(outcome) => self.proposed(id, outcome),
            GenerationReport::Up(Ok(loaded)) => self.up(id, loaded),
            GenerationReport::Up(Err((failure, loaded))) => self.did_not_come_up(id, failure, loaded),
            GenerationReport::Health(outcome) => self.health_answered(id, outcome),
            GenerationReport::Died(why) => self.has_died(id, &why),
            GenerationReport::Configured(config, outcome) => self.configured(id, config, outcome),
            GenerationReport::Stuck(reason) => self.stuck(id, reason),
            GenerationReport::Left(left_behind) => self.left(id, left_behind),
        }
    }

    /// The plugin, if this generation is still its candidate. One that was given up may still report.
    pub(super) fn current(&mut self, id: &GenerationId) -> Option<&mut Plugin> {
        let plugin = self.plugins.get_mut(&id.plugin)?;
        let candidate = plugin.candidate.as_ref()?;
        (candidate.head.generation == id.generation).then_some(plugin)
    }

    fn if_current(&mut self, id: &GenerationId, change: impl FnOnce(&mut CandidateGeneration)) {
        if let Some(candidate) = self.current(id).and_then(|plugin| plugin.candidate.as_mut()) {
            change(candidate);
        }
    }

    fn progressed(&mut self, id: &GenerationId, progress: BuildProgress) {
        self.if_current(id, |candidate| {
            candidate.head.times.queue(progress.is_queued);
            candidate.doing = progress.to_string();
        });
    }

    /// A build taught what its plugin is made of. So will the next look have the entry: that is no change of it.
    fn learned(&mut self, id: &GenerationId, fingerprint: Fingerprint) {
        let Some(plugin) = self.current(id) else { return };
        let Some(candidate) = plugin.candidate.as_mut() else { return };
        if let GenerationSource::Entry(before) = &mut candidate.head.source {
            if let Some(entry) = plugin.directory.entry_mut().filter(|entry| entry.fingerprint == *before) {
                entry.fingerprint = fingerprint.clone();
            }
            *before = fingerprint;
        }
    }

    fn hold(&mut self, id: &GenerationId, held: oneshot::Sender<()>) {
        if let Some(serving) = self.current(id).and_then(|plugin| plugin.serving.as_mut()) {
            serving.held = true;
            self.shown.routes_changed = true;
            self.shown.when_published.push(held);
        }
    }

    fn prepared(&mut self, id: &GenerationId, artifact: Arc<dyn Candidate>) {
        // What was given up is of no use; its bytes are kept.
        let Some(plugin) = self.current(id) else { return };
        if let Some(candidate) = plugin.candidate.as_mut() {
            candidate.head.times.lap("verify");
            candidate.doing.clear();
        }
        if plugin.serving.is_none() {
            plugin.past.manifest = Some(artifact.manifest().clone());
        }
        if let Some(schema) = artifact.schema() {
            plugin.past.schema = Some(schema);
        }
        if let Some(why) = artifact.stays() {
            tracing::warn!(plugin = id.plugin, generation = id.generation, "it will not leave once loaded: {why}");
        }
        if plugin.changes_nothing(&artifact) {
            self.nothing_new(&id.plugin, &artifact);
        } else {
            self.admit(&id.plugin, artifact);
        }
    }

    fn stuck(&mut self, id: &GenerationId, reason: String) {
        let leaving = self.plugins.get_mut(&id.plugin).and_then(|plugin| plugin.leaving.get_mut(&id.generation));
        let Some(leaving) = leaving else {
            never!("generation {} of `{}` is stuck and does not leave", id.generation, id.plugin);
            return;
        };
        tracing::warn!(plugin = id.plugin, generation = id.generation, "it cannot leave: {reason}");
        Plugin::step(&mut leaving.phase, Event::Stuck(reason.clone()));
        self.note(&id.plugin, Some(id.generation), "pinned", &Actor::Sql, serde_json::json!({ "reason": reason }));
    }

    fn left(&mut self, id: &GenerationId, left_behind: Option<u64>) {
        let most = self.settings.limits(&id.plugin).pinned;
        let Some(plugin) = self.plugins.get_mut(&id.plugin) else {
            never!("generation {} of `{}` has left, which is not known", id.generation, id.plugin);
            return;
        };
        if let Some(bytes) = left_behind {
            plugin.past.left_behind = Some(plugin.past.left_behind.unwrap_or(0) + bytes);
        }
        let Some(mut leaving) = plugin.leaving.remove(&id.generation) else {
            never!("generation {} of `{}` has left twice", id.generation, id.plugin);
            return;
        };
        Plugin::step(&mut leaving.phase, Event::Left);
        tracing::info!(plugin = id.plugin, generation = id.generation, "left the process");
        if plugin.pinned() < most {
            plugin.try_what_pins_refused();
        }
        self.note(&id.plugin, Some(id.generation), "left", &Actor::Sql, serde_json::json!({}));
        self.sweep();
    }
}

impl Plugin {
    /// Generations that were in the way have left: what was refused because of them is due.
    fn try_what_pins_refused(&mut self) {
        let Some(failed) = self.failed.as_mut().filter(|failed| matches!(failed.next_try, NextTry::WhenPinsGo)) else {
            return;
        };
        let due = Instant::now();
        failed.next_try = NextTry::At(due);
        // A reload of what serves: nothing else would bring a new generation.
        if self.serving.as_ref().is_some_and(|serving| serving.source == failed.source) {
            self.wishes.renewal.get_or_insert(Renewal { due, cause: RenewalCause::PinsGone });
        }
    }
}
