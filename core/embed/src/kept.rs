//! What plugins keep, put together: the place where it lies, and the services over it.
//!
//! What must not live here: what is kept there.

use crate::Options;
use camlock_policy::BoxFuture;
use camlock_services::{
    Login, PluginData, PluginStorage, PostgresConnections, PostgresLink, PostgresServer, SqliteFile, StorageLimits,
    database::PluginTables,
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

struct RegistryServer(PostgresAccess);

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
}

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
    let connections = options.database.connections;
    let tables = match &place {
        DataPlace::Server(server) => PluginTables::on_server(server.clone(), connections, work.clone()),
        DataPlace::File(file) => PluginTables::in_file(file.clone(), connections, work.clone()),
    };
    Ok(KeptPlaces { storage: place.storage(options.storage, work), tables })
}

/// Carries all that plugins keep along with a registry that was copied: how many values that were. Of a registry in SQLite it lies
/// in this data directory.
pub async fn carry_what_plugins_keep(from: &str, to: &str, schema: &str, data: &Path) -> Result<u64, String> {
    let storage = |url| {
        DataPlace::beside(url, schema, data).map(|place| place.storage(StorageSettings::default(), Handle::current()))
    };
    let is_file = |url: &str| url.starts_with("sqlite:");
    if is_file(from) && is_file(to) {
        // It is one file, and stays where it is.
        return Ok(0);
    }
    if is_file(from) && !data.join("plugins.db").exists() {
        return Ok(0);
    }
    camlock_services::carry_values(&storage(from)?, &storage(to)?).await.map_err(|error| error.message)
}

/// Where the data of plugins lies.
enum DataPlace {
    /// In the registry's schema in PostgreSQL.
    Server(Arc<dyn PostgresServer>),
    /// In a file of its own in the data directory.
    File(SqliteFile),
}

impl DataPlace {
    fn beside(url: &str, schema: &str, data: &Path) -> Result<Self, String> {
        let access = PostgresAccess::of(url, schema).map_err(|trouble| trouble.sentence)?;
        Ok(match access {
            Some(access) => DataPlace::Server(Arc::new(RegistryServer(access))),
            None => DataPlace::File(SqliteFile::at(data.join("plugins.db"))),
        })
    }

    fn storage(self, settings: StorageSettings, work: Handle) -> PluginStorage {
        let data = match self {
            DataPlace::Server(server) => {
                PluginData::Postgres(PostgresConnections::new(server, settings.connections, work))
            }
            DataPlace::File(file) => PluginData::Sqlite(file),
        };
        PluginStorage::new(data, settings.limits)
    }
}
