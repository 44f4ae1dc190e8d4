//! A connection to either database, and the few words in which their SQL differs.
//!
//! All SQL of this crate is written once. Parameters are `$1`, `$2`, …; whatever is not the same in both is asked of [`Dialect`].

use crate::{Trouble, TroubleKind, address::Address, connecting};
use diesel::{
    Connection as _, QueryResult, QueryableByName,
    pg::Pg,
    sql_types::{BigInt, Binary, Bool, Nullable, Text},
    sqlite::{Sqlite, SqliteConnection},
};
use diesel_async::{
    AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection, pooled_connection::PoolableConnection,
    sync_connection_wrapper::SyncConnectionWrapper,
};
use std::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How long SQLite waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(4);

/// A connection.
pub(crate) struct DatabaseConnection {
    pub(crate) either: Either,
    pub(crate) dialect: Dialect,
    /// Counts what was asked.
    queries: Arc<AtomicU64>,
}

pub(crate) enum Either {
    Sqlite(SyncConnectionWrapper<SqliteConnection>),
    Postgres(Box<AsyncPgConnection>),
}

/// A row that can be read from either database.
pub(crate) trait AnyRow: QueryableByName<Sqlite> + QueryableByName<Pg> + Send + 'static {}
impl<T: QueryableByName<Sqlite> + QueryableByName<Pg> + Send + 'static> AnyRow for T {}

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
    Flag(bool),
    Bytes(Vec<u8>),
}

macro_rules! value {
    ($($from:ty, $value:ident => $to:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        }
    )*};
}

value! {
    &str, value => Value::Text(Some(value.to_owned()));
    &String, value => Value::Text(Some(value.clone()));
    String, value => Value::Text(Some(value));
    Option<String>, value => Value::Text(value);
    i64, value => Value::Number(Some(value));
    u64, value => Value::Number(Some(number(value)));
    Duration, value => Value::Number(Some(i64::try_from(value.as_millis()).unwrap_or(i64::MAX)));
    Option<i64>, value => Value::Number(value);
    Option<u64>, value => Value::Number(value.map(number));
    bool, value => Value::Flag(value);
    Vec<u8>, value => Value::Bytes(value);
}

/// As databases count.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Rows of parameters, for `VALUES`: so many at once, each of so many.
pub(crate) fn places(rows: usize, width: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> = (1..=width).map(|place| format!("${}", row * width + place)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

macro_rules! bound {
    ($db:ty, $sql:expr, $values:expr) => {{
        let mut query = diesel::sql_query($sql).into_boxed::<$db>();
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind::<Nullable<Text>, _>(text),
                Value::Number(number) => query.bind::<Nullable<BigInt>, _>(number),
                Value::Flag(flag) => query.bind::<Bool, _>(flag),
                Value::Bytes(bytes) => query.bind::<Binary, _>(bytes),
            };
        }
        query
    }};
}

