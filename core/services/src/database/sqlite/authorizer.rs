//! A connection on which the SQL of plugins runs: what it may do, and for how long.

use crate::database::names::TableNames;
use parking_lot::Mutex;
use rusqlite::{
    Connection,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// A connection to the file of plugins' tables.
pub struct FencedConnection {
    connection: Connection,
    whose: Arc<Mutex<Whose>>,
    names: Mutex<KnownNames>,
}

/// The names in the catalog, small, as of a version of it.
#[derive(Default)]
struct KnownNames {
    version: i64,
    all: Arc<BTreeSet<String>>,
}

impl std::fmt::Debug for FencedConnection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FencedConnection").field("whose", &*self.whose.lock()).finish_non_exhaustive()
    }
}

/// Whose SQL runs now.
#[derive(Clone, Debug)]
enum Whose {
    /// The host's, which may do anything.
    Host,
    /// That of a plugin, until then.
    Plugin { may: Permitted, until: Instant },
}

/// What a plugin's SQL may do.
#[derive(Clone, Debug)]
struct Permitted {
    names: TableNames,
    /// Whether it may make and change tables.
    migrates: bool,
    /// What there is, by whatever name.
    there: Arc<BTreeSet<String>>,
}

/// A connection while it is a plugin's.
#[derive(Debug)]
pub struct AsPlugin<'a> {
    connection: &'a Connection,
    whose: &'a Mutex<Whose>,
}

impl std::ops::Deref for AsPlugin<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl AsPlugin<'_> {
    /// Waits for something else than the database: that does not count as the statement's time.
    pub fn not_counting<T>(&self, wait: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = wait();
        if let Whose::Plugin { until, .. } = &mut *self.whose.lock() {
            *until += began.elapsed();
        }
        done
    }
}

/// Takes the connection back from a plugin, however its work ends.
struct Lent<'a>(&'a Mutex<Whose>);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        *self.0.lock() = Whose::Host;
    }
}

/// So many steps of SQLite's machine pass between two looks at the clock: well below a millisecond.
const STEPS: i32 = 2_000;

/// A value, or a row, may have so many bytes.
const MOST_BYTES: i32 = 64 << 20;

