//! What plugins keep on this server: removed with a plugin, if that is asked for. What must not live here: how it is kept.

use camlock_policy::{BoxFuture, Keepings, Sealer};
use camlock_services::{PluginStorage, secrets::Keyring};
use std::{fs, io, path::PathBuf, sync::Arc};
use tokio::task::spawn_blocking;

/// The places in which plugins keep what is theirs.
pub(crate) struct PluginKeepings {
    /// Each plugin's own directory lies in it, under its name.
    dirs: PathBuf,
    storage: PluginStorage,
    keyring: Keyring,
}

impl PluginKeepings {
    pub(crate) fn new(dirs: PathBuf, storage: PluginStorage, keyring: Keyring) -> Self {
        PluginKeepings { dirs, storage, keyring }
    }
}

impl Keepings for PluginKeepings {
    fn sealer(&self) -> Arc<dyn Sealer> {
        Arc::new(self.keyring.clone())
    }

    fn purge(&self, plugin: &str) -> BoxFuture<Result<(), String>> {
        let (dir, storage, plugin) = (self.dirs.join(plugin), self.storage.clone(), plugin.to_owned());
        Box::pin(async move {
            storage.purge(&plugin.into()).await.map_err(|error| error.message)?;
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
