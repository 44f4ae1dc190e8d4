//! Copies a plugin's rows from one database into the other, once its tables are there. Only a few rows are in memory at once.

use super::{
    Feed, broke_off,
    on_postgres::{self, begin_to_read, begin_to_write},
    on_sqlite,
    shape::{CarriedTable, pair},
    stored::{Affinity, store},
};
use crate::database::{
    MigrationError,
    names::TableNames,
    tables::{FileTables, ServerTables},
};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use rusqlite::types::Value;
use std::{error::Error as StdError, pin::pin, sync::Arc};
use tokio::sync::mpsc;
use tokio_postgres::{
    Transaction,
    types::{FromSql, Type},
};

/// So much is on its way.
const AHEAD: usize = 2;

/// So many rows are sent at once, if not so many bytes.
const MOST_ROWS: usize = 500;
const MOST_BYTES: usize = 256 << 10;

/// How many tables, and rows.
pub(super) type TablesAndRows = (usize, u64);

pub(super) async fn file_to_server(
    from: &FileTables,
    to: &ServerTables,
    plugin: &Arc<str>,
) -> Result<TablesAndRows, MigrationError> {
    let names = TableNames::of(plugin);
    let (shapes, counters) = from.host(move |connection| on_sqlite::look(connection.as_host(), &names)).await?;
    let mut client = to.owner(plugin).await?;
    let (schema, writing) = (to.schema(), begin_to_write(&mut client).await?);
    let tables = pair(&shapes, &on_postgres::look(&writing, schema).await?)?;
    let keys = on_postgres::take_keys(&writing).await?;
    on_postgres::empty(&writing, schema, &tables).await?;
    let (feed, fed) = mpsc::channel(AHEAD);
    let to_read = tables.clone();
    let read = from.host(move |connection| on_sqlite::read(connection.as_host(), &to_read, &feed));
    let (read, written) = tokio::join!(read, write(&writing, schema, &tables, fed));
    // Who reads ends well when nobody takes it; who writes fails when nothing comes.
    read?;
    let written = written?;
    on_postgres::put_keys_back(&writing, keys).await?;
    on_postgres::count_on(&writing, schema, &tables, &counters).await?;
    commit(writing).await?;
    Ok((tables.len(), written))
}

/// Takes the receiver with it: whoever sends notices when this has ended.
async fn write<A, B>(
    writing: &Transaction<'_>,
    schema: &str,
    tables: &[CarriedTable<A, B>],
    mut fed: mpsc::Receiver<Feed<Bytes>>,
) -> Result<u64, MigrationError> {
    let mut written = 0;
    for table in tables {
        let rows = stream::try_unfold(&mut fed, async |fed| match fed.recv().await {
            Some(Feed::Rows(rows)) => Ok(Some((rows, fed))),
            Some(Feed::TableEnds) => Ok(None),
            None => Err(broke_off()),
        });
        written += on_postgres::copy_in(writing, schema, table, rows).await?;
    }
    Ok(written)
}

pub(super) async fn server_to_file(
    from: &ServerTables,
    to: &FileTables,
    plugin: &Arc<str>,
) -> Result<TablesAndRows, MigrationError> {
    let mut client = from.owner(plugin).await?;
    let (schema, reading) = (from.schema(), begin_to_read(&mut client).await?);
    let shapes = on_postgres::look(&reading, schema).await?;
    let counters = on_postgres::counters(&reading, schema, &shapes).await?;
    let names = TableNames::of(plugin);
    let (there, _) = to.host(move |connection| on_sqlite::look(connection.as_host(), &names)).await?;
    let tables = pair(&shapes, &there)?;
    let (feed, mut fed) = mpsc::channel(AHEAD);
    let to_write = tables.clone();
    let write = to.host(move |connection| on_sqlite::write(connection.as_host(), &to_write, &counters, &mut fed));
    let (read, written) = tokio::join!(read(&reading, schema, &tables, feed), write);
    read?;
    Ok((tables.len(), written?))
}

/// Takes the sender with it. Ends early when nobody takes what comes.
async fn read(
    reading: &Transaction<'_>,
    schema: &str,
    tables: &[CarriedTable<Type, Affinity>],
    feed: mpsc::Sender<Feed<Vec<Vec<Value>>>>,
) -> Result<(), MigrationError> {
    let unavailable = |error| crate::database::postgres::unavailable(&error);
    for table in tables {
        let mut rows = pin!(on_postgres::rows(reading, schema, table).await?);
        let (mut sent, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await.map_err(unavailable)? {
            let mut values = Vec::with_capacity(table.columns.len());
            for (at, column) in table.columns.iter().enumerate() {
                let raw = row.try_get::<_, Option<RawCell<'_>>>(at).map_err(unavailable)?;
                bytes += raw.map_or(8, |raw| raw.0.len());
                let stored = raw.map(|raw| store(raw.0, &column.from.kind, column.to.kind));
                values.push(stored.transpose().map_err(|why| table.misfit(at, why))?.unwrap_or(Value::Null));
            }
            sent.push(values);
            if sent.len() >= MOST_ROWS || bytes >= MOST_BYTES {
                bytes = 0;
                if feed.send(Feed::Rows(std::mem::take(&mut sent))).await.is_err() {
                    return Ok(());
                }
            }
        }
        if feed.send(Feed::Rows(sent)).await.is_err() || feed.send(Feed::TableEnds).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

pub(super) async fn server_to_server(
    from: &ServerTables,
    to: &ServerTables,
    plugin: &Arc<str>,
) -> Result<TablesAndRows, MigrationError> {
    let (mut here, mut there) = (from.owner(plugin).await?, to.owner(plugin).await?);
    let (reading, writing) = (begin_to_read(&mut here).await?, begin_to_write(&mut there).await?);
    let shapes = on_postgres::look(&reading, from.schema()).await?;
    let counters = on_postgres::counters(&reading, from.schema(), &shapes).await?;
    let tables = pair(&shapes, &on_postgres::look(&writing, to.schema()).await?)?;
    let keys = on_postgres::take_keys(&writing).await?;
    on_postgres::empty(&writing, to.schema(), &tables).await?;
    let mut written = 0;
    for table in &tables {
        let rows = on_postgres::copy_out(&reading, from.schema(), table).await?;
        let rows = rows.map_err(|error| crate::database::postgres::unavailable(&error));
        written += on_postgres::copy_in(&writing, to.schema(), table, rows).await?;
    }
    on_postgres::put_keys_back(&writing, keys).await?;
    on_postgres::count_on(&writing, to.schema(), &tables, &counters).await?;
    commit(writing).await?;
    Ok((tables.len(), written))
}

async fn commit(writing: Transaction<'_>) -> Result<(), MigrationError> {
    writing.commit().await.map_err(|error| crate::database::postgres::unavailable(&error))
}

/// A value as it came.
#[derive(Clone, Copy)]
struct RawCell<'a>(&'a [u8]);

impl<'a> FromSql<'a> for RawCell<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(RawCell(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
