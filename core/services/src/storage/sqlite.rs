//! Values in SQLite. What must not live here: what a write comes to (`plan.rs`).

use super::{
    KeptKey, KeptValue, PAGE_BYTES, StorageAct, StorageChange, StorageLimits, StoragePage, StorageQuery,
    plan::{self, Ledger, MOST_GONE, Present, REMEMBERED},
    watching::CHANGES,
};
use crate::data::unavailable;
use bytes::Bytes;
use camlock_policy::AskError;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::collections::HashMap;

/// A deleted key stays for a while, without a value, for those who watch.
pub(crate) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS plugin_storage (
        plugin TEXT NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL, value BLOB, expires INTEGER,
        PRIMARY KEY (plugin, key)
    );
    CREATE INDEX IF NOT EXISTS plugin_storage_revision ON plugin_storage (plugin, revision);
    CREATE INDEX IF NOT EXISTS plugin_storage_expires ON plugin_storage (plugin, expires) WHERE expires IS NOT NULL;
    CREATE TABLE IF NOT EXISTS plugin_storage_use (
        plugin TEXT PRIMARY KEY, keys INTEGER NOT NULL, bytes INTEGER NOT NULL, revision INTEGER NOT NULL,
        gone INTEGER NOT NULL, swept INTEGER NOT NULL
    );
";

fn number(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn begin(connection: &mut Connection) -> Result<Transaction<'_>, AskError> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)
}

/// What is counted of a plugin.
pub(super) fn ledger(connection: &Connection, plugin: &str) -> Result<Ledger, AskError> {
    let sql = "SELECT keys, bytes, revision, gone, swept FROM plugin_storage_use WHERE plugin = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let found = statement.query_row([plugin], |row| {
        Ok(Ledger {
            keys: row.get(0)?,
            bytes: row.get(1)?,
            revision: row.get(2)?,
            gone: row.get(3)?,
            swept: row.get(4)?,
        })
    });
    Ok(found.optional().map_err(unavailable)?.unwrap_or_default())
}

fn keep_ledger(connection: &Connection, plugin: &str, ledger: &Ledger) -> Result<(), AskError> {
    let sql = "INSERT INTO plugin_storage_use VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (plugin) DO UPDATE SET \
               keys = ?2, bytes = ?3, revision = ?4, gone = ?5, swept = ?6";
    let Ledger { keys, bytes, revision, gone, swept } = ledger;
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    statement.execute(params![plugin, keys, bytes, revision, gone, swept]).map(drop).map_err(unavailable)
}

pub(super) fn get(connection: &Connection, plugin: &str, key: &str, now: i64) -> Result<Option<KeptValue>, AskError> {
    let sql = "SELECT value, revision, expires FROM plugin_storage WHERE plugin = ?1 AND key = ?2 AND value IS NOT NULL \
               AND (expires IS NULL OR expires > ?3)";
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let found = statement.query_row(params![plugin, key, now], |row| {
        let bytes = Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?);
        Ok(KeptValue { bytes, revision: number(row.get(1)?), expires: row.get::<_, Option<i64>>(2)?.map(number) })
    });
    found.optional().map_err(unavailable)
}

pub(super) fn write(
    connection: &mut Connection,
    plugin: &str,
    acts: &[StorageAct],
    limits: StorageLimits,
    now: i64,
) -> Result<Vec<u64>, AskError> {
    let transaction = begin(connection)?;
    let ledger = ledger(&transaction, plugin)?;
    let mut present = HashMap::new();
    {
        let sql = "SELECT revision, length(value), expires FROM plugin_storage WHERE plugin = ?1 AND key = ?2";
        let mut statement = transaction.prepare_cached(sql).map_err(unavailable)?;
        for act in acts {
            let found = statement.query_row(params![plugin, act.key], |row| {
                Ok(Present { revision: row.get(0)?, size: row.get(1)?, expires: row.get(2)? })
            });
            if let Some(found) = found.optional().map_err(unavailable)? {
                present.insert(act.key.clone(), found);
            }
        }
    }
    let planned = plan::plan(ledger, &present, acts, limits, now)?;
    if planned.rows.is_empty() {
        return Ok(planned.revisions);
    }
    {
        let sql = "INSERT INTO plugin_storage VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (plugin, key) DO UPDATE SET \
                   revision = ?3, value = ?4, expires = ?5";
        let mut statement = transaction.prepare_cached(sql).map_err(unavailable)?;
        for row in &planned.rows {
            let value = row.value.as_deref();
            statement.execute(params![plugin, row.key, row.revision, value, row.expires]).map_err(unavailable)?;
        }
    }
    keep_ledger(&transaction, plugin, &planned.ledger)?;
    transaction.commit().map_err(unavailable)?;
    Ok(planned.revisions)
}

