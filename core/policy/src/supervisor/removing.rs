//! Removing: once nothing of a plugin serves, its entry is moved out of the plugins directory.
//!
//! Where it is moved to is `Sources`' affair. What must not live here: the decision.

use super::{
    Supervisor,
    ask::{PendingAnswer, Reply},
    plugin::{Plugin, Presence, Removal},
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
        if let Some(removal) = &mut plugin.removal {
            removal.replies().push(reply);
            return;
        }
        // Nothing of it is here.
        let gone = Some(plugin.view());
        self.shown.answers.push(PendingAnswer { plugin: name.to_owned(), reply, outcome: Ok(Vec::new()), gone });
    }

    /// Moves the entry of a plugin that was removed, if it is time; whether it did.
    pub(super) fn move_away(&mut self, name: &str) -> bool {
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("`{name}` rests, and is not known");
            return false;
        };
        if plugin.is_alive() || matches!(plugin.directory.presence, Presence::Unknown) {
            return false;
        }
        // One that was installed by name has none here.
        let entry = plugin.entry().cloned();
        let purge = plugin.record().filter(|record| record.purge).map(|record| record.revision);
        let by_name = plugin.record().is_some_and(|record| record.source.catalog().is_some());
        let may_come_back = entry.is_none() && purge.is_none() && plugin.directory.lay_here() && !by_name;
        let Some(Removal::Stopping(replies)) = &mut plugin.removal else { return false };
        // Where nobody waits, it is moved when it lies there again.
        if may_come_back && replies.is_empty() {
            return false;
        }
        plugin.removal = Some(Removal::Moving(std::mem::take(replies)));
        self.records.purged.extend(purge.map(|revision| (name.to_owned(), revision)));
        let (sources, reports, plugin) = (self.ports.sources.clone(), self.reports.clone(), name.to_owned());
        let keepings = self.ports.keepings.clone();
        let moving = tokio::task::spawn_blocking(move || entry.map(|entry| sources.remove(&entry)).transpose());
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
    pub(super) fn purge_what_is_gone(&self, name: &str) {
        let (keepings, reports, plugin) = (self.ports.keepings.clone(), self.reports.clone(), name.to_owned());
        tokio::spawn(async move {
            let outcome = keepings.purge(&plugin).await.map_err(not_purged);
            let _ = reports.send(WorkReport::Directory(DirectoryReport::Purged { plugin, outcome }));
        });
    }

    /// What it kept is gone, or is not.
    pub(super) fn purged(&mut self, name: &str, outcome: Result<(), Failure>) {
        if let Err(failure) = outcome {
            tracing::error!(plugin = name, "{failure}");
            self.records.purged.retain(|(purged, _)| purged != name);
        }
    }

    /// It was moved, or could not be; there may have been nothing to move.
    pub(super) fn moved(&mut self, name: &str, outcome: Result<Option<PathBuf>, Failure>, purged: Result<(), Failure>) {
        self.dirty.insert(name.to_owned());
        match outcome {
            Ok(path) => {
                if let Some(path) = path {
                    tracing::info!(plugin = name, "removed; its entry lies in {}", path.display());
                }
                if let Err(failure) = purged {
                    self.records.purged.retain(|(purged, _)| purged != name);
                    self.removal_failed(name, &failure);
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
                // A look may have found meanwhile that it is gone, or another in its place.
                self.removal_failed(name, &failure);
                if let Some(plugin) = self.plugins.get_mut(name) {
                    plugin.removal = None;
                }
            }
        }
    }

    /// Whoever waits for the removal hears that, also if the plugin is forgotten with it.
    fn removal_failed(&mut self, name: &str, failure: &Failure) {
        tracing::error!(plugin = name, stage = display(failure.stage), "{failure}");
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let replies = plugin.removal.as_mut().map(|removal| std::mem::take(removal.replies())).unwrap_or_default();
        let gone = plugin.view();
        for reply in replies {
            let outcome = Err(Refused::Conflict(failure.reason.clone()));
            self.shown.answers.push(PendingAnswer {
                plugin: name.to_owned(),
                reply,
                outcome,
                gone: Some(gone.clone()),
            });
        }
    }

    /// Moves an entry away of which something older came than what all serve by name; whether it did. It would be proposed anew as soon as
    /// it was made of anything else, by another compiler say.
    pub(super) fn clear_superseded(&mut self, name: &str) -> bool {
        let Some(plugin) = self.plugins.get_mut(name) else { return false };
        let agreed = plugin.agreed_on().map(|agreed| agreed.digest);
        let is_quiet = plugin.candidate.is_none() && plugin.removal.is_none() && plugin.wishes.attempt.is_none();
        if !plugin.directory.is_superseded || !is_quiet || agreed.is_none() || plugin.served_digest() != agreed {
            return false;
        }
        plugin.directory.is_superseded = false;
        let Some(entry) = plugin.entry().cloned() else { return false };
        let (sources, reports, plugin) = (self.ports.sources.clone(), self.reports.clone(), name.to_owned());
        tokio::spawn(async move {
            let moving = tokio::task::spawn_blocking(move || sources.remove(&entry));
            let outcome = moving.await.unwrap_or_else(|_| Err(super::work::lost(Stage::Manifest)));
            let _ = reports.send(WorkReport::Directory(DirectoryReport::Cleared { plugin, outcome }));
        });
        true
    }

    /// It was moved, or stays where it is.
    pub(super) fn cleared(&mut self, name: &str, outcome: Result<PathBuf, Failure>) {
        match outcome {
            Ok(path) => {
                tracing::info!(
                    plugin = name,
                    "all serve another version of what was installed by name; the one that lay here is in {}",
                    path.display()
                );
                self.look();
            }
            Err(failure) => tracing::warn!(plugin = name, "an older version of it lies here still: {failure}"),
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

impl Plugin {
    /// Something of it serves, or is on its way to or from that.
    pub(super) fn is_alive(&self) -> bool {
        let draining = self.leaving.values().any(|leaving| leaving.phase == Phase::Draining);
        self.serving.is_some() || self.candidate.is_some() || draining
    }
}

fn not_purged(why: String) -> Failure {
    Failure::transient(Stage::Manifest, format!("it is removed, and what it kept is not: {why}"))
}
