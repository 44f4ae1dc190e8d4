//! Migrations on SQLite: each in a transaction, which is committed together with its record.

use super::{FencedConnection, catalog};
use crate::database::{
    KnownPlugin, MigrationError, TableChange,
    names::TableNames,
    plan::{Applied, checksum, has_run},
};
use rusqlite::{Connection, TransactionBehavior};
use std::{collections::BTreeMap, time::Duration};

/// Makes the record of migrations, and what plugins may know of others, where that is not there.
pub fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS _plugin_migrations (
            plugin TEXT NOT NULL,
            number INTEGER NOT NULL,
            name TEXT NOT NULL,
            checksum TEXT NOT NULL,
            contracts INTEGER NOT NULL,
            applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
            PRIMARY KEY (plugin, number)
        ) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS camlock_plugins (
            name TEXT PRIMARY KEY,
            version TEXT NOT NULL,
            enabled INTEGER NOT NULL
        ) WITHOUT ROWID",
    )
}

/// Says what plugins there are, for those that may know: in PostgreSQL that is a view.
pub fn tell_plugins(connection: &mut Connection, known: &[KnownPlugin]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM camlock_plugins", [])?;
    {
        let mut insert = transaction.prepare("INSERT INTO camlock_plugins VALUES (?1, ?2, ?3)")?;
        for KnownPlugin { name, version, enabled } in known {
            insert.execute((name, version, enabled))?;
        }
    }
    transaction.commit()
}

/// What has run for a plugin, in order.
pub fn applied(connection: &Connection, plugin: &str) -> rusqlite::Result<Vec<Applied>> {
    let mut read = connection.prepare(
        "SELECT number, name, checksum, contracts FROM _plugin_migrations WHERE plugin = ?1 ORDER BY number",
    )?;
    let rows = read.query_map([plugin], |row| {
        Ok(Applied { number: row.get(0)?, name: row.get(1)?, checksum: row.get(2)?, contracts: row.get(3)? })
    })?;
    rows.collect()
}

/// What has run for all plugins that have any.
pub(in crate::database) fn all_applied(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Vec<Applied>>> {
    let mut read = connection.prepare("SELECT DISTINCT plugin FROM _plugin_migrations")?;
    let plugins: rusqlite::Result<Vec<String>> = read.query_map([], |row| row.get(0))?.collect();
    plugins?.into_iter().map(|plugin| applied(connection, &plugin).map(|applied| (plugin, applied))).collect()
}

/// Runs a change, unless it is a migration that has run. Afterwards it has run as a whole and is on record, or nothing of it has.
pub fn migrate(
    connection: &mut FencedConnection,
    plugin: &str,
    change: &TableChange,
    within: Duration,
) -> Result<(), MigrationError> {
    let names = TableNames::of(plugin);
    // SQLite lets one connection write: whoever comes second finds the record of the first.
    let begun = connection.as_host().execute_batch("BEGIN IMMEDIATE");
    begun.map_err(|error| MigrationError::Unavailable(format!("SQLite cannot write: {error}")))?;
    let done = run(connection, plugin, &names, change, within);
    let ended = match &done {
        Ok(()) => connection.as_host().execute_batch("COMMIT"),
        Err(_) => Ok(()),
    };
    if !connection.as_host().is_autocommit() {
        let _ = connection.as_host().execute_batch("ROLLBACK");
    }
    done?;
    ended.map_err(|error| failed(change, &error))
}

fn run(
    connection: &mut FencedConnection,
    plugin: &str,
    names: &TableNames,
    change: &TableChange,
    within: Duration,
) -> Result<(), MigrationError> {
    let on_record = |error: rusqlite::Error| MigrationError::Unavailable(format!("`_plugin_migrations`: {error}"));
    if let Some(file) = change.file() {
        let known = applied(connection.as_host(), plugin).map_err(on_record)?;
        if has_run(file, &known)? {
            return Ok(());
        }
    }
    let failed = |error: rusqlite::Error| failed(change, &error);
    let before = catalog::others(connection.as_host(), names).map_err(failed)?;
    connection.as_migration(names, within, |connection| connection.execute_batch(change.text())).map_err(failed)?;
    let escaped = |what| MigrationError::Escaped { change: change.to_string(), what };
    let escape = catalog::escape(connection.as_host(), names, &before).map_err(failed)?;
    if let Some(what) = escape {
        return Err(escaped(what));
    }
    // A view that cannot be read would be in the way of every other plugin's `ALTER TABLE`.
    for (kind, name) in catalog::own(connection.as_host(), names).map_err(failed)? {
        if kind == "view" {
            let select = format!("SELECT * FROM \"{name}\"");
            connection
                .as_plugin(names, within, |connection| connection.prepare(&select).map(drop))
                .map_err(|error| escaped(format!("its view `{name}` cannot be read by the plugin: {error}")))?;
        }
    }
    let Some(file) = change.file() else { return Ok(()) };
    let record =
        "INSERT INTO _plugin_migrations (plugin, number, name, checksum, contracts) VALUES (?1, ?2, ?3, ?4, ?5)";
    let row = (plugin, file.number, &file.name, checksum(&file.text), file.contracts());
    connection.as_host().execute(record, row).map(drop).map_err(on_record)
}

fn failed(change: &TableChange, error: &rusqlite::Error) -> MigrationError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, SystemIoFailure};
    if let Some(DatabaseBusy | DatabaseLocked | DiskFull | OutOfMemory | SystemIoFailure) = error.sqlite_error_code() {
        return MigrationError::Unavailable(format!("SQLite: {error}"));
    }
    MigrationError::Failed { change: change.to_string(), why: error.to_string() }
}

/// Drops all tables of a plugin, and the record of its migrations.
pub fn drop_tables(connection: &mut FencedConnection, plugin: &str) -> rusqlite::Result<()> {
    let names = TableNames::of(plugin);
    let transaction = connection.as_host().transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "defer_foreign_keys", true)?;
    for (kind, name) in catalog::own(&transaction, &names)? {
        transaction.execute_batch(&format!("DROP {kind} \"{name}\""))?;
    }
    transaction.execute("DELETE FROM _plugin_migrations WHERE plugin = ?1", [plugin])?;
    transaction.commit()
}
