//! Databases to keep values in.

use camlock_policy::BoxFuture;
use camlock_services::{
    Login, PluginData, PluginStorage, PostgresConnections, PostgresLink, PostgresServer, SqliteFile, StorageLimits,
};
use camlock_testing::Postgres;
use std::{str::FromStr, sync::Arc};
use tokio::runtime::Handle;
use tokio_postgres::{Config, NoTls};

struct Server(Config);

impl PostgresServer for Server {
    fn connect(&self, _: Option<Login>) -> BoxFuture<Result<PostgresLink, String>> {
        let config = self.0.clone();
        Box::pin(async move {
            let (client, mut connection) = config.connect(NoTls).await.map_err(|error| error.to_string())?;
            let messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
            Ok(PostgresLink { client, messages: Box::pin(messages) })
        })
    }

    fn url(&self, login: &Login) -> String {
        format!("postgres://{}:{}@localhost", login.role, login.password)
    }

    fn schema(&self) -> &str {
        "public"
    }
}

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
                let server = Arc::new(Server(Config::from_str(url).unwrap()));
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
