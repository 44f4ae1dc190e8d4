//! Rows in PostgreSQL, as the owner of the tables, in one transaction. What must not live here: whose rows, and when.

use super::{
    on_sqlite::Counters,
    shape::{CarriedTable, ColumnShape, TableShape, quoted},
    stored::is_read_as_it_is,
};
use crate::database::MigrationError;
use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use std::pin::pin;
use tokio_postgres::{Client, CopyOutStream, Error, IsolationLevel, RowStream, Transaction, types::Type};

/// What makes names mean the same, and values look the same, whatever the server's settings are. Whoever reads or writes at the
/// other end may take its time.
const SETTINGS: &str = "
    SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD';
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex';
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '60s'";

/// What PostgreSQL says, and of which table.
fn describe(table: &str, error: &Error) -> MigrationError {
    let Some(said) = error.as_db_error() else {
        return MigrationError::Unavailable(format!("PostgreSQL: {error}"));
    };
    let mut words = format!("`{table}`: {}", said.message());
    // Not what the row holds: `COPY table, line 7, column name: "…"`.
    let place = said.where_().and_then(|place| place.lines().find(|line| line.starts_with("COPY ")));
    if let Some((_, place)) = place.and_then(|place| place.split(": ").next()?.split_once(", ")) {
        words += &format!(" ({place})");
    }
    if let Some(detail) = said.detail().filter(|detail| detail.starts_with("Key ")) {
        words += &format!(": {detail}");
    }
    MigrationError::Refused(words)
}

fn unavailable(error: Error) -> MigrationError {
    crate::database::postgres::unavailable(&error)
}

/// Begins to read: all of one moment.
pub(super) async fn begin_to_read(client: &mut Client) -> Result<Transaction<'_>, MigrationError> {
    let begin = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = begin.start().await.map_err(unavailable)?;
    transaction.batch_execute(SETTINGS).await.map_err(unavailable)?;
    Ok(transaction)
}

/// Begins to write.
pub(super) async fn begin_to_write(client: &mut Client) -> Result<Transaction<'_>, MigrationError> {
    let transaction = client.transaction().await.map_err(unavailable)?;
    transaction.batch_execute(SETTINGS).await.map_err(unavailable)?;
    Ok(transaction)
}

/// The owner's tables. Of one that is made of parts, the whole; a column of a domain is what the domain is made of.
pub(super) async fn look(transaction: &Transaction<'_>, schema: &str) -> Result<Vec<TableShape<Type>>, MigrationError> {
    let question = "
        SELECT c.relname::text, a.attname::text, a.attgenerated <> '', coalesce(nullif(t.typbasetype, 0), t.oid)::oid,
               c.relkind = 'p'
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE n.nspname = $1 AND pg_get_userbyid(c.relowner) = session_user AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        ORDER BY c.relname, a.attnum";
    let mut shapes: Vec<TableShape<Type>> = Vec::new();
    for row in transaction.query(question, &[&schema]).await.map_err(unavailable)? {
        let (table, name, is_generated): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        let column = ColumnShape { name, kind: Type::from_oid(row.get(3)).unwrap_or(Type::UNKNOWN), is_generated };
        match shapes.last_mut().filter(|last| last.name == table) {
            Some(last) => last.columns.push(column),
            None => shapes.push(TableShape { name: table, columns: vec![column], is_divided: row.get(4) }),
        }
    }
    Ok(shapes)
}

/// Takes the foreign keys away, so that rows may come in any order: what puts them back, and looks whether all rows keep to them.
pub(super) async fn take_keys(transaction: &Transaction<'_>) -> Result<Vec<(String, String)>, MigrationError> {
    let question = "
        SELECT c.relname::text, format('ALTER TABLE %s DROP CONSTRAINT %I', c.oid::regclass, k.conname),
               format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.oid::regclass, k.conname, pg_get_constraintdef(k.oid))
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.contype = 'f' AND k.conparentid = 0 AND pg_get_userbyid(c.relowner) = session_user";
    let mut back = Vec::new();
    for row in transaction.query(question, &[]).await.map_err(unavailable)? {
        let (table, drop): (String, String) = (row.get(0), row.get(1));
        transaction.batch_execute(&drop).await.map_err(|error| describe(&table, &error))?;
        back.push((table, row.get(2)));
    }
    Ok(back)
}

/// Puts them back.
pub(super) async fn put_keys_back(
    transaction: &Transaction<'_>,
    back: Vec<(String, String)>,
) -> Result<(), MigrationError> {
    for (table, add) in back {
        transaction.batch_execute(&add).await.map_err(|error| describe(&table, &error))?;
    }
    Ok(())
}

fn full(schema: &str, table: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(table))
}

