//! Removing: once nothing of a plugin serves, its entry is moved out of the plugins directory.
//!
//! Where it is moved to is `Sources`' affair. What must not live here: the decision.

use super::{
    Supervisor,
    ask::{PendingAnswer, Reply},
    plugin::Removal,
    work::{DirectoryReport, WorkReport},
};
use crate::{Failure, LivePlugin, Refused, Stage, generation::Phase, never};
use std::{path::PathBuf, sync::Arc};

/// Who waits until all is gone of a plugin that does not lie there, and what they are shown of it.
pub(crate) struct WaitsForRemoval {
    reply: Reply,
    gone: Arc<LivePlugin>,
}

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
                let waits = WaitsForRemoval { reply, gone: plugin.view() };
                if let Some(record) = plugin.record().filter(|record| record.purge) {
                    self.records.purged.insert((name.to_owned(), record.revision));
                    self.purge_what_is_gone(name, Some(waits));
                } else {
                    self.is_gone(name, waits, Ok(()));
                }
            }
        }
    }

    /// Whoever removed what does not lie there hears of it.
    fn is_gone(&mut self, name: &str, waits: WaitsForRemoval, outcome: Result<(), Failure>) {
        let WaitsForRemoval { reply, gone } = waits;
        let (plugin, gone) = (name.to_owned(), Some(gone));
        let outcome = outcome.map(|()| Vec::new()).map_err(|failure| Refused::Conflict(failure.reason));
        self.shown.answers.push(PendingAnswer { plugin, reply, outcome, gone });
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
        let purge = plugin.record().filter(|record| record.purge).map(|record| record.revision);
        let Some(Removal::Stopping(replies)) = &mut plugin.removal else { return false };
        plugin.removal = Some(Removal::Moving(std::mem::take(replies)));
        self.records.purged.extend(purge.map(|revision| (name.to_owned(), revision)));
        let (sources, reports, plugin) = (self.ports.sources.clone(), self.reports.clone(), name.to_owned());
        let keepings = self.ports.keepings.clone();
        let moving = tokio::task::spawn_blocking(move || sources.remove(&entry));
        tokio::spawn(async move {
            let lost = |_| Err(super::work::lost(Stage::Manifest));
            let outcome = moving.await.unwrap_or_else(lost);
            let purged = match &outcome {
                Ok(_) if purge.is_some() => keepings.purge(&plugin).await.map_err(not_purged),
                _ => Ok(()),
            };
            let _ = reports.send(WorkReport::Directory(DirectoryReport::Moved { plugin, outcome, purged }));
        });
        true
    }

    /// A plugin was removed with all that it kept, and nothing of it is known here but that: it may have kept something.
    pub(super) fn purge_what_is_gone(&self, name: &str, waits: Option<WaitsForRemoval>) {
        let (keepings, reports, plugin) = (self.ports.keepings.clone(), self.reports.clone(), name.to_owned());
        tokio::spawn(async move {
            let outcome = keepings.purge(&plugin).await.map_err(not_purged);
            let _ = reports.send(WorkReport::Directory(DirectoryReport::Purged { plugin, outcome, waits }));
        });
    }

    /// What it kept is gone, or is not.
    pub(super) fn purged(&mut self, name: &str, outcome: Result<(), Failure>, waits: Option<WaitsForRemoval>) {
        if let Err(failure) = &outcome {
            tracing::error!(plugin = name, "{failure}");
            self.records.purged.retain(|(purged, _)| purged != name);
        }
        if let Some(waits) = waits {
            self.is_gone(name, waits, outcome);
        }
    }

    /// It was moved, or could not be.
    pub(super) fn moved(&mut self, name: &str, outcome: Result<PathBuf, Failure>, purged: Result<(), Failure>) {
        self.dirty.insert(name.to_owned());
        match outcome {
            Ok(path) => {
                tracing::info!(plugin = name, "removed; its entry lies in {}", path.display());
                if let Err(failure) = purged {
                    tracing::error!(plugin = name, "{failure}");
                    self.records.purged.retain(|(purged, _)| purged != name);
                    let removal = self.plugins.get_mut(name).and_then(|plugin| plugin.removal.as_mut());
                    let replies = removal.map(|removal| std::mem::take(removal.replies())).unwrap_or_default();
                    let outcome = Err(Refused::Conflict(failure.reason));
                    self.shown.answers.extend(PendingAnswer::to_all(name, replies, &outcome));
                }
                let Some(plugin) = self.plugins.get_mut(name) else { return };
                if let Some(Removal::Moving(replies)) = &mut plugin.removal {
                    plugin.removal = Some(Removal::Moved(std::mem::take(replies)));
                }
                // A look found it gone already, or the one that is begun now does.
                self.removed(name);
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
        // What it kept may be there still.
        let Some(mut removal) = plugin.removal.take_if(|removal| !matches!(removal, Removal::Moving(_))) else {
            return;
        };
        let view = plugin.view();
        for reply in std::mem::take(removal.replies()) {
            let gone = Some(view.clone());
            self.shown.answers.push(PendingAnswer { plugin: name.to_owned(), reply, outcome: Ok(Vec::new()), gone });
        }
    }
}

fn not_purged(why: String) -> Failure {
    Failure::transient(Stage::Manifest, format!("it is removed, and what it kept is not: {why}"))
}
