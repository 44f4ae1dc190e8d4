//! Migrations on SQLite: each in a transaction, which is committed together with its record.

use super::{FencedConnection, catalog};
use crate::database::{
    MigrationError,
    names::TableNames,
    plan::{Applied, checksum},
};
use camlock_policy::migrations::MigrationFile;
use rusqlite::{Connection, TransactionBehavior};
use std::time::Duration;

/// Makes the record of migrations, where it is not there.
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
        ) WITHOUT ROWID",
    )
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

/// Runs a migration, unless it has run. Afterwards it has run as a whole and is on record, or nothing of it has.
pub fn migrate(
    connection: &mut FencedConnection,
    plugin: &str,
    file: &MigrationFile,
    within: Duration,
) -> Result<(), MigrationError> {
    let names = TableNames::of(plugin);
    // SQLite lets one connection write: whoever comes second finds the record of the first.
    let begun = connection.as_host().execute_batch("BEGIN IMMEDIATE");
    begun.map_err(|error| MigrationError::Unavailable(format!("SQLite cannot write: {error}")))?;
    let done = run(connection, plugin, &names, file, within);
    let ended = match &done {
        Ok(()) => connection.as_host().execute_batch("COMMIT"),
        Err(_) => Ok(()),
    };
    if !connection.as_host().is_autocommit() {
        let _ = connection.as_host().execute_batch("ROLLBACK");
    }
    done?;
    ended.map_err(|error| failed(file, &error))
}

fn run(
    connection: &mut FencedConnection,
    plugin: &str,
    names: &TableNames,
    file: &MigrationFile,
    within: Duration,
) -> Result<(), MigrationError> {
    let sum = checksum(&file.text);
    let on_record = |error: rusqlite::Error| MigrationError::Unavailable(format!("`_plugin_migrations`: {error}"));
    let known = applied(connection.as_host(), plugin).map_err(on_record)?;
    if let Some(known) = known.iter().find(|known| known.number == file.number) {
        if known.checksum == sum && known.name == file.name {
            return Ok(());
        }
        let (called, number) = (file.file_name(), file.number);
        return Err(MigrationError::Refused(format!(
            "`migrations/{called}` is not what has run as number {number:04}"
        )));
    }
    let before = catalog::others(connection.as_host(), names).map_err(|error| failed(file, &error))?;
    connection
        .as_migration(names, within, |connection| connection.execute_batch(&file.text))
        .map_err(|error| failed(file, &error))?;
    let escaped = |what| MigrationError::Escaped { file: file.file_name(), what };
    let escape = catalog::escape(connection.as_host(), names, &before).map_err(|error| failed(file, &error))?;
    if let Some(what) = escape {
        return Err(escaped(what));
    }
    // A view that cannot be read would be in the way of every other plugin's `ALTER TABLE`.
    for (kind, name) in catalog::own(connection.as_host(), names).map_err(|error| failed(file, &error))? {
        if kind == "view" {
            let select = format!("SELECT * FROM \"{name}\"");
            connection
                .as_plugin(names, within, |connection| connection.prepare(&select).map(drop))
                .map_err(|error| escaped(format!("its view `{name}` cannot be read by the plugin: {error}")))?;
        }
    }
    let record =
        "INSERT INTO _plugin_migrations (plugin, number, name, checksum, contracts) VALUES (?1, ?2, ?3, ?4, ?5)";
    let row = (plugin, file.number, &file.name, sum, file.contracts());
    connection.as_host().execute(record, row).map(drop).map_err(on_record)
}

fn failed(file: &MigrationFile, error: &rusqlite::Error) -> MigrationError {
    MigrationError::Failed { file: file.file_name(), why: error.to_string() }
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