impl DatabaseConnection {
    /// Opens one, as it is to be used once the schema is known to be ours.
    pub(crate) async fn open(address: &Address, queries: &Arc<AtomicU64>) -> Result<Self, Trouble> {
        let mut connection = Self::open_to_change(address, queries).await?;
        if connection.dialect == Dialect::Sqlite {
            // What was acknowledged survives a power cut: the log is synced at each commit.
            // What is freed is overwritten: a secret may have lain there in plain.
            let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                 PRAGMA secure_delete = ON";
            let began = Instant::now();
            // SQLite does not wait for others by itself when the mode is changed.
            while let Err(error) = connection.batch(settings).await {
                if !error.to_string().contains("locked") || began.elapsed() > BUSY {
                    return Err(Trouble::of_using(address, &error));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(connection)
    }

    /// Opens one that changes nothing: not by that, and in SQLite not by closing it either, which would bring what lies in the
    /// log into the file, however damaged that is.
    pub(crate) async fn open_to_look(address: &Address, queries: &Arc<AtomicU64>) -> Result<Self, Trouble> {
        Self::open_as(address, queries, true).await
    }

    /// Opens one with which the schema may be changed.
    pub(crate) async fn open_to_change(address: &Address, queries: &Arc<AtomicU64>) -> Result<Self, Trouble> {
        Self::open_as(address, queries, false).await
    }

    async fn open_as(address: &Address, queries: &Arc<AtomicU64>, to_look: bool) -> Result<Self, Trouble> {
        let queries = queries.clone();
        match address {
            Address::Sqlite(path) => {
                let path = path.to_str().map(str::to_owned).ok_or_else(|| {
                    Trouble::new(
                        TroubleKind::Settings,
                        format!("{address} has a name that is no UTF-8: give it another one"),
                    )
                })?;
                let path = if to_look { read_only(path) } else { path };
                let opened = tokio::task::spawn_blocking(move || SqliteConnection::establish(&path)).await;
                let opened = opened.map_err(|error| Trouble::passing(format!("{address} was not opened: {error}")))?;
                let opened = opened.map_err(|error| Trouble::of_sqlite(address, &error.to_string()))?;
                let either = Either::Sqlite(SyncConnectionWrapper::new(opened));
                let mut connection = DatabaseConnection { either, dialect: Dialect::Sqlite, queries };
                let patience = format!("PRAGMA busy_timeout = {}", BUSY.as_millis());
                connection.batch(&patience).await.map_err(|error| Trouble::of_using(address, &error))?;
                Ok(connection)
            }
            Address::Postgres { config, schema, tls } => {
                let opened = connecting::connect(address, config, tls).await?;
                let mut connection = DatabaseConnection {
                    either: Either::Postgres(Box::new(opened)),
                    dialect: Dialect::Postgres,
                    queries,
                };
                let settings = format!(
                    "SET search_path TO \"{schema}\"; SET statement_timeout TO '5s'; SET lock_timeout TO '4s'; \
                     SET idle_in_transaction_session_timeout TO '30s'"
                );
                connection.batch(&settings).await.map_err(|error| Trouble::of_using(address, &error))?;
                Ok(connection)
            }
        }
    }

    /// Runs statements without parameters, in one go.
    pub(crate) async fn batch(&mut self, sql: &str) -> QueryResult<()> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        match &mut self.either {
            Either::Sqlite(connection) => connection.batch_execute(sql).await,
            Either::Postgres(connection) => connection.batch_execute(sql).await,
        }
    }

    /// Runs a statement: how many rows it concerned.
    pub(crate) async fn run(&mut self, sql: &str, values: Vec<Value>) -> QueryResult<usize> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        match &mut self.either {
            Either::Sqlite(connection) => bound!(Sqlite, sql.replace('$', "?"), values).execute(connection).await,
            Either::Postgres(connection) => bound!(Pg, sql, values).execute(connection.as_mut()).await,
        }
    }

    /// Asks for rows.
    pub(crate) async fn rows<T: AnyRow>(&mut self, sql: &str, values: Vec<Value>) -> QueryResult<Vec<T>> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        match &mut self.either {
            Either::Sqlite(connection) => bound!(Sqlite, sql.replace('$', "?"), values).load(connection).await,
            Either::Postgres(connection) => bound!(Pg, sql, values).load(connection.as_mut()).await,
        }
    }

    /// Whether nothing can be asked of it any more.
    pub(crate) fn is_broken(&mut self) -> bool {
        match &mut self.either {
            Either::Sqlite(_) => false,
            Either::Postgres(connection) => connection.is_broken(),
        }
    }
}

/// A name of a file for SQLite, for reading alone. One whose last transaction was broken off has to be mended first, which is
/// writing: that one is opened as ever.
fn read_only(path: String) -> String {
    if std::fs::exists(format!("{path}-journal")).unwrap_or(true) {
        return path;
    }
    format!("file:{}?mode=ro", path.replace('%', "%25").replace('?', "%3f").replace('#', "%23"))
}

/// What is not the same in both databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The database's time.
    pub(crate) fn now(self) -> &'static str {
        match self {
            Dialect::Sqlite => "strftime('%Y-%m-%d %H:%M:%f', 'now')",
            Dialect::Postgres => "clock_timestamp()",
        }
    }

    /// The database's time so many milliseconds from now; a parameter.
    pub(crate) fn later(self, milliseconds: &str) -> String {
        match self {
            Dialect::Sqlite => {
                format!("strftime('%Y-%m-%d %H:%M:%f', 'now', ({milliseconds} / 1000.0) || ' seconds')")
            }
            Dialect::Postgres => format!("clock_timestamp() + {milliseconds} * interval '1 millisecond'"),
        }
    }

    /// A time of ours, in milliseconds since 1970; a parameter.
    pub(crate) fn time(self, milliseconds: &str) -> String {
        match self {
            Dialect::Sqlite => format!("strftime('%Y-%m-%d %H:%M:%f', {milliseconds} / 1000.0, 'unixepoch')"),
            Dialect::Postgres => format!("to_timestamp({milliseconds} / 1000.0)"),
        }
    }

    /// Milliseconds since 1970.
    pub(crate) fn milliseconds(self, time: &str) -> String {
        match self {
            Dialect::Sqlite => format!("CAST(round((julianday({time}) - 2440587.5) * 86400000) AS INTEGER)"),
            Dialect::Postgres => format!("CAST(extract(epoch FROM {time}) * 1000 AS BIGINT)"),
        }
    }

    /// Text that is to be kept as JSON.
    pub(crate) fn json(self, text: &str) -> String {
        match self {
            Dialect::Sqlite => text.to_owned(),
            Dialect::Postgres => format!("CAST({text} AS JSONB)"),
        }
    }

    /// At the end of a query: nobody deletes these rows until the transaction ends.
    pub(crate) fn keep(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR KEY SHARE",
        }
    }

    /// At the end of a query: nobody else changes these rows until the transaction ends.
    pub(crate) fn lock(self) -> &'static str {
        match self {
            // There, a transaction that writes is the only one from its beginning.
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE",
        }
    }
}
