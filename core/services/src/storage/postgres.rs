//! Values in PostgreSQL. What must not live here: what a write comes to (`plan.rs`), and the tables (a migration of the registry).

use super::{
    KeptKey, KeptValue, PAGE_BYTES, StorageAct, StorageChange, StorageLimits, StoragePage, StorageQuery,
    plan::{self, Ledger, MOST_GONE, Present, REMEMBERED},
    watching::CHANGES,
};
use crate::data::{PooledConnection, PostgresConnections, unavailable};
use bytes::Bytes;
use camlock_policy::AskError;
use std::{collections::HashMap, sync::Arc};
use tokio_postgres::{Row, types::ToSql};

/// The database's time, in milliseconds since 1970: that of all servers.
macro_rules! now {
    () => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}

fn number(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

async fn rows(
    connection: &mut PooledConnection,
    sql: &'static str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, AskError> {
    let statement = connection.statement(sql).await?;
    connection.client()?.query(&statement, values).await.map_err(unavailable)
}

async fn plain(connection: &mut PooledConnection, sql: &str) -> Result<(), AskError> {
    connection.client()?.batch_execute(sql).await.map_err(unavailable)
}

fn read_ledger(row: &Row) -> (Ledger, i64) {
    let (keys, bytes, revision, gone, swept) = (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
    (Ledger { keys, bytes, revision, gone, swept }, row.get(5))
}

/// What is counted of a plugin, and what time it is. Nobody else writes for this plugin until the transaction ends.
async fn lock_ledger(connection: &mut PooledConnection, plugin: &str) -> Result<(Ledger, i64), AskError> {
    const LOCK: &str = concat!(
        "SELECT keys, bytes, revision, gone, swept, ",
        now!(),
        " FROM plugin_storage_use WHERE plugin = $1 FOR UPDATE"
    );
    if let Some(row) = rows(connection, LOCK, &[&plugin]).await?.first() {
        return Ok(read_ledger(row));
    }
    let begin = "INSERT INTO plugin_storage_use (plugin) VALUES ($1) ON CONFLICT DO NOTHING";
    rows(connection, begin, &[&plugin]).await?;
    let locked = rows(connection, LOCK, &[&plugin]).await?;
    locked.first().map(read_ledger).ok_or_else(|| unavailable("what it counts is gone"))
}

async fn keep_ledger(connection: &mut PooledConnection, plugin: &str, ledger: &Ledger) -> Result<(), AskError> {
    let sql =
        "UPDATE plugin_storage_use SET keys = $2, bytes = $3, revision = $4, gone = $5, swept = $6 WHERE plugin = $1";
    let Ledger { keys, bytes, revision, gone, swept } = ledger;
    rows(connection, sql, &[&plugin, keys, bytes, revision, gone, swept]).await.map(drop)
}

pub(super) async fn ledger_now(
    connections: &PostgresConnections,
    plugin: &Arc<str>,
) -> Result<(Ledger, i64), AskError> {
    const LOOK: &str =
        concat!("SELECT keys, bytes, revision, gone, swept, ", now!(), " FROM plugin_storage_use WHERE plugin = $1");
    let mut connection = connections.get(plugin).await?;
    let found = rows(&mut connection, LOOK, &[&&**plugin]).await?;
    Ok(found.first().map(read_ledger).unwrap_or_default())
}

pub(super) async fn get(
    connections: &PostgresConnections,
    plugin: &Arc<str>,
    key: &str,
) -> Result<Option<KeptValue>, AskError> {
    const GET: &str = concat!(
        "SELECT value, revision, expires FROM plugin_storage WHERE plugin = $1 AND key = $2 AND value IS NOT NULL \
         AND (expires IS NULL OR expires > ",
        now!(),
        ")"
    );
    let mut connection = connections.get(plugin).await?;
    let found = rows(&mut connection, GET, &[&&**plugin, &key]).await?;
    Ok(found.first().map(|row| KeptValue {
        bytes: Bytes::copy_from_slice(row.get(0)),
        revision: number(row.get(1)),
        expires: row.get::<_, Option<i64>>(2).map(number),
    }))
}

/// Done in a task of its own, so that a transaction is brought to its end whoever waits for it.
async fn detached<T: Send + 'static>(
    connections: &PostgresConnections,
    work: impl Future<Output = Result<T, AskError>> + Send + 'static,
) -> Result<T, AskError> {
    connections.runtime().spawn(work).await.unwrap_or_else(|_| Err(unavailable("the work broke off")))
}

/// Ends a transaction: by a commit where the work is done, and else by taking it back.
async fn end<T>(connection: &mut PooledConnection, done: Result<T, AskError>) -> Result<T, AskError> {
    let word = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = plain(connection, word).await;
    if ended.is_ok() {
        connection.restore();
    }
    let done = done?;
    ended.map(|()| done)
}

pub(super) async fn write(
    connections: &PostgresConnections,
    plugin: &Arc<str>,
    acts: Arc<Vec<StorageAct>>,
    limits: StorageLimits,
) -> Result<Vec<u64>, AskError> {
    let (connections_of_task, plugin) = (connections.clone(), plugin.clone());
    detached(connections, async move {
        let mut connection = connections_of_task.get(&plugin).await?;
        connection.spoil();
        plain(&mut connection, "BEGIN").await?;
        let done = write_within(&mut connection, &plugin, &acts, limits).await;
        end(&mut connection, done).await
    })
    .await
}

async fn write_within(
    connection: &mut PooledConnection,
    plugin: &str,
    acts: &[StorageAct],
    limits: StorageLimits,
) -> Result<Vec<u64>, AskError> {
    let (ledger, now) = lock_ledger(connection, plugin).await?;
    let keys: Vec<&str> = acts.iter().map(|act| act.key.as_str()).collect();
    let look = "SELECT key, revision, CAST(length(value) AS BIGINT), expires FROM plugin_storage \
                WHERE plugin = $1 AND key = ANY($2)";
    let found = rows(connection, look, &[&plugin, &keys]).await?;
    let present =
        found.iter().map(|row| (row.get(0), Present { revision: row.get(1), size: row.get(2), expires: row.get(3) }));
    let present: HashMap<String, Present> = present.collect();
    let planned = plan::plan(ledger, &present, acts, limits, now)?;
    if planned.rows.is_empty() {
        return Ok(planned.revisions);
    }
    let keys: Vec<&str> = planned.rows.iter().map(|row| row.key.as_str()).collect();
    let revisions: Vec<i64> = planned.rows.iter().map(|row| row.revision).collect();
    let values: Vec<Option<&[u8]>> = planned.rows.iter().map(|row| row.value.as_deref()).collect();
    let expires: Vec<Option<i64>> = planned.rows.iter().map(|row| row.expires).collect();
    let put = "INSERT INTO plugin_storage (plugin, key, revision, value, expires) \
               SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bytea[], $5::bigint[]) \
               ON CONFLICT (plugin, key) DO UPDATE SET revision = excluded.revision, value = excluded.value, \
               expires = excluded.expires";
    rows(connection, put, &[&plugin, &keys, &revisions, &values, &expires]).await?;
    keep_ledger(connection, plugin, &planned.ledger).await?;
    Ok(planned.revisions)
}

pub(super) async fn list(
    connections: &PostgresConnections,
    plugin: &Arc<str>,
    query: &StorageQuery,
) -> Result<StoragePage, AskError> {
    const LIST: &str = concat!(
        "SELECT key, revision, size, expires, CASE WHEN $5 AND before <= $6 THEN value END, before FROM ( \
         SELECT *, CAST(length(value) AS BIGINT) AS size, \
         CAST(coalesce(sum(length(value)) OVER (ORDER BY key ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW), 0) AS BIGINT) \
         AS before FROM plugin_storage \
         WHERE plugin = $1 AND key >= $2 AND key > $3 AND starts_with(key, $2) AND value IS NOT NULL \
         AND (expires IS NULL OR expires > ",
        now!(),
        ") ORDER BY key LIMIT $4) AS page ORDER BY key"
    );
    let mut connection = connections.get(plugin).await?;
    let most = i64::try_from(query.most + 1).unwrap_or(i64::MAX);
    let after = query.after.as_deref().unwrap_or_default();
    let room = PAGE_BYTES as i64;
    let found = rows(&mut connection, LIST, &[&&**plugin, &query.prefix, &after, &most, &query.values, &room]).await?;
    let mut page = StoragePage::default();
    for row in &found {
        let before: i64 = row.get(5);
        if page.keys.len() == query.most || (query.values && before > room) {
            page.next = page.keys.last().map(|last| last.key.clone());
            break;
        }
        page.keys.push(KeptKey {
            key: row.get(0),
            revision: number(row.get(1)),
            size: number(row.get(2)),
            expires: row.get::<_, Option<i64>>(3).map(number),
            value: row.get::<_, Option<&[u8]>>(4).map(Bytes::copy_from_slice),
        });
    }
    Ok(page)
}

pub(super) async fn changes(
    connections: &PostgresConnections,
    plugin: &Arc<str>,
    prefix: &str,
    after: u64,
) -> Result<Vec<StorageChange>, AskError> {
    let sql = "SELECT key, revision, value IS NULL FROM plugin_storage WHERE plugin = $1 AND revision > $2 \
               AND starts_with(key, $3) ORDER BY revision LIMIT $4";
    let mut connection = connections.get(plugin).await?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let found = rows(&mut connection, sql, &[&&**plugin, &after, &prefix, &CHANGES]).await?;
    let change = |row: &Row| StorageChange { key: row.get(0), revision: number(row.get(1)), deleted: row.get(2) };
    Ok(found.iter().map(change).collect())
}

/// Plugins of which something has expired.
pub(super) async fn with_expired(
    connections: &PostgresConnections,
    everybody: &Arc<str>,
) -> Result<Vec<String>, AskError> {
    let mut connection = connections.get(everybody).await?;
    let sql = "SELECT DISTINCT plugin FROM plugin_storage WHERE value IS NOT NULL \
               AND expires <= CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
    Ok(rows(&mut connection, sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

pub(super) async fn sweep(connections: &PostgresConnections, plugin: &Arc<str>) -> Result<bool, AskError> {
    let (connections_of_task, plugin) = (connections.clone(), plugin.clone());
    detached(connections, async move {
        let mut connection = connections_of_task.get(&plugin).await?;
        connection.spoil();
        plain(&mut connection, "BEGIN").await?;
        let done = sweep_within(&mut connection, &plugin).await;
        end(&mut connection, done).await
    })
    .await
}

async fn sweep_within(connection: &mut PooledConnection, plugin: &str) -> Result<bool, AskError> {
    let (mut ledger, now) = lock_ledger(connection, plugin).await?;
    let expired = "WITH expired AS (SELECT key AS gone_key, length(value) + octet_length(key) AS size, \
                   row_number() OVER (ORDER BY expires, key) AS place FROM plugin_storage \
                   WHERE plugin = $1 AND expires <= $2 AND value IS NOT NULL ORDER BY expires, key LIMIT 1000) \
                   UPDATE plugin_storage SET value = NULL, revision = $3 + place, expires = $4 FROM expired \
                   WHERE plugin = $1 AND key = gone_key RETURNING CAST(size AS BIGINT)";
    let kept = now + REMEMBERED;
    let expired = rows(connection, expired, &[&plugin, &now, &ledger.revision, &kept]).await?;
    let count = i64::try_from(expired.len()).unwrap_or(0);
    ledger.keys -= count;
    ledger.gone += count;
    ledger.revision += count;
    ledger.bytes -= expired.iter().map(|row| row.get::<_, i64>(0)).sum::<i64>();
    // The oldest are forgotten first.
    let many = if ledger.gone > MOST_GONE { ledger.gone - MOST_GONE / 2 } else { 0 };
    let forget = "DELETE FROM plugin_storage USING (SELECT key AS gone_key, expires AS until, \
                  row_number() OVER (ORDER BY revision) AS place FROM plugin_storage \
                  WHERE plugin = $1 AND value IS NULL) AS gone \
                  WHERE plugin = $1 AND key = gone_key AND (place <= $2 OR until <= $3) RETURNING revision";
    let forgotten = rows(connection, forget, &[&plugin, &many, &now]).await?;
    ledger.gone -= i64::try_from(forgotten.len()).unwrap_or(0);
    ledger.swept = forgotten.iter().map(|row| row.get(0)).fold(ledger.swept, i64::max);
    if !expired.is_empty() || !forgotten.is_empty() {
        keep_ledger(connection, plugin, &ledger).await?;
    }
    Ok(!expired.is_empty())
}

pub(super) async fn purge(connections: &PostgresConnections, plugin: &Arc<str>) -> Result<u64, AskError> {
    let (connections_of_task, plugin) = (connections.clone(), plugin.clone());
    detached(connections, async move {
        let mut connection = connections_of_task.get(&plugin).await?;
        connection.spoil();
        plain(&mut connection, "BEGIN").await?;
        let done = purge_within(&mut connection, &plugin).await;
        end(&mut connection, done).await
    })
    .await
}

async fn purge_within(connection: &mut PooledConnection, plugin: &str) -> Result<u64, AskError> {
    let (ledger, _) = lock_ledger(connection, plugin).await?;
    rows(connection, "DELETE FROM plugin_storage WHERE plugin = $1", &[&plugin]).await?;
    let revision = ledger.revision + 1;
    keep_ledger(connection, plugin, &Ledger { revision, swept: revision, ..Ledger::default() }).await?;
    Ok(number(ledger.keys))
}
