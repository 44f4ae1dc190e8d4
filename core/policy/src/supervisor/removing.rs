//! Removing: once nothing of a plugin serves, its entry is moved out of the plugins directory.
//!
//! Where it is moved to is `Sources`' affair. What must not live here: the decision.

use super::{Supervisor, plugin::Answer, work::Report};
use crate::{Failure, Refused, generation::Phase};
use std::path::PathBuf;

impl Supervisor {
    /// Moves the entry of a plugin that was removed, if it is time; whether it did.
    pub(super) fn move_away(&mut self, name: &str) -> bool {
        let Some(plugin) = self.plugins.get_mut(name) else { return false };
        let draining = plugin.leaving.values().any(|leaving| leaving.phase == Phase::Draining);
        let idle = plugin.serving.is_none() && plugin.candidate.is_none() && !draining;
        let Some(entry) = plugin.entry.clone().filter(|_| plugin.removing && idle && !plugin.moving) else {
            return false;
        };
        plugin.moving = true;
        let (sources, desk) = (self.ports.sources.clone(), self.desk(name, 0));
        tokio::task::spawn_blocking(move || desk.tell(Report::Moved(sources.remove(&entry))));
        true
    }

    /// It was moved, or could not be.
    pub(super) fn moved(&mut self, name: &str, outcome: Result<PathBuf, Failure>) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        match outcome {
            Ok(path) => {
                tracing::info!(plugin = name, "removed; its entry lies in {}", path.display());
                // The look that is begun now finds it gone.
                self.look();
            }
            Err(failure) => {
                tracing::error!(plugin = name, stage = display(failure.stage), "{failure}");
                plugin.moving = false;
                plugin.removing = false;
                for reply in std::mem::take(&mut plugin.removers) {
                    let outcome = Err(Refused::Conflict(failure.reason.clone()));
                    self.answers.push(Answer { plugin: name.to_owned(), reply, outcome, gone: None });
                }
            }
        }
    }

    /// Its entry is gone: whoever waits for that hears it.
    pub(super) fn removed(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name).filter(|plugin| plugin.entry.is_none()) else { return };
        plugin.removing = false;
        plugin.moving = false;
        let view = plugin.view();
        for reply in std::mem::take(&mut plugin.removers) {
            let gone = Some(view.clone());
            self.answers.push(Answer { plugin: name.to_owned(), reply, outcome: Ok(Vec::new()), gone });
        }
    }
}
