//! Running the statements of kept events, on either database. What must not live here: the statements (`sql.rs`), and when they are run.

use super::{
    port::KeptEmission,
    sql::{BothSql, HEAD, INSERT_ONE, KEEP_HEAD, KEEP_MANY, KEEP_POSITIONS, LOCK_HEAD, NUMBER_FRESH, UNNUMBERED},
};
use crate::{PluginData, data::PooledConnection, data::unavailable};
use bytes::Bytes;
use camlock_policy::AskError;
use rusqlite::{
    Connection, ToSql as SqliteValue, TransactionBehavior, params_from_iter, types::ToSqlOutput, types::ValueRef,
};
use std::sync::Arc;
use tokio_postgres::types::{ToSql, Type};

/// A value that a statement is given, or that a row has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EventCell {
    Number(i64),
    Text(String),
    Bytes(Bytes),
}

/// A row.
pub(super) type KeptEventRow = Vec<EventCell>;

/// Where events are kept. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct EventStore {
    data: PluginData,
    /// In whose name the database is used.
    own: Arc<str>,
}

pub(super) fn number(number: u64) -> EventCell {
    EventCell::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn text(text: &str) -> EventCell {
    EventCell::Text(text.to_owned())
}

impl EventCell {
    pub(super) fn number(&self) -> i64 {
        if let EventCell::Number(number) = self { *number } else { 0 }
    }

    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.number()).unwrap_or(0)
    }

    pub(super) fn text(&self) -> &str {
        if let EventCell::Text(text) = self { text } else { "" }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        if let EventCell::Bytes(bytes) = self { bytes } else { &[] }
    }

    fn on_postgres(&self) -> Box<dyn ToSql + Sync + Send> {
        match self {
            EventCell::Number(number) => Box::new(*number),
            EventCell::Text(text) => Box::new(text.clone()),
            EventCell::Bytes(bytes) => Box::new(bytes.to_vec()),
        }
    }
}

impl SqliteValue for EventCell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            EventCell::Number(number) => ValueRef::Integer(*number),
            EventCell::Text(text) => ValueRef::Text(text.as_bytes()),
            EventCell::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl EventStore {
    pub(super) fn new(data: PluginData) -> Self {
        EventStore { data, own: "camlock".into() }
    }

    #[cfg(feature = "nats")]
    pub(super) fn data(&self) -> &PluginData {
        &self.data
    }

    #[cfg(feature = "nats")]
    pub(super) fn own(&self) -> &Arc<str> {
        &self.own
    }

    /// PostgreSQL's connections, if it is that.
    pub(super) fn connections(&self) -> Option<&crate::PostgresConnections> {
        match &self.data {
            PluginData::Sqlite(_) => None,
            PluginData::Postgres(connections) => Some(connections),
        }
    }

    /// Whether there can be anything: who keeps nothing has no file, and gets none by looking.
    pub(super) fn is_there(&self) -> bool {
        match &self.data {
            PluginData::Sqlite(file) => file.path().exists(),
            PluginData::Postgres(_) => true,
        }
    }

    /// One statement, with the rows that it has.
    pub(super) async fn run(&self, sql: BothSql, values: Vec<EventCell>) -> Result<Vec<KeptEventRow>, AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                file.write(&self.own, move |connection| on_sqlite(connection, sql.sqlite, &values)).await
            }
            PluginData::Postgres(connections) => {
                let mut connection = connections.get(&self.own).await?;
                on_postgres(&mut connection, sql.postgres, &values).await
            }
        }
    }

    /// Several, all or none.
    pub(super) async fn run_all(&self, all: Vec<(BothSql, Vec<EventCell>)>) -> Result<(), AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let act = move |connection: &mut Connection| {
                    let transaction = begin(connection)?;
                    for (sql, values) in &all {
                        on_sqlite(&transaction, sql.sqlite, values)?;
                    }
                    transaction.commit().map_err(unavailable)
                };
                file.write(&self.own, act).await
            }
            PluginData::Postgres(connections) => {
                let mut connection = connections.get(&self.own).await?;
                connection.spoil();
                plain(&connection, "BEGIN").await?;
                for (sql, values) in &all {
                    on_postgres(&mut connection, sql.postgres, values).await?;
                }
                plain(&connection, "COMMIT").await?;
                connection.restore();
                Ok(())
            }
        }
    }

    /// Keeps events, all or none, in their order.
    pub(super) async fn keep_all(&self, events: Arc<Vec<KeptEmission>>) -> Result<(), AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let act = move |connection: &mut Connection| {
                    let transaction = begin(connection)?;
                    for event in &*events {
                        on_sqlite(&transaction, INSERT_ONE, &event.cells())?;
                    }
                    transaction.commit().map_err(unavailable)
                };
                file.write(&self.own, act).await
            }
            PluginData::Postgres(connections) => {
                let topics: Vec<&str> = events.iter().map(|event| &*event.topic).collect();
                let payloads: Vec<&[u8]> = events.iter().map(|event| &*event.payload).collect();
                let times: Vec<i64> = events.iter().map(|event| i64::try_from(event.at).unwrap_or(i64::MAX)).collect();
                let traces: Vec<&[u8]> = events.iter().map(|event| &event.trace_id[..]).collect();
                let depths: Vec<i64> = events.iter().map(|event| event.depth.into()).collect();
                let mut connection = connections.get(&self.own).await?;
                let statement = connection.statement(KEEP_MANY).await?;
                let values: [&(dyn ToSql + Sync); 5] = [&topics, &payloads, &times, &traces, &depths];
                connection.client()?.execute(&statement, &values).await.map_err(refused)?;
                Ok(())
            }
        }
    }

    /// Numbers what has no number yet, up to so many: how many that were.
    pub(super) async fn number_some(&self) -> Result<u64, AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let act = |connection: &mut Connection| {
                    // Where there is nothing to do nothing is written.
                    if on_sqlite(connection, UNNUMBERED, &[])?.is_empty() {
                        return Ok(0);
                    }
                    let transaction = begin(connection)?;
                    let head = on_sqlite(&transaction, LOCK_HEAD, &[])?;
                    let head = head.first().map_or(0, |row| row[0].number());
                    let mut statement = transaction.prepare_cached(NUMBER_FRESH).map_err(unavailable)?;
                    let fresh = statement.execute([head]).map_err(unavailable)? as u64;
                    drop(statement);
                    if fresh > 0 {
                        on_sqlite(&transaction, KEEP_POSITIONS, &[EventCell::Number(head)])?;
                        on_sqlite(&transaction, KEEP_HEAD, &[EventCell::Number(head + fresh as i64)])?;
                    }
                    transaction.commit().map_err(unavailable)?;
                    Ok(fresh)
                };
                file.write(&self.own, act).await
            }
            PluginData::Postgres(connections) => {
                let mut connection = connections.get(&self.own).await?;
                if on_postgres(&mut connection, UNNUMBERED, &[]).await?.is_empty() {
                    return Ok(0);
                }
                connection.spoil();
                plain(&connection, "BEGIN").await?;
                let head = on_postgres(&mut connection, LOCK_HEAD, &[]).await?;
                let head = head.first().map_or(0, |row| row[0].number());
                let statement = connection.statement(NUMBER_FRESH).await?;
                let fresh = connection.client()?.execute(&statement, &[&head]).await.map_err(refused)?;
                if fresh > 0 {
                    on_postgres(&mut connection, KEEP_POSITIONS, &[EventCell::Number(head)]).await?;
                    on_postgres(&mut connection, KEEP_HEAD, &[EventCell::Number(head + fresh as i64)]).await?;
                    // One word for all of them.
                    plain(&connection, "NOTIFY camlock_events").await?;
                }
                plain(&connection, "COMMIT").await?;
                connection.restore();
                Ok(fresh)
            }
        }
    }

    /// The last number.
    pub(super) async fn last_number(&self) -> Result<u64, AskError> {
        Ok(self.run(HEAD, Vec::new()).await?.first().map_or(0, |row| row[0].count()))
    }
}

