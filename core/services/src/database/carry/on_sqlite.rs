//! Rows in SQLite: read for PostgreSQL, and written. It blocks. What must not live here: whose rows, and when.

use super::{
    Feed,
    copied::{BETWEEN, END_OF_ROW, write_value},
    shape::{CarriedTable, ColumnShape, TableShape, quoted},
    stored::Affinity,
};
use crate::database::{MigrationError, names::TableNames, sqlite};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params_from_iter, types::Value};
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio_postgres::types::Type;

/// So many bytes are sent at once.
const CHUNK: usize = 256 << 10;

/// Counters of keys, by table.
pub(super) type Counters = BTreeMap<String, i64>;

fn unavailable(error: rusqlite::Error) -> MigrationError {
    MigrationError::Unavailable(format!("SQLite: {error}"))
}

/// A plugin's tables, and what the keys of each have come to.
pub(super) fn look(
    connection: &Connection,
    names: &TableNames,
) -> Result<(Vec<TableShape<Affinity>>, Counters), MigrationError> {
    let read = || {
        let mut shapes = Vec::new();
        let mut counters = Counters::new();
        for (kind, name) in sqlite::own(connection, names)? {
            if kind != "table" {
                continue;
            }
            counters.extend(counter(connection, &name)?.map(|counter| (name.clone(), counter)));
            shapes.push(TableShape { columns: columns(connection, &name)?, name, is_divided: false });
        }
        Ok((shapes, counters))
    };
    read().map_err(unavailable)
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ColumnShape<Affinity>>> {
    let mut read = connection.prepare("SELECT name, type, hidden FROM pragma_table_xinfo(?1) WHERE hidden <> 1")?;
    let rows = read.query_map([table], |row| {
        let (kind, hidden): (String, i64) = (row.get(1)?, row.get(2)?);
        Ok(ColumnShape { name: row.get(0)?, kind: Affinity::of(&kind), is_generated: hidden != 0 })
    })?;
    rows.collect()
}

/// The table of counters is made with the first of them.
fn counter(connection: &Connection, table: &str) -> rusqlite::Result<Option<i64>> {
    let is_there = "SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'";
    if connection.query_row(is_there, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let question = "SELECT seq FROM main.sqlite_sequence WHERE name = ?1";
    connection.query_row(question, [table], |row| row.get(0)).optional()
}

/// Sends all rows of these tables, as they are at one moment. Ends early when nobody takes them.
pub(super) fn read(
    connection: &mut Connection,
    tables: &[CarriedTable<Affinity, Type>],
    feed: &mpsc::Sender<Feed<Bytes>>,
) -> Result<(), MigrationError> {
    let transaction = connection.transaction().map_err(unavailable)?;
    for table in tables {
        if !read_table(&transaction, table, feed)? || feed.blocking_send(Feed::TableEnds).is_err() {
            break;
        }
    }
    Ok(())
}

fn read_table(
    connection: &Connection,
    table: &CarriedTable<Affinity, Type>,
    feed: &mpsc::Sender<Feed<Bytes>>,
) -> Result<bool, MigrationError> {
    let columns: Vec<_> = table.columns.iter().map(|column| quoted(&column.from.name)).collect();
    let question = format!("SELECT {} FROM main.{}", list(&columns), quoted(&table.name));
    let mut statement = connection.prepare(&question).map_err(unavailable)?;
    let mut rows = statement.query([]).map_err(unavailable)?;
    let mut chunk = Vec::with_capacity(CHUNK);
    while let Some(row) = rows.next().map_err(unavailable)? {
        for (at, column) in table.columns.iter().enumerate() {
            if at > 0 {
                chunk.push(BETWEEN);
            }
            let value = row.get_ref(at).map_err(unavailable)?;
            write_value(value, &column.to.kind, &mut chunk).map_err(|why| table.misfit(at, why))?;
        }
        chunk.push(END_OF_ROW);
        if chunk.len() >= CHUNK && feed.blocking_send(Feed::Rows(std::mem::take(&mut chunk).into())).is_err() {
            return Ok(false);
        }
    }
    Ok(chunk.is_empty() || feed.blocking_send(Feed::Rows(chunk.into())).is_ok())
}

/// Where no column of the source is the target's, the rows are there all the same.
fn list(columns: &[String]) -> String {
    if columns.is_empty() { "NULL".to_owned() } else { columns.join(", ") }
}

/// Writes what comes into these tables, in place of what is in them: how many rows.
pub(super) fn write(
    connection: &mut Connection,
    tables: &[CarriedTable<Type, Affinity>],
    counters: &Counters,
    feed: &mut mpsc::Receiver<Feed<Vec<Vec<Value>>>>,
) -> Result<u64, MigrationError> {
    // Rows come in any order: keys are looked at in the end. The connection is closed afterwards.
    connection.pragma_update(None, "foreign_keys", false).map_err(unavailable)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)?;
    let mut written = 0;
    for table in tables {
        let empty = format!("DELETE FROM main.{}", quoted(&table.name));
        transaction.execute_batch(&empty).map_err(unavailable)?;
        written += write_table(&transaction, table, feed)?;
    }
    for table in tables {
        check_keys(&transaction, &table.name)?;
        if let Some(counter) = counters.get(&table.name) {
            count_on(&transaction, &table.name, *counter).map_err(unavailable)?;
        }
    }
    transaction.commit().map_err(unavailable)?;
    Ok(written)
}

fn write_table(
    transaction: &Transaction<'_>,
    table: &CarriedTable<Type, Affinity>,
    feed: &mut mpsc::Receiver<Feed<Vec<Vec<Value>>>>,
) -> Result<u64, MigrationError> {
    let told = |error: rusqlite::Error| MigrationError::Refused(format!("`{}`: {error}", table.name));
    let marks = vec!["?"; table.columns.len()].join(", ");
    let (name, columns) = (quoted(&table.name), table.target_columns());
    let insert = match table.columns.len() {
        0 => format!("INSERT INTO main.{name} DEFAULT VALUES"),
        _ => format!("INSERT INTO main.{name} ({columns}) VALUES ({marks})"),
    };
    let mut insert = transaction.prepare(&insert).map_err(told)?;
    let mut written = 0;
    loop {
        match feed.blocking_recv() {
            Some(Feed::Rows(rows)) => {
                for row in rows {
                    written += insert.execute(params_from_iter(row)).map_err(told)? as u64;
                }
            }
            Some(Feed::TableEnds) => return Ok(written),
            None => return Err(super::broke_off()),
        }
    }
}

/// Whether every row leads to one that is there.
fn check_keys(connection: &Connection, table: &str) -> Result<(), MigrationError> {
    let question = "SELECT c.parent, ifnull(group_concat(k.\"from\", '`, `'), '') FROM \
                    (SELECT parent, fkid FROM pragma_foreign_key_check(?1) LIMIT 1) c \
                    LEFT JOIN pragma_foreign_key_list(?1) k ON k.id = c.fkid GROUP BY 1";
    let wrong = connection.query_row(question, [table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
    match wrong.optional().map_err(unavailable)? {
        None => Ok(()),
        Some((parent, columns)) => Err(MigrationError::Refused(format!(
            "`{table}`: a row's `{columns}` leads to a row of `{parent}` that is not there"
        ))),
    }
}

/// Keys that were given once are not given again, where the table is made so.
fn count_on(connection: &Connection, table: &str, counter: i64) -> rusqlite::Result<()> {
    let question = "SELECT sql LIKE '%AUTOINCREMENT%' FROM main.sqlite_schema WHERE name = ?1 AND type = 'table'";
    if !connection.query_row(question, [table], |row| row.get(0))? {
        return Ok(());
    }
    let last = self::counter(connection, table)?.unwrap_or(0).max(counter);
    connection.execute("DELETE FROM main.sqlite_sequence WHERE name = ?1", [table])?;
    connection.execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?1, ?2)", (table, last)).map(drop)
}
