//! The database as everything else here uses it: pieces of work, each one transaction, each within bounded time.

use crate::{
    Trouble,
    address::Address,
    connection::{AnyRow, DatabaseConnection, Dialect, Value},
    words::Words,
    writers::{OwnWrite, Writers, WritersTurn},
};
use camlock_policy::{BoxFuture, registry::Unavailable};
use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};
use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// Connections that are kept.
const CONNECTIONS: usize = 4;

/// Opens connections for the pool.
pub(crate) struct Opener {
    address: Address,
    queries: Arc<AtomicU64>,
}

/// A connection of the pool.
pub(crate) struct Pooled {
    connection: DatabaseConnection,
    /// Nothing is going on in it.
    idle: bool,
}

impl Manager for Opener {
    type Type = Pooled;
    type Error = Trouble;

    async fn create(&self) -> Result<Pooled, Trouble> {
        Ok(Pooled { connection: DatabaseConnection::open(&self.address, &self.queries).await?, idle: true })
    }

    async fn recycle(&self, pooled: &mut Pooled, _: &Metrics) -> RecycleResult<Trouble> {
        if pooled.idle && !pooled.connection.is_broken() {
            return Ok(());
        }
        Err(RecycleError::message("it cannot be used any more"))
    }
}

/// The database.
pub(crate) struct Database {
    pub(crate) address: Address,
    pool: Pool<Opener>,
    /// Of a file of SQLite.
    pub(crate) writers: Option<Arc<Writers>>,
    limit: Duration,
    /// Why it cannot be used.
    trouble: watch::Sender<Option<Trouble>>,
    /// Somebody found that it does not answer.
    pub(crate) suspected: Notify,
    pub(crate) queries: Arc<AtomicU64>,
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address.to_string())
    }
}

impl Database {
    /// Nothing is opened by this.
    pub(crate) fn new(address: Address, limit: Duration) -> Arc<Self> {
        let queries = Arc::new(AtomicU64::new(0));
        let opener = Opener { address: address.clone(), queries: queries.clone() };
        let pool = Pool::builder(opener).max_size(CONNECTIONS).build().expect("a pool without time-outs of its own");
        let yet = Trouble::passing(format!("{address} was not reached yet"));
        let writers = match &address {
            Address::Sqlite(path) => Some(Writers::of(path)),
            Address::Postgres { .. } => None,
        };
        Arc::new(Database {
            address,
            pool,
            writers,
            limit,
            trouble: watch::Sender::new(Some(yet)),
            suspected: Notify::new(),
            queries,
        })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.address {
            Address::Sqlite(_) => Dialect::Sqlite,
            Address::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// Closes connections. Nothing can be asked any more.
    pub(crate) fn close(&self) {
        self.pool.close();
    }

    /// Why it cannot be used, if it cannot.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.borrow().clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<Trouble>) {
        self.trouble.send_replace(trouble);
    }

    /// Follows why it cannot be used.
    pub(crate) fn follow_trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.subscribe()
    }

    /// A connection broke, or there was no answer. From now on nobody waits in vain, until a new connection stands.
    fn lost(&self, trouble: &Trouble) {
        if self.dialect() == Dialect::Postgres {
            self.set_trouble(Some(trouble.clone()));
            self.suspected.notify_one();
        }
    }

