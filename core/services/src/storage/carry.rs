//! Carrying all that plugins keep into a place where nothing is kept, from either database into either: with revisions, expiry
//! and counts as they are. What must not live here: the registry, which is carried first.

use super::PluginStorage;
use crate::data::{PluginData, PostgresConnections, SqliteFile, unavailable};
use camlock_policy::{AskError, AskErrorCode};
use rusqlite::params;
use std::sync::Arc;

/// So many rows at once; each holds a value at most.
const PAGE: i64 = 100;

struct CarriedValue {
    plugin: String,
    key: String,
    revision: i64,
    value: Option<Vec<u8>>,
    expires: Option<i64>,
}

struct CarriedCount {
    plugin: String,
    /// Keys, bytes, the last revision, what is remembered as deleted, up to where that was forgotten.
    counts: [i64; 5],
}

const VALUES: &str = "SELECT plugin, key, revision, value, expires FROM plugin_storage WHERE (plugin, key) > ($1, $2) \
     ORDER BY plugin, key LIMIT $3";
const PUT_VALUE: &str =
    "INSERT INTO plugin_storage (plugin, key, revision, value, expires) VALUES ($1, $2, $3, $4, $5)";
const COUNTS: &str = "SELECT plugin, keys, bytes, revision, gone, swept FROM plugin_storage_use ORDER BY plugin";
const PUT_COUNT: &str =
    "INSERT INTO plugin_storage_use (plugin, keys, bytes, revision, gone, swept) VALUES ($1, $2, $3, $4, $5, $6)";
const EMPTY: &str = "DELETE FROM plugin_storage; DELETE FROM plugin_storage_use";

/// Carries everything: how many values that were. Nothing may be kept in the target; after an error nothing is.
pub async fn carry(from: &PluginStorage, to: &PluginStorage) -> Result<u64, AskError> {
    let everybody: Arc<str> = "camlock".into();
    if !counts(&to.data, &everybody).await?.is_empty() {
        let told = "plugins keep values there already: nothing of what they keep was carried";
        return Err(AskError::new(AskErrorCode::Conflict, told));
    }
    let carried = carry_all(&from.data, &to.data, &everybody).await;
    if carried.is_err() {
        empty(&to.data, &everybody).await?;
    }
    carried
}

async fn carry_all(from: &PluginData, to: &PluginData, everybody: &Arc<str>) -> Result<u64, AskError> {
    let mut carried = 0;
    let mut last = (String::new(), String::new());
    loop {
        let values = values(from, everybody, last.clone()).await?;
        let Some(end) = values.last() else { break };
        last = (end.plugin.clone(), end.key.clone());
        carried += values.iter().filter(|value| value.value.is_some()).count() as u64;
        put_values(to, everybody, values).await?;
    }
    put_counts(to, everybody, counts(from, everybody).await?).await?;
    Ok(carried)
}

async fn values(
    data: &PluginData,
    everybody: &Arc<str>,
    (plugin, key): (String, String),
) -> Result<Vec<CarriedValue>, AskError> {
    match data {
        PluginData::Sqlite(file) => {
            let read = move |connection: &mut rusqlite::Connection| {
                let mut statement = connection.prepare(VALUES).map_err(unavailable)?;
                let rows = statement.query_map(params![plugin, key, PAGE], |row| {
                    Ok(CarriedValue {
                        plugin: row.get(0)?,
                        key: row.get(1)?,
                        revision: row.get(2)?,
                        value: row.get(3)?,
                        expires: row.get(4)?,
                    })
                });
                rows.and_then(Iterator::collect).map_err(unavailable)
            };
            file.read(everybody, read).await
        }
        PluginData::Postgres(connections) => {
            let connection = connections.get(everybody).await?;
            let rows = connection.client()?.query(VALUES, &[&plugin, &key, &PAGE]).await.map_err(unavailable)?;
            let value = |row: tokio_postgres::Row| CarriedValue {
                plugin: row.get(0),
                key: row.get(1),
                revision: row.get(2),
                value: row.get(3),
                expires: row.get(4),
            };
            Ok(rows.into_iter().map(value).collect())
        }
    }
}

