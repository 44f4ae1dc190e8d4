//! What plugins keep, put together: the place where it lies, and the services over it.
//!
//! What must not live here: what is kept there.

use crate::Options;
use camlock_policy::BoxFuture;
use camlock_services::{
    Login, PluginData, PluginStorage, PostgresConnections, PostgresLink, PostgresServer, SqliteFile, StorageLimits,
};
use camlock_store::PostgresAccess;
use std::{path::Path, sync::Arc};
use tokio::runtime::Handle;

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

    fn schema(&self) -> &str {
        self.0.schema()
    }
}

/// What plugins keep: beside the registry in PostgreSQL, or in a file of its own in the data directory.
pub(crate) fn storage(options: &Options, data: &Path, work: Handle) -> Result<PluginStorage, String> {
    let registry = &options.registry;
    let access = PostgresAccess::of(&registry.url(data), &registry.schema).map_err(|trouble| trouble.sentence)?;
    let place = match access {
        Some(access) => {
            let server = Arc::new(RegistryServer(access));
            PluginData::Postgres(PostgresConnections::new(server, options.storage.connections, work))
        }
        None => PluginData::Sqlite(SqliteFile::at(data.join("plugins.db"))),
    };
    Ok(PluginStorage::new(place, options.storage.limits))
}
