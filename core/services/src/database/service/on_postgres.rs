//! A session on PostgreSQL, on a connection that logged in as the plugin's role for run time.

use super::{
    session::{Ended, RowsToSend, Session, Stop},
    statement::StatementKind,
    wire::{self, EmitOrder, SqlCell, SqlOrder, SqlParameter},
};
use bytes::BytesMut;
use camlock_policy::{AskError, AskErrorCode};
use futures_util::TryStreamExt;
use std::{
    error::Error as StdError,
    pin::pin,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio_postgres::{
    Client, Error, Row,
    error::SqlState,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};

/// PostgreSQL counts from 2000: so many microseconds later.
const FROM_1970_TO_2000: i64 = 946_684_800_000_000;

/// The role's own limit counts also while rows wait until they are taken. Here the host has the clock, and ends what goes on after it;
/// this is for what outlives the host.
pub const LONGEST: &str = "SET statement_timeout TO '10min'";

/// A commit may take so long.
const COMMIT: Duration = Duration::from_secs(10);

impl Session {
    /// Obeys orders until there are no more. Dropping the future leaves the connection in the middle of something: it is to be
    /// closed then, as when it is broken.
    pub async fn run_on_postgres(mut self, client: &Client, plugin: &str, schema: &str) -> Ended {
        let stopped = obey(&mut self, client, (plugin, schema)).await;
        let is_over = matches!(&stopped, Err(Stop::Error(_)));
        if let Err(Stop::Error(error)) = stopped {
            let _ = self.reply(wire::error(&error)).await;
        }
        // Also what the plugin's own words began, and what they set.
        let clean = async {
            client.batch_execute("ROLLBACK").await?;
            client.batch_execute("DISCARD ALL").await?;
            client.batch_execute(LONGEST).await
        };
        match tokio::time::timeout(Duration::from_secs(1), clean).await {
            Ok(Ok(())) if !is_over => Ended::Reusable,
            _ => Ended::Broken,
        }
    }
}

async fn obey(session: &mut Session, client: &Client, own: (&str, &str)) -> Result<(), Stop> {
    let mut in_transaction = false;
    loop {
        if !in_transaction {
            session.release();
        }
        let Some(order) = session.next(in_transaction).await? else { return Ok(()) };
        let done = match order {
            SqlOrder::Statement(sql, values) => match StatementKind::of(&sql) {
                // Nobody would know that it is open, and for how long.
                StatementKind::OfTransactions => {
                    Err(misplaced("transactions are begun and ended by `begin`, `commit` and `rollback`").into())
                }
                StatementKind::Reads => statement(session, client, &sql, values).await,
                StatementKind::Writes => {
                    session.hold();
                    let done = statement(session, client, &sql, values).await;
                    if in_transaction { done } else { done.map_err(perhaps_done) }
                }
            },
            SqlOrder::Begin if in_transaction => Err(misplaced("there is a transaction already").into()),
            SqlOrder::Begin => {
                session.hold();
                of_the_host(session, client, "BEGIN").await.inspect(|_| in_transaction = true)
            }
            _ if !in_transaction => Err(misplaced("there is no transaction").into()),
            SqlOrder::Emit(event) => emit(session, client, event).await,
            SqlOrder::Commit => {
                in_transaction = false;
                commit(session, client).await.inspect(|_| session.committed())
            }
            SqlOrder::Enqueue(written) => enqueue(session, client, own, &written).await,
            SqlOrder::Rollback => {
                in_transaction = false;
                of_the_host(session, client, "ROLLBACK").await
            }
        };
        match done {
            Ok(changed) => session.reply(wire::done(changed)).await?,
            Err(Stop::Error(error)) if error.code == AskErrorCode::Limit && in_transaction => {
                return Err(session.held_too_long().unwrap_or(error).into());
            }
            Err(Stop::Error(error)) if [AskErrorCode::Limit, AskErrorCode::Unavailable].contains(&error.code) => {
                return Err(error.into());
            }
            Err(Stop::Error(error)) => session.reply(wire::error(&error)).await?,
            Err(left) => return Err(left),
        }
    }
}

/// Nobody heard what became of it.
fn perhaps_done(stop: Stop) -> Stop {
    match stop {
        Stop::Error(error) if error.code == AskErrorCode::Limit => {
            let words = format!("{}; what it was to change may be changed", error.message);
            AskError::new(AskErrorCode::Limit, words).into()
        }
        other => other,
    }
}

fn misplaced(words: &str) -> AskError {
    AskError::new(AskErrorCode::Invalid, words)
}

async fn in_time<T>(limit: Duration, doing: impl Future<Output = Result<T, Error>>) -> Result<T, AskError> {
    match tokio::time::timeout(limit, doing).await {
        Ok(done) => done.map_err(|error| in_words(&error)),
        Err(_) => Err(AskError::new(AskErrorCode::Limit, "the statement took too long")),
    }
}

async fn of_the_host(session: &Session, client: &Client, sql: &str) -> Result<u64, Stop> {
    in_time(session.statement_time(), client.batch_execute(sql)).await?;
    Ok(0)
}

/// By the function that the role may call: within its transaction, and for its own plugin alone.
async fn enqueue(
    session: &mut Session,
    client: &Client,
    (plugin, schema): (&str, &str),
    written: &[u8],
) -> Result<u64, Stop> {
    let (task, _) = session.task(plugin, written)?;
    if let Some(desk) = session.desk() {
        desk.admit(&plugin.into()).await?;
    }
    let sql = format!("SELECT \"{schema}\".enqueue($1, $2::text::jsonb, $3::text::jsonb)");
    let values: [&(dyn ToSql + Sync); 3] = [&task.kind, &task.input, &task.options()];
    let row = in_time(session.statement_time(), client.query_one(&sql, &values)).await?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
}

/// By the function that knows the plugin by its role: it is emitted exactly if the transaction is committed.
async fn emit(session: &Session, client: &Client, event: EmitOrder) -> Result<u64, Stop> {
    let EmitOrder { depth, trace_id, topic, payload } = event;
    let (payload, trace, depth) = (&payload[..], &trace_id[..], i64::from(depth));
    let values: [&(dyn ToSql + Sync); 4] = [&topic, &payload, &trace, &depth];
    in_time(session.statement_time(), client.execute("SELECT _emit_bytes($1, $2, $3, $4)", &values)).await?;
    Ok(0)
}

/// PostgreSQL answers `COMMIT` in a transaction in which something failed with a rollback, and without an error.
async fn commit(session: &Session, client: &Client) -> Result<u64, Stop> {
    // This fails if something has.
    let alive = in_time(session.statement_time(), client.batch_execute("SELECT 1")).await;
    if let Err(error) = alive {
        let _ = in_time(session.statement_time(), client.batch_execute("ROLLBACK")).await;
        return Err(error.into());
    }
    match tokio::time::timeout(COMMIT, client.batch_execute("COMMIT")).await {
        Ok(done) => done.map(|()| 0).map_err(|error| in_words(&error).into()),
        Err(_) => {
            let words = format!("the database did not say within {} s whether it is committed", COMMIT.as_secs());
            Err(AskError::new(AskErrorCode::Unavailable, words).into())
        }
    }
}

async fn statement(session: &Session, client: &Client, sql: &str, values: Vec<SqlParameter>) -> Result<u64, Stop> {
    let mut left = session.statement_time();
    let prepared = counted(&mut left, client.prepare(sql)).await?;
    if prepared.params().len() != values.len() {
        let (wanted, given) = (prepared.params().len(), values.len());
        return Err(misplaced(&format!("the statement has {wanted} parameters, {given} were given")).into());
    }
    let columns = prepared.columns();
    if let Some(column) = columns.iter().find(|column| !is_known(column.type_())) {
        let (name, kind) = (column.name(), column.type_());
        return Err(
            misplaced(&format!("the column `{name}` has the type `{kind}`: cast it, as in `{name}::text`")).into()
        );
    }
    if !columns.is_empty() {
        session.reply(wire::columns(columns.iter().map(|column| column.name()))).await?;
    }
    let rows = counted(&mut left, client.query_raw(&prepared, values)).await?;
    let mut rows = pin!(rows);
    let mut told = RowsToSend::new();
    while let Some(row) = counted(&mut left, rows.try_next()).await? {
        put(&row, &mut told).map_err(|error| in_words(&error))?;
        if let Some(reply) = told.full() {
            session.reply(reply).await?;
        }
    }
    if let Some(reply) = told.rest() {
        session.reply(reply).await?;
    }
    Ok(if columns.is_empty() { rows.rows_affected().unwrap_or(0) } else { 0 })
}

/// Does something in the time that is left for a statement.
async fn counted<T>(left: &mut Duration, doing: impl Future<Output = Result<T, Error>>) -> Result<T, AskError> {
    let began = Instant::now();
    let done = in_time(*left, doing).await;
    *left = left.saturating_sub(began.elapsed());
    done
}

fn is_known(kind: &Type) -> bool {
    [
        Type::BOOL,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::TEXT,
        Type::VARCHAR,
        Type::BPCHAR,
        Type::NAME,
        Type::UNKNOWN,
        Type::BYTEA,
        Type::JSON,
        Type::JSONB,
        Type::TIMESTAMP,
        Type::TIMESTAMPTZ,
    ]
    .contains(kind)
}

fn put(row: &Row, told: &mut RowsToSend) -> Result<(), Error> {
    for (at, column) in row.columns().iter().enumerate() {
        let kind = column.type_();
        let raw = row.try_get::<_, Option<Raw<'_>>>(at)?.map(|raw| raw.0);
        let cell = match raw {
            None => SqlCell::Null,
            Some(_) if *kind == Type::BOOL => SqlCell::Bool(row.try_get(at)?),
            Some(_) if *kind == Type::INT2 => SqlCell::Integer(row.try_get::<_, i16>(at)?.into()),
            Some(_) if *kind == Type::INT4 => SqlCell::Integer(row.try_get::<_, i32>(at)?.into()),
            Some(_) if *kind == Type::INT8 => SqlCell::Integer(row.try_get(at)?),
            Some(_) if *kind == Type::FLOAT4 => SqlCell::Real(row.try_get::<_, f32>(at)?.into()),
            Some(_) if *kind == Type::FLOAT8 => SqlCell::Real(row.try_get(at)?),
            Some(raw) if *kind == Type::TIMESTAMP || *kind == Type::TIMESTAMPTZ => {
                let micros = raw.first_chunk().map_or(0, |micros| i64::from_be_bytes(*micros));
                SqlCell::Timestamp(micros.saturating_add(FROM_1970_TO_2000))
            }
            Some(raw) if *kind == Type::JSON => SqlCell::Json(raw),
            // A byte says which version of the format it is.
            Some(raw) if *kind == Type::JSONB => SqlCell::Json(raw.get(1..).unwrap_or_default()),
            Some(raw) if *kind == Type::BYTEA => SqlCell::Bytes(raw),
            Some(raw) => SqlCell::Text(raw),
        };
        told.put(cell);
    }
    Ok(())
}

/// A value as it came.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for SqlParameter {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let unfit = || format!("a parameter of the type `{kind}` is not what was given: cast it, as in `$1::bigint`");
        match self {
            SqlParameter::Null => Ok(IsNull::Yes),
            SqlParameter::Bool(yes) if *kind == Type::BOOL => yes.to_sql(kind, out),
            SqlParameter::Integer(number) => match *kind {
                Type::INT2 => i16::try_from(*number)?.to_sql(kind, out),
                Type::INT4 => i32::try_from(*number)?.to_sql(kind, out),
                Type::INT8 => number.to_sql(kind, out),
                Type::FLOAT4 => (*number as f32).to_sql(kind, out),
                Type::FLOAT8 => (*number as f64).to_sql(kind, out),
                _ => Err(unfit().into()),
            },
            SqlParameter::Real(number) if *kind == Type::FLOAT8 => number.to_sql(kind, out),
            SqlParameter::Real(number) if *kind == Type::FLOAT4 => (*number as f32).to_sql(kind, out),
            SqlParameter::Text(text) | SqlParameter::Json(text) if *kind == Type::JSON || *kind == Type::JSONB => {
                if *kind == Type::JSONB {
                    out.extend_from_slice(&[1]);
                }
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            SqlParameter::Text(text) | SqlParameter::Json(text) if <&str as ToSql>::accepts(kind) => {
                text.as_str().to_sql(kind, out)
            }
            SqlParameter::Bytes(bytes) if *kind == Type::BYTEA => bytes.as_slice().to_sql(kind, out),
            SqlParameter::Timestamp(micros) if *kind == Type::TIMESTAMP || *kind == Type::TIMESTAMPTZ => {
                let distance = Duration::from_micros(micros.unsigned_abs());
                let time =
                    if *micros < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
                time.unwrap_or(SystemTime::UNIX_EPOCH).to_sql(kind, out)
            }
            _ => Err(unfit().into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// What PostgreSQL says, with a code.
fn in_words(error: &Error) -> AskError {
    let words = || match (error.as_db_error(), StdError::source(error)) {
        (Some(error), _) => error.message().to_owned(),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    };
    let Some(state) = error.code() else {
        let code = if error.is_closed() { AskErrorCode::Unavailable } else { AskErrorCode::Invalid };
        return AskError::new(code, words());
    };
    let code = match state {
        &SqlState::QUERY_CANCELED | &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => {
            return AskError::new(AskErrorCode::Limit, "the statement took too long");
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => AskErrorCode::Denied,
        &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED => AskErrorCode::Conflict,
        state => match state.code().get(..2) {
            Some("23") => AskErrorCode::Conflict,
            Some("53" | "54") => AskErrorCode::Limit,
            Some("08" | "57" | "58") => AskErrorCode::Unavailable,
            _ => AskErrorCode::Invalid,
        },
    };
    AskError::new(code, words())
}
