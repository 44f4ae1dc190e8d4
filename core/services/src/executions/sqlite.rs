//! The log in SQLite. What must not live here: when it is written.

use super::log::milliseconds;
use crate::data::unavailable;
use camlock_policy::{AskError, ExecutionEntry, ExecutionQuery, ExecutionStatus};
use rusqlite::{Connection, Row, TransactionBehavior, params};
use std::time::{Duration, UNIX_EPOCH};

pub(crate) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS executions (
        id TEXT PRIMARY KEY, plugin TEXT NOT NULL, generation INTEGER, status TEXT NOT NULL, begun INTEGER NOT NULL,
        took INTEGER NOT NULL, input_bytes INTEGER NOT NULL, output_bytes INTEGER NOT NULL, error TEXT, asked_by TEXT NOT NULL,
        input TEXT, result TEXT
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS executions_of_plugin ON executions (plugin, id);
    CREATE INDEX IF NOT EXISTS executions_begun ON executions (begun);
";

pub(super) fn write(connection: &mut Connection, entries: &[ExecutionEntry]) -> Result<(), AskError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)?;
    {
        let sql = "INSERT OR IGNORE INTO executions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        let mut statement = transaction.prepare_cached(sql).map_err(unavailable)?;
        for entry in entries {
            let values = params![
                entry.id,
                entry.plugin,
                entry.generation.map(|generation| generation as i64),
                entry.status.word(),
                milliseconds(entry.begun),
                i64::try_from(entry.took.as_micros()).unwrap_or(i64::MAX),
                entry.input_bytes as i64,
                entry.output_bytes as i64,
                entry.error,
                entry.by,
                entry.input.as_ref().map(ToString::to_string),
                entry.result.as_ref().map(ToString::to_string),
            ];
            statement.execute(values).map_err(unavailable)?;
        }
    }
    transaction.commit().map_err(unavailable)
}

pub(super) fn read(
    connection: &Connection,
    plugin: &str,
    query: &ExecutionQuery,
) -> Result<Vec<ExecutionEntry>, AskError> {
    let sql = "SELECT id, plugin, generation, status, begun, took, input_bytes, output_bytes, error, asked_by, input, result \
               FROM executions WHERE plugin = ?1 AND (?2 IS NULL OR id < ?2) AND (?3 IS NULL OR status = ?3) \
               ORDER BY id DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let status = query.status.map(ExecutionStatus::word);
    let found =
        statement.query_map(params![plugin, query.before, status, query.most as i64], entry).map_err(unavailable)?;
    found.collect::<Result<_, _>>().map_err(unavailable)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<ExecutionEntry> {
    let number = |place| row.get::<_, i64>(place).map(|number| u64::try_from(number).unwrap_or(0));
    let text = |place| row.get::<_, Option<String>>(place);
    let document = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(ExecutionEntry {
        id: row.get(0)?,
        plugin: row.get(1)?,
        generation: row.get::<_, Option<i64>>(2)?.map(|generation| generation as u64),
        status: ExecutionStatus::of_word(&row.get::<_, String>(3)?).unwrap_or(ExecutionStatus::Error),
        begun: UNIX_EPOCH + Duration::from_millis(number(4)?),
        took: Duration::from_micros(number(5)?),
        input_bytes: number(6)?,
        output_bytes: number(7)?,
        error: text(8)?,
        by: row.get(9)?,
        input: document(text(10)?),
        result: document(text(11)?),
    })
}

pub(super) fn purge(connection: &Connection, plugin: &str) -> Result<(), AskError> {
    connection.execute("DELETE FROM executions WHERE plugin = ?1", [plugin]).map(drop).map_err(unavailable)
}

/// Removes those that began before then, and of each plugin all but its newest.
pub(super) fn sweep(connection: &Connection, before: i64, most: i64) -> Result<(), AskError> {
    connection.execute("DELETE FROM executions WHERE begun < ?1", [before]).map_err(unavailable)?;
    let sql = "DELETE FROM executions WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER \
               (PARTITION BY plugin ORDER BY id DESC) AS place FROM executions) WHERE place > ?1)";
    connection.execute(sql, [most]).map(drop).map_err(unavailable)
}