    /// Does something within bounded time, if the database can be used at all.
    pub(crate) fn within<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl Future<Output = Result<T, Trouble>> + Send + 'static,
    ) -> BoxFuture<Result<T, Unavailable>> {
        self.within_time(self.limit, act)
    }

    /// The same, for what may take longer.
    pub(crate) fn within_time<T: Send + 'static>(
        self: &Arc<Self>,
        limit: Duration,
        act: impl Future<Output = Result<T, Trouble>> + Send + 'static,
    ) -> BoxFuture<Result<T, Unavailable>> {
        let this = self.clone();
        Box::pin(async move {
            if let Some(trouble) = this.trouble() {
                return Err(trouble.into());
            }
            match tokio::time::timeout(limit, act).await {
                Ok(done) => done.map_err(Unavailable::from),
                Err(_) if this.writers.as_ref().is_some_and(|writers| writers.is_busy()) => {
                    let own = "is busy with this server's own work for too long; it is tried again";
                    Err(Trouble::passing(format!("{} {own}", this.address)).into())
                }
                Err(_) => {
                    let silence = Trouble::silence(&this.address);
                    this.lost(&silence);
                    Err(silence.into())
                }
            }
        })
    }

    /// Single questions, each for itself.
    pub(crate) async fn alone(self: &Arc<Self>) -> Result<Work, Trouble> {
        self.begin(None, false).await
    }

    /// Single statements by which this node lets itself be heard of, each for itself.
    pub(crate) async fn heartbeat(self: &Arc<Self>) -> Result<Work, Trouble> {
        self.begin(None, true).await
    }

    /// The right to write, for a connection that is not of the pool.
    pub(crate) async fn writers_turn(&self) -> Option<WritersTurn> {
        match &self.writers {
            Some(writers) => Some(writers.turn().await),
            None => None,
        }
    }

    /// A transaction that sees one moment.
    pub(crate) async fn read(self: &Arc<Self>) -> Result<Work, Trouble> {
        let begin = match self.dialect() {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        self.begin(Some(begin), false).await
    }

    /// A transaction that writes. Once it was committed it survives a power cut.
    pub(crate) async fn write(self: &Arc<Self>) -> Result<Work, Trouble> {
        let begin = match self.dialect() {
            Dialect::Sqlite => "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        self.begin(Some(begin), true).await
    }

    /// A transaction that writes what this node reports of itself: in SQLite a power cut may take the last of it, for syncing the
    /// file costs more than all else. A process that is killed loses nothing.
    pub(crate) async fn report(self: &Arc<Self>) -> Result<Work, Trouble> {
        let begin = match self.dialect() {
            Dialect::Sqlite => "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        self.begin(Some(begin), true).await
    }

    /// A transaction that decides something: what follows from it is noted as done by this actor, on this node.
    pub(crate) async fn act(self: &Arc<Self>, actor: &str, node: &str) -> Result<Work, Trouble> {
        let mut work = self.write().await?;
        work.act_as(actor, node).await?;
        Ok(work)
    }

    async fn begin(self: &Arc<Self>, begin: Option<&str>, writes: bool) -> Result<Work, Trouble> {
        let mut turn = if writes { self.writers_turn().await } else { None };
        // Connections may have died unnoticed. As long as nothing has begun another one will do.
        for _ in 0..=CONNECTIONS {
            let pooled = match self.pool.get().await {
                Ok(pooled) => pooled,
                Err(PoolError::Backend(trouble)) => {
                    self.lost(&trouble);
                    return Err(trouble);
                }
                Err(other) => return Err(Trouble::passing(format!("{}: {other}", self.address))),
            };
            let mut work = Work {
                pooled: Some(pooled),
                database: self.clone(),
                transaction: begin.is_some(),
                acting: false,
                turn: turn.take(),
            };
            let Some(begin) = begin else { return Ok(work) };
            match work.batch(begin).await {
                Ok(()) => return Ok(work),
                Err(_) if work.pooled().connection.is_broken() => turn = work.turn.take(),
                Err(trouble) => return Err(trouble),
            }
        }
        Err(Trouble::silence(&self.address))
    }
}

/// A piece of work. Dropped before it was committed it leaves nothing behind: its connection is closed, which rolls back and gives
/// its locks to others at once.
pub(crate) struct Work {
    /// There until it is dropped.
    pooled: Option<Object<Opener>>,
    database: Arc<Database>,
    transaction: bool,
    acting: bool,
    turn: Option<WritersTurn>,
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(pooled) = self.pooled.take()
            && !pooled.idle
        {
            // It does not go back to the pool: there it would keep its locks until somebody asks for it.
            drop(Object::take(pooled));
        }
    }
}

impl Work {
    pub(crate) fn dialect(&self) -> Dialect {
        self.database.dialect()
    }

    fn pooled(&mut self) -> &mut Pooled {
        self.pooled.as_mut().expect("only its drop takes it")
    }

    fn outcome<T>(&mut self, outcome: diesel::QueryResult<T>) -> Result<T, Trouble> {
        match outcome {
            Ok(done) => {
                let idle = !self.transaction;
                self.pooled().idle = idle;
                if let Some(turn) = self.turn.as_mut().filter(|_| idle) {
                    turn.committed(OwnWrite::Heartbeat);
                }
                Ok(done)
            }
            Err(error) => {
                let trouble = Trouble::of_using(&self.database.address, &error);
                if self.pooled().connection.is_broken() {
                    self.database.lost(&trouble);
                }
                Err(trouble)
            }
        }
    }

    async fn batch(&mut self, sql: &str) -> Result<(), Trouble> {
        self.pooled().idle = false;
        let outcome = self.pooled().connection.batch(sql).await;
        self.outcome(outcome)
    }

    /// Runs a statement: how many rows it concerned.
    pub(crate) async fn run(&mut self, sql: &str, values: Vec<Value>) -> Result<usize, Trouble> {
        self.pooled().idle = false;
        let outcome = self.pooled().connection.run(sql, values).await;
        self.outcome(outcome)
    }

    /// Asks for rows.
    pub(crate) async fn rows<T: AnyRow>(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<T>, Trouble> {
        self.pooled().idle = false;
        let outcome = self.pooled().connection.rows(sql, values).await;
        self.outcome(outcome)
    }

    /// Asks for a row.
    pub(crate) async fn row<T: AnyRow>(&mut self, sql: &str, values: Vec<Value>) -> Result<Option<T>, Trouble> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// What follows is noted as done by this actor, on this node.
    pub(crate) async fn act_as(&mut self, actor: &str, node: &str) -> Result<(), Trouble> {
        self.acting = true;
        let values = vec![actor.into(), node.into()];
        match self.dialect() {
            Dialect::Sqlite => {
                self.run("UPDATE registry_clock SET actor = $1, node = nullif($2, '')", values).await.map(drop)
            }
            Dialect::Postgres => {
                let until_the_end =
                    "SELECT set_config('camlock.actor', $1, true) AS word, set_config('camlock.node', $2, true)";
                self.rows::<Word>(until_the_end, values).await.map(drop)
            }
        }
    }

    /// Lets single statements of this transaction take longer.
    pub(crate) async fn patiently(&mut self, limit: Duration) -> Result<(), Trouble> {
        match self.dialect() {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => self.batch(&format!("SET LOCAL statement_timeout TO {}", limit.as_millis())).await,
        }
    }

    /// Ends it. Only now has anything happened.
    pub(crate) async fn commit(mut self) -> Result<(), Trouble> {
        if self.acting && self.dialect() == Dialect::Sqlite {
            self.run("UPDATE registry_clock SET actor = 'registry', node = NULL", vec![]).await?;
        }
        self.batch("COMMIT").await?;
        self.pooled().idle = true;
        if let Some(turn) = &mut self.turn {
            turn.committed(OwnWrite::Change);
        }
        Ok(())
    }
}

/// One word.
#[derive(diesel::QueryableByName)]
pub(crate) struct Word {
    #[diesel(sql_type = diesel::sql_types::Text, deserialize_as = Words)]
    pub(crate) word: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Work that is dropped in the middle gives its locks to others at once, although nobody asks the pool for anything.
    async fn dropped_work_keeps_no_lock(url: &str, lock: &str) {
        let address = Address::parse(url, "public").unwrap();
        let queries = Arc::default();
        let mut other = DatabaseConnection::open(&address, &queries).await.unwrap();
        other.batch("CREATE TABLE things (name TEXT); INSERT INTO things VALUES ('one')").await.unwrap();
        if other.dialect == Dialect::Sqlite {
            other.batch("PRAGMA busy_timeout = 0").await.unwrap();
        }
        let database = Database::new(address, Duration::from_secs(6));
        let mut work = database.write().await.unwrap();
        work.run("UPDATE things SET name = 'two'", vec![]).await.unwrap();
        assert!(other.batch(lock).await.is_err(), "the work has the lock");
        other.batch("ROLLBACK").await.ok();
        drop(work);
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Err(error) = other.batch(lock).await {
            assert!(Instant::now() < deadline, "the lock was kept: {error}");
            other.batch("ROLLBACK").await.ok();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let names = other.rows::<Word>("SELECT name AS word FROM things", vec![]).await.unwrap();
        assert_eq!(names[0].word, "one", "and nothing of it is left");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn dropped_work_keeps_no_lock_in_sqlite() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("registry.db").display());
        dropped_work_keeps_no_lock(&url, "BEGIN IMMEDIATE").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn dropped_work_keeps_no_lock_in_postgres() {
        let url = camlock_testing::Postgres::shared().database();
        dropped_work_keeps_no_lock(&url, "BEGIN; SELECT name FROM things FOR UPDATE NOWAIT").await;
    }
}