pub(super) fn list(
    connection: &Connection,
    plugin: &str,
    query: &StorageQuery,
    now: i64,
) -> Result<StoragePage, AskError> {
    // Keys that begin so lie together: the first that does not is the end.
    let sql = "SELECT key, revision, length(value), expires, CASE WHEN ?5 THEN value END FROM plugin_storage \
               WHERE plugin = ?1 AND key >= ?2 AND key > ?3 AND value IS NOT NULL AND (expires IS NULL OR expires > ?4) \
               ORDER BY key";
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let after = query.after.as_deref().unwrap_or_default();
    let mut rows = statement.query(params![plugin, query.prefix, after, now, query.values]).map_err(unavailable)?;
    let (mut page, mut bytes) = (StoragePage::default(), 0);
    while let Some(row) = rows.next().map_err(unavailable)? {
        let read = || {
            let value = row.get_ref(4)?.as_blob_or_null()?.map(Bytes::copy_from_slice);
            let (size, expires): (i64, Option<i64>) = (row.get(2)?, row.get(3)?);
            let (size, expires) = (number(size), expires.map(number));
            Ok(KeptKey { key: row.get(0)?, revision: number(row.get(1)?), size, expires, value })
        };
        let key: KeptKey = read().map_err(|error: rusqlite::Error| unavailable(error))?;
        if !key.key.starts_with(&query.prefix) {
            break;
        }
        if page.keys.len() == query.most || bytes > PAGE_BYTES {
            page.next = page.keys.last().map(|last| last.key.clone());
            break;
        }
        bytes += key.value.as_ref().map_or(0, Bytes::len);
        page.keys.push(key);
    }
    Ok(page)
}

pub(super) fn changes(
    connection: &Connection,
    plugin: &str,
    prefix: &str,
    after: u64,
) -> Result<Vec<StorageChange>, AskError> {
    let sql = "SELECT key, revision, value IS NULL FROM plugin_storage WHERE plugin = ?1 AND revision > ?2 \
               AND substr(key, 1, length(?3)) = ?3 ORDER BY revision LIMIT ?4";
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![plugin, after, prefix, CHANGES], |row| {
        Ok(StorageChange { key: row.get(0)?, revision: number(row.get(1)?), deleted: row.get(2)? })
    });
    rows.and_then(|rows| rows.collect()).map_err(unavailable)
}

/// Plugins of which something has expired.
pub(super) fn with_expired(connection: &Connection, now: i64) -> Result<Vec<String>, AskError> {
    let sql = "SELECT DISTINCT plugin FROM plugin_storage WHERE expires <= ?1 AND value IS NOT NULL";
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let rows = statement.query_map([now], |row| row.get(0));
    rows.and_then(|rows| rows.collect()).map_err(unavailable)
}

pub(super) fn sweep(connection: &mut Connection, plugin: &str, now: i64) -> Result<bool, AskError> {
    let transaction = begin(connection)?;
    let mut ledger = ledger(&transaction, plugin)?;
    let sql = "SELECT key, length(value) FROM plugin_storage WHERE plugin = ?1 AND expires <= ?2 AND value IS NOT NULL \
               ORDER BY expires LIMIT 1000";
    let expired: Vec<(String, i64)> = {
        let mut statement = transaction.prepare_cached(sql).map_err(unavailable)?;
        let rows = statement.query_map(params![plugin, now], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.and_then(|rows| rows.collect()).map_err(unavailable)?
    };
    for (key, size) in &expired {
        ledger.revision += 1;
        ledger.keys -= 1;
        ledger.gone += 1;
        ledger.bytes -= size + i64::try_from(key.len()).unwrap_or(0);
        let sql = "UPDATE plugin_storage SET value = NULL, revision = ?3, expires = ?4 WHERE plugin = ?1 AND key = ?2";
        let mut statement = transaction.prepare_cached(sql).map_err(unavailable)?;
        statement.execute(params![plugin, key, ledger.revision, now + REMEMBERED]).map_err(unavailable)?;
    }
    // The oldest are forgotten first.
    let many = if ledger.gone > MOST_GONE { ledger.gone - MOST_GONE / 2 } else { 0 };
    let sql = "SELECT key, revision FROM (SELECT key, revision, expires, row_number() OVER (ORDER BY revision) AS place \
               FROM plugin_storage WHERE plugin = ?1 AND value IS NULL AND expires IS NOT NULL) \
               WHERE place <= ?2 OR expires <= ?3";
    let forgotten: Vec<(String, i64)> = {
        let mut statement = transaction.prepare_cached(sql).map_err(unavailable)?;
        let rows = statement.query_map(params![plugin, many, now], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.and_then(|rows| rows.collect()).map_err(unavailable)?
    };
    for (key, revision) in &forgotten {
        ledger.gone -= 1;
        ledger.swept = ledger.swept.max(*revision);
        let sql = "DELETE FROM plugin_storage WHERE plugin = ?1 AND key = ?2";
        transaction
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([plugin, key]))
            .map_err(unavailable)?;
    }
    if !expired.is_empty() || !forgotten.is_empty() {
        keep_ledger(&transaction, plugin, &ledger)?;
        transaction.commit().map_err(unavailable)?;
    }
    Ok(!expired.is_empty())
}

pub(super) fn purge(connection: &mut Connection, plugin: &str) -> Result<u64, AskError> {
    let transaction = begin(connection)?;
    let ledger = ledger(&transaction, plugin)?;
    transaction.execute("DELETE FROM plugin_storage WHERE plugin = ?1", [plugin]).map_err(unavailable)?;
    let revision = ledger.revision + 1;
    keep_ledger(&transaction, plugin, &Ledger { revision, swept: revision, ..Ledger::default() })?;
    transaction.commit().map_err(unavailable)?;
    Ok(number(ledger.keys))
}
