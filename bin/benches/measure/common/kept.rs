//! Places where plugins keep what is theirs, in this process: a file, and a real PostgreSQL with a registry's tables.

use camlock_embed::RegistryServer;
use camlock_services::{PostgresServer, SqliteFile};
use camlock_testing::{Postgres, Site};
use std::sync::Arc;

/// A registry in PostgreSQL, in the schema `camlock`.
pub struct Registry {
    pub postgres: Postgres,
    pub url: String,
}

impl Registry {
    pub fn new() -> Self {
        let postgres = Postgres::start();
        let url = postgres.database();
        // A server makes the tables.
        let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
        let server = site.start_with(|command| {
            command.args(["--database-url", &url]);
        });
        server.until_status("/_/ready", 200);
        server.end();
        Registry { postgres, url }
    }

    /// Has it look after what is on the disk, and its tables, as where it is not for tests.
    pub fn settle_down(&self) {
        for setting in ["fsync", "full_page_writes", "autovacuum"] {
            self.postgres.sql(&self.url, &format!("ALTER SYSTEM SET {setting} = on"));
        }
        self.postgres.sql(&self.url, "ALTER SYSTEM SET autovacuum_naptime = 1");
        self.postgres.sql(&self.url, "SELECT pg_reload_conf()");
    }

    pub fn server(&self) -> Arc<dyn PostgresServer> {
        Arc::new(RegistryServer::of(&self.url, "camlock").expect("a URL").expect("PostgreSQL"))
    }
}

/// A file in a directory that goes with it.
pub fn file() -> (tempfile::TempDir, SqliteFile) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = SqliteFile::at(directory.path().join("plugins.db"));
    (directory, file)
}
