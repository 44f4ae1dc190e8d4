//! A session on SQLite. It blocks.

use super::{
    session::{Ended, RowsToSend, Session, Stop},
    statement::StatementKind,
    wire::{self, EmitOrder, SqlCell, SqlOrder, SqlParameter},
};
use crate::{
    database::{names::TableNames, sqlite::FencedConnection},
    events::INSERT_ONE,
    tasks::enqueue_in_file,
};
use camlock_policy::{AskError, AskErrorCode};
use rusqlite::{
    ErrorCode, ToSql, params,
    types::{ToSqlOutput, ValueRef},
};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;

impl Session {
    /// Obeys orders until there are no more, on a thread that may block, within a runtime.
    pub fn run_on_sqlite(mut self, connection: &mut FencedConnection, plugin: &str) -> Ended {
        let names = TableNames::of(plugin);
        let runtime = Handle::current();
        let stopped = obey(&mut self, connection, (plugin, &names), &runtime);
        if !connection.as_host().is_autocommit() && connection.as_host().execute_batch("ROLLBACK").is_err() {
            return Ended::Broken;
        }
        if let Err(Stop::Error(error)) = stopped {
            let _ = runtime.block_on(self.reply(wire::error(&error)));
        }
        Ended::Reusable
    }
}

fn obey(
    session: &mut Session,
    connection: &mut FencedConnection,
    (plugin, names): (&str, &TableNames),
    runtime: &Handle,
) -> Result<(), Stop> {
    loop {
        let in_transaction = !connection.as_host().is_autocommit();
        if !in_transaction {
            session.release();
        }
        let Some(order) = runtime.block_on(session.next(in_transaction))? else { return Ok(()) };
        let done = match order {
            SqlOrder::Statement(sql, values) => {
                if StatementKind::of(&sql) != StatementKind::Reads {
                    session.hold();
                }
                statement(session, connection, names, runtime, &sql, &values)
            }
            SqlOrder::Begin if in_transaction => Err(misplaced("there is a transaction already").into()),
            SqlOrder::Begin => of_the_host(connection, "BEGIN IMMEDIATE").inspect(|_| session.hold()),
            _ if !in_transaction => Err(misplaced("there is no transaction").into()),
            SqlOrder::Commit => of_the_host(connection, "COMMIT").inspect(|_| session.committed()),
            SqlOrder::Enqueue(written) => enqueue(session, connection, plugin, &written),
            SqlOrder::Emit(event) => emit(connection, event),
            SqlOrder::Rollback => of_the_host(connection, "ROLLBACK"),
        };
        match done {
            Ok(changed) => runtime.block_on(session.reply(wire::done(changed)))?,
            Err(Stop::Error(_)) if let Some(error) = session.held_too_long() => return Err(error.into()),
            Err(Stop::Error(error)) => runtime.block_on(session.reply(wire::error(&error)))?,
            Err(left) => return Err(left),
        }
    }
}

fn misplaced(words: &str) -> AskError {
    AskError::new(AskErrorCode::Invalid, words)
}

fn of_the_host(connection: &mut FencedConnection, sql: &str) -> Result<u64, Stop> {
    connection.as_host().execute_batch(sql).map_err(|error| in_words(&error))?;
    Ok(0)
}

/// In the file in which the plugin's own tables are, and so in the same transaction.
fn enqueue(
    session: &mut Session,
    connection: &mut FencedConnection,
    plugin: &str,
    written: &[u8],
) -> Result<u64, Stop> {
    let (task, now) = session.task(plugin, written)?;
    if let Some(desk) = session.desk() {
        desk.admit_in_file(connection.as_host(), &plugin.into())?;
    }
    let made = enqueue_in_file(connection.as_host(), plugin, &task, now)?;
    Ok(u64::try_from(made.id).unwrap_or(0))
}

/// It is in the same file: it is emitted exactly if the transaction is committed.
fn emit(connection: &mut FencedConnection, event: EmitOrder) -> Result<u64, Stop> {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
    let EmitOrder { depth, trace_id, topic, payload } = event;
    let host = connection.as_host();
    host.execute(INSERT_ONE, params![topic, &*payload, at, trace_id, depth]).map_err(|error| in_words(&error))?;
    Ok(0)
}

fn statement(
    session: &Session,
    connection: &FencedConnection,
    names: &TableNames,
    runtime: &Handle,
    sql: &str,
    values: &[SqlParameter],
) -> Result<u64, Stop> {
    let mut stopped = None;
    let ran = connection.as_plugin(names, session.statement_time(), |connection| {
        let mut send = |reply| match connection.not_counting(|| runtime.block_on(session.reply(reply))) {
            Ok(()) => true,
            Err(stop) => {
                stopped = Some(stop);
                false
            }
        };
        let before = connection.total_changes();
        let mut prepared = connection.prepare(sql)?;
        let columns = prepared.column_count();
        if columns > 0 && !send(wire::columns(prepared.column_names().into_iter())) {
            return Ok(0);
        }
        let mut rows = prepared.query(rusqlite::params_from_iter(values))?;
        let mut told = RowsToSend::new();
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                told.put(match row.get_ref(column)? {
                    ValueRef::Null => SqlCell::Null,
                    ValueRef::Integer(number) => SqlCell::Integer(number),
                    ValueRef::Real(number) => SqlCell::Real(number),
                    ValueRef::Text(text) => SqlCell::Text(text),
                    ValueRef::Blob(bytes) => SqlCell::Bytes(bytes),
                });
            }
            if let Some(reply) = told.full()
                && !send(reply)
            {
                return Ok(0);
            }
        }
        let changed = connection.total_changes() - before;
        if let Some(reply) = told.rest() {
            send(reply);
        }
        Ok(changed)
    });
    match (stopped, ran) {
        (Some(stop), _) => Err(stop),
        (None, ran) => ran.map_err(|error| in_words(&error).into()),
    }
}

impl ToSql for SqlParameter {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            SqlParameter::Null => ValueRef::Null,
            SqlParameter::Bool(yes) => ValueRef::Integer(i64::from(*yes)),
            SqlParameter::Integer(number) | SqlParameter::Timestamp(number) => ValueRef::Integer(*number),
            SqlParameter::Real(number) => ValueRef::Real(*number),
            SqlParameter::Text(text) | SqlParameter::Json(text) => ValueRef::Text(text.as_bytes()),
            SqlParameter::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// What SQLite says, with a code.
fn in_words(error: &rusqlite::Error) -> AskError {
    let (code, words) = match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => (AskErrorCode::Limit, "the statement took too long".to_owned()),
        Some(ErrorCode::ConstraintViolation) => (AskErrorCode::Conflict, error.to_string()),
        Some(ErrorCode::AuthorizationForStatementDenied) => (
            AskErrorCode::Denied,
            format!("{error}: a plugin reaches rows of its own tables, and makes tables by migrations alone"),
        ),
        Some(ErrorCode::TooBig) => (AskErrorCode::Limit, error.to_string()),
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory,
        ) => (AskErrorCode::Unavailable, error.to_string()),
        _ => (AskErrorCode::Invalid, error.to_string()),
    };
    AskError::new(code, words)
}
