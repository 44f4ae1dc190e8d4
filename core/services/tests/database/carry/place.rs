//! Databases to carry tables from and to.

use crate::{
    postgres::{CORE, TABLES, connect},
    server::TestServer,
};
use camlock_policy::{MigrationFile, SqlDialect};
use camlock_services::{SqliteFile, database::PluginTables};
use camlock_testing::Postgres;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio_postgres::Client;

/// A registry's database, whose host is its owner and no superuser.
pub(crate) struct OnServer {
    pub(crate) tables: PluginTables,
    /// A superuser's.
    pub(crate) client: Client,
    url: String,
}

impl OnServer {
    pub(crate) async fn new() -> Self {
        let url = Postgres::shared().database();
        let name = url.rsplit('/').next().unwrap();
        let client = connect(&url).await;
        let host = format!("CREATE ROLE host_{name} LOGIN CREATEROLE; ALTER DATABASE {name} OWNER TO host_{name}");
        client.batch_execute(&host).await.unwrap();
        client.batch_execute("SET search_path = camlock").await.unwrap();
        let host_url = url.replace("camlock@", &format!("host_{name}@"));
        let host = connect(&host_url).await;
        host.batch_execute(&format!("{CORE}; {TABLES}")).await.unwrap();
        let server = Arc::new(TestServer::new(&host_url, "camlock"));
        OnServer { tables: PluginTables::on_server(server, 4, Handle::current()), client, url }
    }

    /// A connection of the plugin's role for run time.
    pub(crate) async fn as_plugin(&self) -> Client {
        let role =
            self.one("SELECT replace(migrate, '_migrate', '_run') FROM _plugin_roles WHERE plugin = 'shop'").await;
        connect(&self.url.replace("camlock@", &format!("{role}@"))).await
    }

    pub(crate) async fn sql(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// One text.
    pub(crate) async fn one(&self, question: &str) -> String {
        let row = self.client.query_one(question, &[]).await.unwrap_or_else(|error| panic!("{question}: {error:?}"));
        row.get(0)
    }

    /// What there is of plugins.
    pub(crate) async fn left(&self) -> String {
        let question = "SELECT concat((SELECT count(*) FROM pg_class WHERE relname LIKE 'p\\_%\\_\\_%'), ' ', \
             (SELECT count(*) FROM _plugin_migrations), ' ', (SELECT count(*) FROM _plugin_roles), ' ', \
             (SELECT count(*) FROM _plugin_tickets))";
        self.one(question).await
    }
}

/// A file.
pub(crate) struct InFile {
    pub(crate) tables: PluginTables,
    directory: TempDir,
}

impl InFile {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = SqliteFile::at(directory.path().join("plugins.db"));
        InFile { tables: PluginTables::in_file(file, 4, Handle::current()), directory }
    }

    pub(crate) fn connection(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.directory.path().join("plugins.db")).unwrap()
    }

    pub(crate) fn sql(&self, sql: &str) {
        self.connection().execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// All rows, as SQLite writes its values, the tables and the record of migrations with them.
    pub(crate) fn rows(&self) -> Vec<String> {
        let connection = self.connection();
        let texts = |question: &str| {
            let mut read = connection.prepare(question).unwrap();
            let rows = read.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect::<Vec<String>>()
        };
        let mut all = texts("SELECT plugin || ' ' || number || ' ' || name FROM _plugin_migrations");
        for table in
            texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'p!_%' ESCAPE '!' ORDER BY 1")
        {
            let columns = texts(&format!("SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')"));
            let mut rows = texts(&format!("SELECT '{table}: ' || {} FROM {table}", columns.join(" || ' ' || ")));
            rows.sort();
            all.append(&mut rows);
        }
        all
    }
}

pub(crate) fn file(number: u32, dialect: Option<SqlDialect>, text: &str) -> MigrationFile {
    MigrationFile { number, name: "made".to_owned(), dialect, text: text.into() }
}

/// The same table in the words of each.
pub(crate) fn both(number: u32, sqlite: &str, postgres: &str) -> [MigrationFile; 2] {
    [file(number, Some(SqlDialect::Sqlite), sqlite), file(number, Some(SqlDialect::Postgres), postgres)]
}
