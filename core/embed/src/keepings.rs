//! What plugins keep on this server: removed with a plugin, if that is asked for. What must not live here: how it is kept.

use camlock_policy::{BoxFuture, Keepings};
use std::{fs, io, path::PathBuf};
use tokio::task::spawn_blocking;

/// The places in which plugins keep what is theirs.
pub(crate) struct PluginData {
    /// Each plugin's own directory lies in it, under its name.
    dirs: PathBuf,
}

impl PluginData {
    pub(crate) fn new(dirs: PathBuf) -> Self {
        PluginData { dirs }
    }
}

impl Keepings for PluginData {
    fn purge(&self, plugin: &str) -> BoxFuture<Result<(), String>> {
        let dir = self.dirs.join(plugin);
        Box::pin(async move {
            let told = dir.display().to_string();
            let removed = spawn_blocking(move || fs::remove_dir_all(dir)).await;
            match removed.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(format!("{told} cannot be removed: {error}"))
                }
                _ => Ok(()),
            }
        })
    }
}
