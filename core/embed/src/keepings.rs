//! What plugins keep on this server: their tables brought to what they need, and all of it removed with them, if that is asked for.
//! What must not live here: how it is kept.

use camlock_policy::{BoxFuture, Failure, Keepings, MigrationFile, Sealer, TableTerms, TablesNotReady, TablesReady};
use camlock_services::{
    Executor, PluginStorage, TaskQueue, analytics::PluginAnalytics, database::PluginTables, events::PluginEvents,
    secrets::Keyring,
};
use std::{fs, io, path::PathBuf, sync::Arc};
use tokio::task::spawn_blocking;

/// The places in which plugins keep what is theirs.
pub(crate) struct PluginKeepings {
    /// Each plugin's own directory lies in it, under its name.
    pub(crate) dirs: PathBuf,
    pub(crate) storage: PluginStorage,
    pub(crate) events: PluginEvents,
    pub(crate) tasks: TaskQueue,
    pub(crate) tables: PluginTables,
    pub(crate) executor: Executor,
    pub(crate) analytics: PluginAnalytics,
    pub(crate) keyring: Keyring,
}

impl Keepings for PluginKeepings {
    fn sealer(&self) -> Arc<dyn Sealer> {
        Arc::new(self.keyring.clone())
    }

    fn purge(&self, plugin: &str) -> BoxFuture<Result<(), String>> {
        let (dir, plugin) = (self.dirs.join(plugin), Arc::from(plugin));
        let (storage, tables, tasks) = (self.storage.clone(), self.tables.clone(), self.tasks.clone());
        let (events, executor, analytics) = (self.events.clone(), self.executor.clone(), self.analytics.clone());
        Box::pin(async move {
            executor.purge(&plugin).await.map_err(|error| error.message)?;
            analytics.purge(&plugin).await.map_err(|error| error.message)?;
            events.purge(&plugin).await.map_err(|error| error.message)?;
            tasks.purge(&plugin).await.map_err(|error| error.message)?;
            storage.purge(&plugin).await.map_err(|error| error.message)?;
            tables.purge(&plugin).await.map_err(|error| error.to_string())?;
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

    fn make_tables_ready(
        &self,
        plugin: &str,
        files: Vec<MigrationFile>,
        terms: TableTerms,
    ) -> BoxFuture<Result<TablesReady, TablesNotReady>> {
        let (tables, plugin) = (self.tables.clone(), Arc::from(plugin));
        Box::pin(async move { tables.make_ready(&plugin, &files, terms).await })
    }

    fn contract_tables(&self, plugin: &str, files: Vec<MigrationFile>) -> BoxFuture<Result<Vec<String>, Failure>> {
        let (tables, plugin) = (self.tables.clone(), Arc::from(plugin));
        Box::pin(async move { tables.contract(&plugin, &files).await })
    }
}