/// Migrations may have written rows, which are in the source too, or were taken away there.
pub(super) async fn empty<A, B>(
    transaction: &Transaction<'_>,
    schema: &str,
    tables: &[CarriedTable<A, B>],
) -> Result<(), MigrationError> {
    let all: Vec<_> = tables.iter().map(|table| full(schema, &table.name)).collect();
    if all.is_empty() {
        return Ok(());
    }
    let empty = format!("TRUNCATE {} RESTART IDENTITY", all.join(", "));
    transaction.batch_execute(&empty).await.map_err(unavailable)
}

/// Writes rows that come as `COPY` reads them: how many. Values of identity columns are kept.
pub(super) async fn copy_in<A, B>(
    transaction: &Transaction<'_>,
    schema: &str,
    table: &CarriedTable<A, B>,
    rows: impl Stream<Item = Result<Bytes, MigrationError>>,
) -> Result<u64, MigrationError> {
    let copy = format!("COPY {} ({}) FROM STDIN", full(schema, &table.name), table.target_columns());
    let failed = |error: Error| describe(&table.name, &error);
    let mut rows = pin!(rows);
    let mut sink = pin!(transaction.copy_in::<_, Bytes>(&copy).await.map_err(failed)?);
    while let Some(chunk) = rows.next().await {
        // What is wrong with rows is told when they are sent on, or in the end.
        if sink.send(chunk?).await.is_err() {
            break;
        }
    }
    sink.finish().await.map_err(failed)
}

/// Reads rows as `COPY` writes them.
pub(super) async fn copy_out<A, B>(
    transaction: &Transaction<'_>,
    schema: &str,
    table: &CarriedTable<A, B>,
) -> Result<CopyOutStream, MigrationError> {
    let columns: Vec<_> = table.columns.iter().map(|column| quoted(&column.from.name)).collect();
    let copy = format!("COPY (SELECT {} FROM {}) TO STDOUT", columns.join(", "), source(schema, table));
    transaction.copy_out(&copy).await.map_err(unavailable)
}

/// What inherits from a table is one of its own, and its rows are read there.
fn source<A, B>(schema: &str, table: &CarriedTable<A, B>) -> String {
    let only = if table.is_divided { "" } else { "ONLY " };
    format!("{only}{}", full(schema, &table.name))
}

/// Reads rows one by one: what is not read as it is comes as text.
pub(super) async fn rows<B>(
    transaction: &Transaction<'_>,
    schema: &str,
    table: &CarriedTable<Type, B>,
) -> Result<RowStream, MigrationError> {
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|column| {
            let text = if is_read_as_it_is(&column.from.kind) { "" } else { "::text" };
            format!("{}{text}", quoted(&column.from.name))
        })
        .collect();
    let question = format!("SELECT {} FROM {}", columns.join(", "), source(schema, table));
    let none: [i32; 0] = [];
    transaction.query_raw(&question, none).await.map_err(unavailable)
}

/// Columns whose values a sequence gives, and the sequence.
async fn sequences(
    transaction: &Transaction<'_>,
    schema: &str,
    table: &str,
) -> Result<Vec<(String, String)>, MigrationError> {
    let question = "SELECT a.attname::text, pg_get_serial_sequence($1, a.attname) FROM pg_attribute a \
                    WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped \
                    AND pg_get_serial_sequence($1, a.attname) IS NOT NULL";
    let rows = transaction.query(question, &[&full(schema, table)]).await.map_err(unavailable)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// What the sequences of these tables have come to.
pub(super) async fn counters(
    transaction: &Transaction<'_>,
    schema: &str,
    shapes: &[TableShape<Type>],
) -> Result<Counters, MigrationError> {
    let mut counters = Counters::new();
    for table in shapes {
        for (_, sequence) in sequences(transaction, schema, &table.name).await? {
            let question = format!("SELECT last_value FROM {sequence} WHERE is_called");
            if let Some(row) = transaction.query_opt(&question, &[]).await.map_err(unavailable)? {
                counters.insert(table.name.clone(), row.get(0));
            }
        }
    }
    Ok(counters)
}

/// Sets sequences behind what is in the tables, and behind what was given before.
pub(super) async fn count_on<A, B>(
    transaction: &Transaction<'_>,
    schema: &str,
    tables: &[CarriedTable<A, B>],
    counters: &Counters,
) -> Result<(), MigrationError> {
    for table in tables {
        let counter = counters.get(&table.name);
        for (column, sequence) in sequences(transaction, schema, &table.name).await? {
            let set = format!(
                "SELECT setval($1::text::regclass, greatest(max({0}), $2::bigint)) FROM {1} \
                 HAVING greatest(max({0}), $2::bigint) > 0",
                quoted(&column),
                full(schema, &table.name)
            );
            transaction.query(&set, &[&sequence, &counter]).await.map_err(|error| describe(&table.name, &error))?;
        }
    }
    Ok(())
}