async fn counts(data: &PluginData, everybody: &Arc<str>) -> Result<Vec<CarriedCount>, AskError> {
    match data {
        PluginData::Sqlite(file) => {
            let read = |connection: &mut rusqlite::Connection| {
                let mut statement = connection.prepare(COUNTS).map_err(unavailable)?;
                let rows = statement.query_map([], |row| {
                    let counts = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
                    Ok(CarriedCount { plugin: row.get(0)?, counts })
                });
                rows.and_then(Iterator::collect).map_err(unavailable)
            };
            file.read(everybody, read).await
        }
        PluginData::Postgres(connections) => {
            let connection = connections.get(everybody).await?;
            let rows = connection.client()?.query(COUNTS, &[]).await.map_err(unavailable)?;
            let count = |row: tokio_postgres::Row| CarriedCount {
                plugin: row.get(0),
                counts: [row.get(1), row.get(2), row.get(3), row.get(4), row.get(5)],
            };
            Ok(rows.into_iter().map(count).collect())
        }
    }
}

async fn put_values(data: &PluginData, everybody: &Arc<str>, values: Vec<CarriedValue>) -> Result<(), AskError> {
    match data {
        PluginData::Sqlite(file) => {
            in_file(file, everybody, move |transaction| {
                let mut put = transaction.prepare(PUT_VALUE)?;
                for CarriedValue { plugin, key, revision, value, expires } in values {
                    put.execute(params![plugin, key, revision, value, expires])?;
                }
                Ok(())
            })
            .await
        }
        PluginData::Postgres(connections) => {
            let connection = connections.get(everybody).await?;
            let client = connection.client()?;
            let put = client.prepare(PUT_VALUE).await.map_err(unavailable)?;
            for CarriedValue { plugin, key, revision, value, expires } in &values {
                client.execute(&put, &[plugin, key, revision, value, expires]).await.map_err(unavailable)?;
            }
            Ok(())
        }
    }
}

async fn put_counts(data: &PluginData, everybody: &Arc<str>, counted: Vec<CarriedCount>) -> Result<(), AskError> {
    match data {
        PluginData::Sqlite(file) => {
            in_file(file, everybody, move |transaction| {
                let mut put = transaction.prepare(PUT_COUNT)?;
                for CarriedCount { plugin, counts: [keys, bytes, revision, gone, swept] } in counted {
                    put.execute(params![plugin, keys, bytes, revision, gone, swept])?;
                }
                Ok(())
            })
            .await
        }
        PluginData::Postgres(connections) => put_counts_in(connections, everybody, counted).await,
    }
}

async fn put_counts_in(
    connections: &PostgresConnections,
    everybody: &Arc<str>,
    counted: Vec<CarriedCount>,
) -> Result<(), AskError> {
    let connection = connections.get(everybody).await?;
    let client = connection.client()?;
    let put = client.prepare(PUT_COUNT).await.map_err(unavailable)?;
    for CarriedCount { plugin, counts: [keys, bytes, revision, gone, swept] } in &counted {
        client.execute(&put, &[plugin, keys, bytes, revision, gone, swept]).await.map_err(unavailable)?;
    }
    Ok(())
}

async fn empty(data: &PluginData, everybody: &Arc<str>) -> Result<(), AskError> {
    match data {
        PluginData::Sqlite(file) => in_file(file, everybody, |transaction| transaction.execute_batch(EMPTY)).await,
        PluginData::Postgres(connections) => {
            let connection = connections.get(everybody).await?;
            connection.client()?.batch_execute(EMPTY).await.map_err(unavailable)
        }
    }
}

async fn in_file(
    file: &SqliteFile,
    everybody: &Arc<str>,
    work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()> + Send + 'static,
) -> Result<(), AskError> {
    let write = move |connection: &mut rusqlite::Connection| {
        let transaction = connection.transaction().map_err(unavailable)?;
        work(&transaction).map_err(unavailable)?;
        transaction.commit().map_err(unavailable)
    };
    file.write(everybody, write).await
}
