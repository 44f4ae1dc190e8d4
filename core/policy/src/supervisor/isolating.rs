//! In which mode a plugin is to run, and the new generation that it takes when that is another one. What must not live here: how a
//! plugin is isolated.

use super::{
    Settings, Supervisor,
    plugin::{NextTry, Plugin, Renewal, RenewalCause},
    work::{GenerationId, GenerationReport, GenerationReporter},
};
use crate::{Isolation, Loaded, Manifest, isolation};
use tokio::time::Instant;

impl Plugin {
    /// In which mode it is to run.
    pub(super) fn isolation(&self, manifest: &Manifest, settings: &Settings) -> Isolation {
        let on_record = self.record().and_then(|record| record.isolation);
        let of_plugin = settings.isolation.plugins.get(&self.name).copied();
        isolation::chosen(on_record, of_plugin, manifest.camlock.isolation, settings.isolation.usual)
    }

    /// Whether what serves runs in another mode than it is to. What is compiled in is a part of the process.
    pub(super) fn is_to_move(&self, settings: &Settings) -> Option<Isolation> {
        let serving = self.serving.as_ref().filter(|serving| serving.artifact.digest().is_some())?;
        let wanted = self.isolation(serving.artifact.manifest(), settings);
        (wanted != serving.loaded.instance.isolation()).then_some(wanted)
    }

    /// A new generation, once for each mode that is wanted: if it fails, what serves goes on where it is.
    pub(super) fn renew_if_it_is_to_move(&mut self, settings: &Settings, now: Instant) {
        let Some(wanted) = self.is_to_move(settings) else {
            self.past.moved_to = None;
            return;
        };
        if self.past.moved_to != Some(wanted) && self.enabled() && self.candidate.is_none() {
            self.past.moved_to = Some(wanted);
            self.wishes.renewal = Some(Renewal { due: now, cause: RenewalCause::Isolated });
        }
    }
}

impl Supervisor {
    /// Hears of it if what serves dies by itself.
    pub(super) fn watch_for_death(&self, id: &GenerationId, loaded: &Loaded) {
        if loaded.instance.isolation() == Isolation::None {
            return;
        }
        let reporter = GenerationReporter { id: id.clone(), reports: self.reports.clone() };
        let died = loaded.instance.died();
        tokio::spawn(async move { reporter.report(GenerationReport::Died(died.await)) });
    }

    /// The process of what serves has ended: a new generation takes its place, and until then requests wait, if that is soon.
    pub(super) fn has_died(&mut self, id: &GenerationId, why: &str) {
        let now = Instant::now();
        let serves =
            |plugin: &Plugin| plugin.serving.as_ref().is_some_and(|serving| serving.generation == id.generation);
        if self.ending.is_some() || !self.plugins.get(&id.plugin).is_some_and(serves) {
            return;
        }
        self.take_care(&id.plugin, format!("its process ended: {why}"), true, now);
        let Some(plugin) = self.plugins.get_mut(&id.plugin) else { return };
        if plugin.wishes.attempt.is_none() && plugin.wishes.renewal.is_none() {
            self.stop_dead(&id.plugin, now);
            return;
        }
        let soon = plugin.wishes.attempt.is_some() || plugin.wishes.renewal.is_some_and(|renewal| renewal.due <= now);
        if let Some(serving) = plugin.serving.as_mut().filter(|_| soon) {
            serving.held = true;
            self.shown.routes_changed = true;
        }
    }

    /// Nothing takes its place for now: it is tried again when that may be.
    fn stop_dead(&mut self, name: &str, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        if let Some(failed) = plugin.failed.as_mut() {
            failed.next_try = NextTry::At(plugin.past.restarts.room_at(now));
        }
        if let Some(serving) = plugin.serving.take() {
            self.let_go(name, serving);
        }
    }
}
