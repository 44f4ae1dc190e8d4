//! What plugins keep, put together: the place where it lies, and the services over it.
//!
//! What must not live here: what is kept there.

use crate::Options;
use camlock_policy::BoxFuture;
use camlock_services::{
    Login, PluginData, PluginStorage, PostgresConnections, PostgresLink, PostgresServer, SqliteFile, StorageLimits,
    TaskQueue, database::PluginTables,
};
use camlock_store::PostgresAccess;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// How plugins' own tables are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// So many connections at once, for all plugins together. One plugin alone never has all of them.
    pub connections: usize,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        DatabaseSettings { connections: 20 }
    }
}

/// How much plugins may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// Values and bytes of each.
    pub limits: StorageLimits,
    /// So many connections to PostgreSQL, for all plugins together.
    pub connections: usize,
}

impl Default for StorageSettings {
    fn default() -> Self {
        StorageSettings { limits: StorageLimits::default(), connections: 4 }
    }
}

/// The PostgreSQL that a registry is in, as services reach it.
pub struct RegistryServer(PostgresAccess);

impl RegistryServer {
    /// The one of a registry; none if that is in SQLite.
    pub fn of(url: &str, schema: &str) -> Result<Option<Self>, String> {
        let access = PostgresAccess::of(url, schema).map_err(|trouble| trouble.sentence)?;
        Ok(access.map(RegistryServer))
    }
}

impl PostgresServer for RegistryServer {
    fn connect(&self, login: Option<Login>) -> BoxFuture<Result<PostgresLink, String>> {
        let access = self.0.clone();
        Box::pin(async move {
            let login = login.as_ref().map(|login| (login.role.as_str(), login.password.as_str()));
            let opened = access.connect(login).await.map_err(|trouble| trouble.sentence);
            opened.map(|(client, messages)| PostgresLink { client, messages })
        })
    }

    fn url(&self, login: &Login) -> String {
        self.0.url(&login.role, &login.password)
    }

    fn schema(&self) -> &str {
        self.0.schema()
    }
}

/// The places in which plugins keep what is theirs, but for their directories.
pub(crate) struct KeptPlaces {
    pub(crate) storage: PluginStorage,
    pub(crate) tables: PluginTables,
    pub(crate) tasks: TaskQueue,
}

/// So many connections to PostgreSQL has the queue of tasks, beside the one that listens.
const TASK_CONNECTIONS: usize = 4;

/// How often it is looked for what has expired of plugins that ask for nothing any more.
const SWEPT: Duration = Duration::from_secs(600);

/// Removes what has expired, now and then, for as long as that runtime is there.
pub(crate) fn keep_swept(storage: PluginStorage, work: &Handle) {
    work.spawn(async move {
        loop {
            tokio::time::sleep(SWEPT).await;
            if let Err(error) = storage.sweep_everything().await {
                tracing::debug!("what has expired was not removed: {}", error.message);
            }
        }
    });
}

/// Those beside the registry of these options.
pub(crate) fn places(options: &Options, data: &Path, work: Handle) -> Result<KeptPlaces, String> {
    let place = DataPlace::beside(&options.registry.url(data), &options.registry.schema, data)?;
    let tables = place.tables(options.database, work.clone());
    let tasks = place.tasks(work.clone());
    Ok(KeptPlaces { storage: place.storage(options.storage, work), tables, tasks })
}

/// Where the data of plugins lies.
pub(crate) enum DataPlace {
    /// In the registry's schema in PostgreSQL.
    Server(Arc<dyn PostgresServer>),
    /// In a file of its own in the data directory.
    File(SqliteFile),
}

impl DataPlace {
    pub(crate) fn beside(url: &str, schema: &str, data: &Path) -> Result<Self, String> {
        Ok(match RegistryServer::of(url, schema)? {
            Some(server) => DataPlace::Server(Arc::new(server)),
            None => DataPlace::File(SqliteFile::at(data.join("plugins.db"))),
        })
    }

    pub(crate) fn tables(&self, settings: DatabaseSettings, work: Handle) -> PluginTables {
        match self {
            DataPlace::Server(server) => PluginTables::on_server(server.clone(), settings.connections, work),
            DataPlace::File(file) => PluginTables::in_file(file.clone(), settings.connections, work),
        }
    }

    pub(crate) fn storage(self, settings: StorageSettings, work: Handle) -> PluginStorage {
        PluginStorage::new(self.data(settings.connections, work), settings.limits)
    }

    pub(crate) fn tasks(&self, work: Handle) -> TaskQueue {
        TaskQueue::new(self.data(TASK_CONNECTIONS, work))
    }

    /// With so many connections of its own, where there are any.
    fn data(&self, connections: usize, work: Handle) -> PluginData {
        match self {
            DataPlace::Server(server) => {
                PluginData::Postgres(PostgresConnections::new(server.clone(), connections, work))
            }
            DataPlace::File(file) => PluginData::Sqlite(file.clone()),
        }
    }
}