impl KeptEmission {
    fn cells(&self) -> [EventCell; 5] {
        [
            text(&self.topic),
            EventCell::Bytes(self.payload.clone()),
            number(self.at),
            EventCell::Bytes(Bytes::copy_from_slice(&self.trace_id)),
            number(self.depth.into()),
        ]
    }
}

pub(super) fn begin(connection: &mut Connection) -> Result<rusqlite::Transaction<'_>, AskError> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)
}

pub(super) fn on_sqlite(
    connection: &Connection,
    sql: &str,
    values: &[EventCell],
) -> Result<Vec<KeptEventRow>, AskError> {
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(values)).map_err(unavailable)?;
    let mut read = Vec::new();
    while let Some(row) = rows.next().map_err(unavailable)? {
        let cell = |at| {
            Ok(match row.get_ref(at)? {
                ValueRef::Integer(number) => EventCell::Number(number),
                ValueRef::Text(text) => EventCell::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => EventCell::Bytes(Bytes::copy_from_slice(bytes)),
                ValueRef::Null | ValueRef::Real(_) => EventCell::Number(0),
            })
        };
        read.push((0..columns).map(cell).collect::<rusqlite::Result<_>>().map_err(unavailable)?);
    }
    Ok(read)
}

/// What PostgreSQL says of it.
fn refused(error: tokio_postgres::Error) -> AskError {
    match error.as_db_error() {
        Some(told) => unavailable(told.message()),
        None => unavailable(error),
    }
}

pub(super) async fn plain(connection: &PooledConnection, sql: &str) -> Result<(), AskError> {
    connection.client()?.batch_execute(sql).await.map_err(refused)
}

pub(super) async fn on_postgres(
    connection: &mut PooledConnection,
    sql: &'static str,
    values: &[EventCell],
) -> Result<Vec<KeptEventRow>, AskError> {
    let statement = connection.statement(sql).await?;
    let values: Vec<_> = values.iter().map(EventCell::on_postgres).collect();
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    let rows = connection.client()?.query(&statement, &values).await.map_err(refused)?;
    let read = rows.iter().map(|row| {
        let cell = |(at, column): (usize, &tokio_postgres::Column)| match *column.type_() {
            Type::TEXT => row.try_get(at).map(EventCell::Text),
            Type::BYTEA => row.try_get(at).map(|bytes: &[u8]| EventCell::Bytes(Bytes::copy_from_slice(bytes))),
            Type::INT4 => row.try_get(at).map(|number: i32| EventCell::Number(number.into())),
            _ => row.try_get(at).map(EventCell::Number),
        };
        row.columns().iter().enumerate().map(cell).collect::<Result<_, _>>().map_err(refused)
    });
    read.collect()
}
