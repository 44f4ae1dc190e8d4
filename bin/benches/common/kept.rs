//! Places where plugins keep what is theirs, in this process: a file, and a real PostgreSQL with a registry's tables.

use camlock_policy::BoxFuture;
use camlock_services::{Login, PostgresLink, PostgresServer, SqliteFile};
use camlock_store::PostgresAccess;
use camlock_testing::{Postgres, Site};
use std::sync::Arc;

/// A registry in PostgreSQL, in the schema `camlock`.
pub struct Registry {
    pub postgres: Postgres,
    pub url: String,
}

struct Server(PostgresAccess);

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

    pub fn server(&self) -> Arc<dyn PostgresServer> {
        let access = PostgresAccess::of(&self.url, "camlock").expect("a URL").expect("PostgreSQL");
        Arc::new(Server(access))
    }
}

impl PostgresServer for Server {
    fn connect(&self, login: Option<Login>) -> BoxFuture<Result<PostgresLink, String>> {
        let access = self.0.clone();
        Box::pin(async move {
            let login = login.as_ref().map(|login| (login.role.as_str(), login.password.as_str()));
            let (client, messages) = access.connect(login).await.map_err(|trouble| trouble.sentence)?;
            Ok(PostgresLink { client, messages })
        })
    }

    fn url(&self, login: &Login) -> String {
        self.0.url(&login.role, &login.password)
    }

    fn schema(&self) -> &str {
        self.0.schema()
    }
}

/// A file in a directory that goes with it.
pub fn file() -> (tempfile::TempDir, SqliteFile) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = SqliteFile::at(directory.path().join("plugins.db"));
    (directory, file)
}
