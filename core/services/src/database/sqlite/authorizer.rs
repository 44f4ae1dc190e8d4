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
    sync::Arc,
    time::{Duration, Instant},
};

/// A connection to the file of plugins' tables.
pub struct PluginConnection {
    connection: Connection,
    whose: Arc<Mutex<Whose>>,
}

impl std::fmt::Debug for PluginConnection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PluginConnection").field("whose", &*self.whose.lock()).finish_non_exhaustive()
    }
}

/// Whose SQL runs now.
#[derive(Clone, Debug)]
enum Whose {
    /// The host's, which may do anything.
    Host,
    /// That of a plugin, until then.
    Plugin { names: TableNames, migrates: bool, until: Instant },
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

impl PluginConnection {
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
            Whose::Plugin { names, migrates, .. } if may(&context, names, *migrates) => Authorization::Allow,
            Whose::Plugin { .. } => Authorization::Deny,
        }))?;
        let theirs = whose.clone();
        connection.progress_handler(
            STEPS,
            Some(move || matches!(&*theirs.lock(), Whose::Plugin { until, .. } if Instant::now() >= *until)),
        )?;
        Ok(PluginConnection { connection, whose })
    }

    /// The connection, for the host's own statements: a transaction's begin and end among them.
    pub fn as_host(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Work in which every statement that is prepared is the plugin's: it reaches rows of its own tables alone. What is not done
    /// after `within` is interrupted.
    pub fn as_plugin<T>(&self, names: &TableNames, within: Duration, work: impl FnOnce(&Connection) -> T) -> T {
        self.lend(names, false, within, work)
    }

    /// The same, with the right to make and change tables. The caller looks at the catalog before it commits.
    pub(super) fn as_migration<T>(
        &self,
        names: &TableNames,
        within: Duration,
        work: impl FnOnce(&Connection) -> T,
    ) -> T {
        self.lend(names, true, within, work)
    }

    fn lend<T>(
        &self,
        names: &TableNames,
        migrates: bool,
        within: Duration,
        work: impl FnOnce(&Connection) -> T,
    ) -> T {
        let until = Instant::now() + within;
        *self.whose.lock() = Whose::Plugin { names: names.clone(), migrates, until };
        let _lent = Lent(&self.whose);
        work(&self.connection)
    }
}

/// Functions that reach beyond the database, or into SQLite itself.
const FORBIDDEN: [&str; 6] =
    ["load_extension", "fts3_tokenizer", "sqlite_log", "sqlite_compileoption_get", "sqlite_compileoption_used", "edit"];

/// Tables that are functions of what they are given.
const TABLES_OF_JSON: [&str; 4] = ["json_each", "json_tree", "jsonb_each", "jsonb_tree"];

/// Whether a plugin's statement may do this.
fn may(context: &AuthContext<'_>, names: &TableNames, migrates: bool) -> bool {
    if context.database_name.is_some_and(|database| !database.eq_ignore_ascii_case("main")) {
        // `temp` would be the session's, which others have after this one.
        return false;
    }
    match context.action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => {
            !FORBIDDEN.iter().any(|forbidden| function_name.eq_ignore_ascii_case(forbidden))
        }
        AuthAction::Read { table_name, .. } => {
            names.owns(table_name) || TABLES_OF_JSON.contains(&table_name) || migrates && is_read_to_change(table_name)
        }
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => names.owns(table_name) || migrates && is_catalog(table_name),
        AuthAction::CreateTable { table_name }
        | AuthAction::DropTable { table_name }
        | AuthAction::AlterTable { table_name, .. } => migrates && names.owns(table_name),
        AuthAction::CreateView { view_name } | AuthAction::DropView { view_name } => migrates && names.owns(view_name),
        AuthAction::CreateIndex { index_name, table_name } | AuthAction::DropIndex { index_name, table_name } => {
            let is_named = names.owns(index_name) || catalog_made(index_name);
            migrates && is_named && names.owns(table_name)
        }
        AuthAction::Reindex { index_name } => migrates && (names.owns(index_name) || catalog_made(index_name)),
        // `ALTER TABLE … ADD COLUMN` looks whether what is there fits.
        AuthAction::Pragma { pragma_name, .. } => migrates && pragma_name.eq_ignore_ascii_case("quick_check"),
        // No transactions but the host's, no triggers, no virtual tables, no other files, no settings; and what is not known.
        _ => false,
    }
}

/// An index that SQLite made for a key.
fn catalog_made(index: &str) -> bool {
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
