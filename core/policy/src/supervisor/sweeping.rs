//! Which artifacts are kept: those that anybody may still need. The others are removed, one sweep at a time.
//!
//! What must not live here: how many of a plugin's newest are kept in any case (`Limits`), and files (`Shelf`).

use super::{
    Supervisor,
    plugin::Plugin,
    work::{DirectoryReport, WorkReport},
};
use crate::Digest;
use std::collections::BTreeSet;

impl Supervisor {
    /// Removes artifacts that nobody needs any more. None are at the end, which the next start makes up for.
    pub(super) fn sweep(&mut self) {
        if self.ending.is_none() && self.sweeps.request() {
            self.begin_sweep();
        }
    }

    fn begin_sweep(&self) {
        let in_use: BTreeSet<_> = self.plugins.values().flat_map(Plugin::artifacts_in_use).collect();
        let (shelf, settings, reports) = (self.ports.shelf.clone(), self.settings.clone(), self.reports.clone());
        let sweeping = tokio::task::spawn_blocking(move || {
            shelf.sweep(&|plugin| settings.limits(plugin).artifacts, &in_use);
        });
        tokio::spawn(async move {
            // Should it have panicked, the next one may do better.
            let _ = sweeping.await;
            let _ = reports.send(WorkReport::Directory(DirectoryReport::Swept));
        });
    }

    pub(super) fn swept(&mut self) {
        if self.sweeps.finish().is_some() {
            self.begin_sweep();
        }
    }
}

impl Plugin {
    /// The artifacts that serve, are on their way to it, or may be gone back to.
    fn artifacts_in_use(&self) -> impl Iterator<Item = Digest> {
        let serving = self.served_digest();
        let probation = self.serving.as_ref().and_then(|serving| serving.health.probation.as_ref());
        let predecessor = probation.and_then(|probation| probation.predecessor.as_ref()).map(|agreed| agreed.digest);
        let previous = self.past.previous.as_ref().map(|agreed| agreed.digest);
        let coming = self.candidate.as_ref().and_then(|candidate| candidate.artifact()?.digest());
        let agreed = self.agreed_on().map(|agreed| agreed.digest);
        let tried = self.wishes.attempt.as_ref().map(|attempt| attempt.agreed.digest);
        [serving, predecessor, previous, coming, agreed, tried].into_iter().flatten()
    }
}
