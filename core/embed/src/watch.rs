//! Hearing of changed files, for as long as there is somebody to tell.

use camlock_policy::{Manager, Sources};
use camlock_watch::{WatchOptions, Watcher};
use std::{collections::BTreeSet, path::PathBuf};
use tokio::task::spawn_blocking;

/// Has the manager look whenever something may have changed, in the plugins directory or in what its entries are made of.
pub(crate) async fn watch(plugins: PathBuf, manager: Manager, sources: impl Sources + Clone + 'static) {
    let told = manager.clone();
    let watcher = match Watcher::start(WatchOptions::new(plugins), move || told.look()) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::error!(%error, "the plugins directory is not watched: POST /api/v1/reload has it looked at");
            return;
        }
    };
    let mut overview = manager.watch();
    let mut watched = BTreeSet::new();
    while overview.changed().await.is_ok() {
        let sources = sources.clone();
        let outside = spawn_blocking(move || sources.outside()).await.unwrap_or_default();
        if outside != watched {
            watcher.also_watch(outside.clone());
            watched = outside;
        }
    }
}
