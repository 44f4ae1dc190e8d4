//! Removing: once nothing of a plugin serves, its entry is moved out of the plugins directory.
//!
//! Where it is moved to is `Sources`' affair. What must not live here: the decision.

use super::{
    Supervisor,
    ask::{PendingAnswer, Reply},
    plugin::Removal,
    work::{DirectoryReport, WorkReport},
};
use crate::{Failure, Refused, Stage, generation::Phase, never};
use std::path::PathBuf;

impl Supervisor {
    /// Somebody waits until a plugin that was removed is gone.
    pub(super) fn wait_for_removal(&mut self, name: &str, reply: Reply) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            let _ = reply.send(Err(Refused::Unknown(name.to_owned())));
            return;
        };
        match &mut plugin.removal {
            Some(removal) if plugin.directory.entry().is_some() => removal.replies().push(reply),
            // Nothing of it lies there.
            _ => {
                plugin.removal = None;
                let gone = Some(plugin.view());
                let outcome = Ok(Vec::new());
                self.shown.answers.push(PendingAnswer { plugin: name.to_owned(), reply, outcome, gone });
            }
        }
    }

    /// Moves the entry of a plugin that was removed, if it is time; whether it did.
    pub(super) fn move_away(&mut self, name: &str) -> bool {
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("`{name}` rests, and is not known");
            return false;
        };
        let draining = plugin.leaving.values().any(|leaving| leaving.phase == Phase::Draining);
        if plugin.serving.is_some() || plugin.candidate.is_some() || draining {
            return false;
        }
        let Some(entry) = plugin.entry().cloned() else { return false };
        let Some(Removal::Stopping(replies)) = &mut plugin.removal else { return false };
        plugin.removal = Some(Removal::Moving(std::mem::take(replies)));
        let (sources, reports, plugin) = (self.ports.sources.clone(), self.reports.clone(), name.to_owned());
        let moving = tokio::task::spawn_blocking(move || sources.remove(&entry));
        tokio::spawn(async move {
            let lost = |_| Err(super::work::lost(Stage::Manifest));
            let outcome = moving.await.unwrap_or_else(lost);
            let _ = reports.send(WorkReport::Directory(DirectoryReport::Moved { plugin, outcome }));
        });
        true
    }

    /// It was moved, or could not be.
    pub(super) fn moved(&mut self, name: &str, outcome: Result<PathBuf, Failure>) {
        self.dirty.insert(name.to_owned());
        match outcome {
            Ok(path) => {
                tracing::info!(plugin = name, "removed; its entry lies in {}", path.display());
                // The look that is begun now finds it gone.
                self.look();
            }
            Err(failure) => {
                tracing::error!(plugin = name, stage = display(failure.stage), "{failure}");
                // A look may have found meanwhile that it is gone, or another in its place.
                let removal = self.plugins.get_mut(name).and_then(|plugin| plugin.removal.take());
                let replies = removal.map(|mut removal| std::mem::take(removal.replies())).unwrap_or_default();
                let outcome = Err(Refused::Conflict(failure.reason));
                self.shown.answers.extend(PendingAnswer::to_all(name, replies, &outcome));
            }
        }
    }

    /// Its entry is gone: whoever waits for that hears it.
    pub(super) fn removed(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name).filter(|plugin| plugin.entry().is_none()) else { return };
        let Some(mut removal) = plugin.removal.take() else { return };
        let view = plugin.view();
        for reply in std::mem::take(removal.replies()) {
            let gone = Some(view.clone());
            self.shown.answers.push(PendingAnswer { plugin: name.to_owned(), reply, outcome: Ok(Vec::new()), gone });
        }
    }
}