impl FencedConnection {
    /// Takes over a connection that nobody else uses.
    pub fn new(connection: Connection) -> rusqlite::Result<Self> {
        let whose = Arc::new(Mutex::new(Whose::Host));
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        for (limit, most) in [
            (Limit::SQLITE_LIMIT_LENGTH, MOST_BYTES),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, (1 << 20) + 1024),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 50),
            (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            connection.set_limit(limit, most)?;
        }
        let theirs = whose.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| match &*theirs.lock() {
            Whose::Host => Authorization::Allow,
            Whose::Plugin { may, .. } if may.permits(&context) => Authorization::Allow,
            Whose::Plugin { .. } => Authorization::Deny,
        }))?;
        let theirs = whose.clone();
        connection.progress_handler(
            STEPS,
            Some(move || matches!(&*theirs.lock(), Whose::Plugin { until, .. } if Instant::now() >= *until)),
        )?;
        Ok(FencedConnection { connection, whose, names: Mutex::default() })
    }

    /// The connection, for the host's own statements: a transaction's begin and end among them.
    pub fn as_host(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Work in which every statement that is prepared is the plugin's: it reaches rows of its own tables alone. What is not done
    /// after `within` is interrupted.
    pub fn as_plugin<T>(
        &self,
        names: &TableNames,
        within: Duration,
        work: impl FnOnce(&AsPlugin<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.lend(names, false, within, work)
    }

    /// The same, with the right to make and change tables. The caller looks at the catalog before it commits.
    pub(super) fn as_migration<T>(
        &self,
        names: &TableNames,
        within: Duration,
        work: impl FnOnce(&AsPlugin<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.lend(names, true, within, work)
    }

    fn lend<T>(
        &self,
        names: &TableNames,
        migrates: bool,
        within: Duration,
        work: impl FnOnce(&AsPlugin<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let may = Permitted { names: names.clone(), migrates, there: self.known_names()? };
        *self.whose.lock() = Whose::Plugin { may, until: Instant::now() + within };
        let _lent = Lent(&self.whose);
        work(&AsPlugin { connection: &self.connection, whose: &self.whose })
    }

    /// The names in the catalog, read again when it changed.
    fn known_names(&self) -> rusqlite::Result<Arc<BTreeSet<String>>> {
        let version = self.connection.pragma_query_value(None, "schema_version", |row| row.get(0))?;
        let mut known = self.names.lock();
        if known.version != version || known.all.is_empty() {
            let mut read = self.connection.prepare("SELECT lower(name) FROM main.sqlite_schema")?;
            let all: rusqlite::Result<BTreeSet<String>> = read.query_map([], |row| row.get(0))?.collect();
            *known = KnownNames { version, all: Arc::new(all?) };
        }
        Ok(known.all.clone())
    }
}

/// Functions that reach beyond the database, or into SQLite itself.
const FORBIDDEN: [&str; 6] =
    ["load_extension", "fts3_tokenizer", "sqlite_log", "sqlite_compileoption_get", "sqlite_compileoption_used", "edit"];

/// What plugins may know of others.
const KNOWN_PLUGINS: &str = "camlock_plugins";

/// Tables that are functions of what they are given.
const TABLES_OF_JSON: [&str; 4] = ["json_each", "json_tree", "jsonb_each", "jsonb_tree"];

impl Permitted {
    /// Whether a plugin's statement may do this.
    fn permits(&self, context: &AuthContext<'_>) -> bool {
        let (names, migrates) = (&self.names, self.migrates);
        let is_main = context.database_name.is_none_or(|database| database.eq_ignore_ascii_case("main"));
        match context.action {
            // `temp` would be the session's, which others have after this one. SQLite looks into it when it renames.
            AuthAction::Read { table_name: "sqlite_temp_master", .. }
            | AuthAction::Update { table_name: "sqlite_temp_master", .. } => migrates,
            // What stands where the database does for others is a column here.
            AuthAction::AlterTable { database_name, table_name } => {
                migrates && database_name.eq_ignore_ascii_case("main") && names.owns(table_name)
            }
            _ if !is_main => false,
            AuthAction::Select | AuthAction::Recursive => true,
            AuthAction::Function { function_name } => {
                !FORBIDDEN.iter().any(|forbidden| function_name.eq_ignore_ascii_case(forbidden))
            }
            AuthAction::Read { table_name, column_name } => {
                names.owns(table_name)
                    || table_name == KNOWN_PLUGINS
                    || TABLES_OF_JSON.contains(&table_name)
                    || column_name.is_empty() && self.is_of_the_statement(table_name)
                    || migrates && is_read_to_change(table_name)
            }
            AuthAction::Insert { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Delete { table_name } => names.owns(table_name) || migrates && is_catalog(table_name),
            // SQLite itself makes the table of counters, with the first `AUTOINCREMENT`; it lets nobody else make one of that name.
            AuthAction::CreateTable { table_name: "sqlite_sequence" } => migrates,
            AuthAction::CreateTable { table_name } | AuthAction::DropTable { table_name } => {
                migrates && names.owns(table_name)
            }
            AuthAction::CreateView { view_name } | AuthAction::DropView { view_name } => {
                migrates && names.owns(view_name)
            }
            AuthAction::CreateIndex { index_name, table_name } | AuthAction::DropIndex { index_name, table_name } => {
                migrates && (names.owns(index_name) || is_of_a_key(index_name)) && names.owns(table_name)
            }
            AuthAction::Reindex { index_name } => migrates && (names.owns(index_name) || is_of_a_key(index_name)),
            // `ALTER TABLE … ADD COLUMN` looks whether what is there fits.
            AuthAction::Pragma { pragma_name, .. } => migrates && pragma_name.eq_ignore_ascii_case("quick_check"),
            // No transactions but the host's, no triggers, no virtual tables, no other files, no settings; and what is not known.
            _ => false,
        }
    }

    /// Whether this is a name that the statement itself gave, by `WITH`: SQLite asks for those too, if no column of theirs is used.
    fn is_of_the_statement(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let of_sqlite = ["pragma_", "sqlite_", "dbstat", "bytecode", "tables_used", "fts", "rtree"];
        !self.there.contains(&name) && !of_sqlite.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// An index that SQLite made for a key.
fn is_of_a_key(index: &str) -> bool {
    index.starts_with("sqlite_autoindex_")
}

/// What SQLite itself changes when a table is made or changed. A plugin that names one of them in a statement of its own is refused
/// by SQLite, or found out by the look at the catalog.
fn is_catalog(table: &str) -> bool {
    table == "sqlite_master" || table == "sqlite_sequence" || table.starts_with("sqlite_stat")
}

fn is_read_to_change(table: &str) -> bool {
    is_catalog(table) || table == "pragma_quick_check"
}
