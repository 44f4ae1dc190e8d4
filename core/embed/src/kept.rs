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

/// What plugins keep beside the registry of these options.
pub(crate) fn storage(options: &Options, data: &Path, work: Handle) -> Result<PluginStorage, String> {
    beside(&options.registry.url(data), &options.registry.schema, data, options.storage, work)
}

/// Carries all that plugins keep along with a registry that was copied: how many values that were. Of a registry in SQLite it lies
/// in this data directory.
pub async fn carry_what_plugins_keep(from: &str, to: &str, schema: &str, data: &Path) -> Result<u64, String> {
    let place = |url| beside(url, schema, data, StorageSettings::default(), Handle::current());
    let is_file = |url: &str| url.starts_with("sqlite:");
    if is_file(from) && is_file(to) {
        // It is one file, and stays where it is.
        return Ok(0);
    }
    if is_file(from) && !data.join("plugins.db").exists() {
        return Ok(0);
    }
    camlock_services::carry_values(&place(from)?, &place(to)?).await.map_err(|error| error.message)
}

/// What plugins keep: in the registry's schema in PostgreSQL, or in a file of its own in the data directory.
fn beside(
    url: &str,
    schema: &str,
    data: &Path,
    settings: StorageSettings,
    work: Handle,
) -> Result<PluginStorage, String> {
    let access = PostgresAccess::of(url, schema).map_err(|trouble| trouble.sentence)?;
    let place = match access {
        Some(access) => {
            let server = Arc::new(RegistryServer(access));
            PluginData::Postgres(PostgresConnections::new(server, settings.connections, work))
        }
        None => PluginData::Sqlite(SqliteFile::at(data.join("plugins.db"))),
    };
    Ok(PluginStorage::new(place, settings.limits))
}
