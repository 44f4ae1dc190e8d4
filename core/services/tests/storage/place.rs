//! Databases to keep values in.

use crate::server::TestServer;
use camlock_services::{PluginData, PluginStorage, PostgresConnections, SqliteFile, StorageLimits};
use camlock_testing::Postgres;
use std::sync::Arc;
use tokio::runtime::Handle;

/// A database, and whatever it needs to be there.
pub enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(String),
}

impl Place {
    pub fn sqlite() -> Self {
        Place::Sqlite(tempfile::tempdir().unwrap())
    }

    pub fn postgres() -> Self {
        let postgres = Postgres::shared();
        let url = postgres.database();
        postgres.sql(&url, include_str!("../../../../migrations/postgres/2026-11-29-000003_storage/up.sql"));
        Place::Postgres(url)
    }

    /// As one more server sees it.
    pub fn open(&self, limits: StorageLimits) -> PluginStorage {
        let data = match self {
            Place::Sqlite(directory) => PluginData::Sqlite(SqliteFile::at(directory.path().join("plugins.db"))),
            Place::Postgres(url) => {
                let server = Arc::new(TestServer::new(url, "public"));
                PluginData::Postgres(PostgresConnections::new(server, 4, Handle::current()))
            }
        };
        PluginStorage::new(data, limits)
    }

    /// Has all connections broken, where there are any.
    pub fn cut(&self) {
        if let Place::Postgres(url) = self {
            let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE datname = current_database() AND pid <> pg_backend_pid()";
            Postgres::shared().sql(url, cut);
        }
    }
}
