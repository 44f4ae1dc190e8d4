//! The log in PostgreSQL. What must not live here: when it is written, and the table (a migration of the registry).

use super::log::milliseconds;
use crate::data::{PostgresConnections, unavailable};
use camlock_policy::{AskError, ExecutionEntry, ExecutionQuery, ExecutionStatus};
use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use tokio_postgres::Row;

pub(super) async fn write(
    connections: &PostgresConnections,
    owner: &Arc<str>,
    entries: &[ExecutionEntry],
) -> Result<(), AskError> {
    const WRITE: &str = "INSERT INTO executions (id, plugin, generation, status, begun, took, input_bytes, output_bytes, error, \
                         asked_by, input, result) SELECT CAST(id AS UUID), plugin, generation, status, begun, took, input_bytes, \
                         output_bytes, error, asked_by, CAST(input AS JSONB), CAST(result AS JSONB) FROM \
                         unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[], \
                         $8::BIGINT[], $9::TEXT[], $10::TEXT[], $11::TEXT[], $12::TEXT[]) AS new (id, plugin, generation, status, \
                         begun, took, input_bytes, output_bytes, error, asked_by, input, result) ON CONFLICT DO NOTHING";
    fn column<'a, T>(entries: &'a [ExecutionEntry], value: impl Fn(&'a ExecutionEntry) -> T) -> Vec<T> {
        entries.iter().map(value).collect()
    }
    // JSON's escape for a zero byte is nothing that the database takes.
    let text = |text: &str| text.replace('\0', "\u{fffd}");
    let document = |value: &serde_json::Value| value.to_string().replace("\\u0000", "\\ufffd");
    let mut connection = connections.get(owner).await?;
    let statement = connection.statement(WRITE).await?;
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 12] = [
        &column(entries, |entry| entry.id.as_str()),
        &column(entries, |entry| entry.plugin.as_str()),
        &column(entries, |entry| entry.generation.map(|generation| generation as i64)),
        &column(entries, |entry| entry.status.word()),
        &column(entries, |entry| milliseconds(entry.begun)),
        &column(entries, |entry| i64::try_from(entry.took.as_micros()).unwrap_or(i64::MAX)),
        &column(entries, |entry| entry.input_bytes as i64),
        &column(entries, |entry| entry.output_bytes as i64),
        &column(entries, |entry| entry.error.as_deref().map(text)),
        &column(entries, |entry| entry.by.as_str()),
        &column(entries, |entry| entry.input.as_ref().map(document)),
        &column(entries, |entry| entry.result.as_ref().map(document)),
    ];
    connection.client()?.execute(&statement, &values).await.map(drop).map_err(unavailable)
}

pub(super) async fn read(
    connections: &PostgresConnections,
    plugin: &Arc<str>,
    query: &ExecutionQuery,
) -> Result<Vec<ExecutionEntry>, AskError> {
    const READ: &str = "SELECT CAST(id AS TEXT), plugin, generation, status, begun, took, input_bytes, output_bytes, error, asked_by, \
                        CAST(input AS TEXT), CAST(result AS TEXT) FROM executions WHERE plugin = $1 \
                        AND ($2::TEXT IS NULL OR id < CAST($2 AS UUID)) AND ($3::TEXT IS NULL OR status = $3) \
                        ORDER BY id DESC LIMIT $4";
    let mut connection = connections.get(plugin).await?;
    let statement = connection.statement(READ).await?;
    let (status, most) = (query.status.map(ExecutionStatus::word), query.most as i64);
    let found = connection.client()?.query(&statement, &[&&**plugin, &query.before, &status, &most]).await;
    Ok(found.map_err(unavailable)?.iter().map(entry).collect())
}

fn entry(row: &Row) -> ExecutionEntry {
    let number = |place| u64::try_from(row.get::<_, i64>(place)).unwrap_or(0);
    let document = |place| row.get::<_, Option<&str>>(place).and_then(|text| serde_json::from_str(text).ok());
    ExecutionEntry {
        id: row.get(0),
        plugin: row.get(1),
        generation: row.get::<_, Option<i64>>(2).map(|generation| generation as u64),
        status: ExecutionStatus::of_word(row.get(3)).unwrap_or(ExecutionStatus::Error),
        begun: UNIX_EPOCH + Duration::from_millis(number(4)),
        took: Duration::from_micros(number(5)),
        input_bytes: number(6),
        output_bytes: number(7),
        error: row.get(8),
        by: row.get(9),
        input: document(10),
        result: document(11),
    }
}

pub(super) async fn purge(connections: &PostgresConnections, plugin: &Arc<str>) -> Result<(), AskError> {
    let mut connection = connections.get(plugin).await?;
    let statement = connection.statement("DELETE FROM executions WHERE plugin = $1").await?;
    connection.client()?.execute(&statement, &[&&**plugin]).await.map(drop).map_err(unavailable)
}

/// Removes those that began before then, and of each plugin all but its newest.
pub(super) async fn sweep(
    connections: &PostgresConnections,
    owner: &Arc<str>,
    before: i64,
    most: i64,
) -> Result<(), AskError> {
    const TOO_MANY: &str = "DELETE FROM executions WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER \
                            (PARTITION BY plugin ORDER BY id DESC) AS place FROM executions) AS placed WHERE place > $1)";
    let mut connection = connections.get(owner).await?;
    let statement = connection.statement("DELETE FROM executions WHERE begun < $1").await?;
    connection.client()?.execute(&statement, &[&before]).await.map_err(unavailable)?;
    let statement = connection.statement(TOO_MANY).await?;
    connection.client()?.execute(&statement, &[&most]).await.map(drop).map_err(unavailable)
}
