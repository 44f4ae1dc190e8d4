//! The file of SQLite: one thread that writes and a few that read, each with a connection of its own. They are started when there
//! is something to do, and end, with their connections, when there was nothing for a while.
//!
//! What must not live here: SQL of services, but for the making of their tables.

use super::{IDLE, WAITING, shares::ServiceShares, too_many, turns::Turns, unavailable};
use camlock_policy::AskError;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// So many threads read.
const READERS: usize = 3;

/// How long it is waited for another transaction: longer than a plugin may hold one.
const BUSY: Duration = Duration::from_secs(12);

/// A piece of work. It says itself what became of it, also that there is no connection.
type FileWork = Box<dyn FnOnce(Result<&mut Connection, &str>) + Send>;

/// A file, and the threads that use it. Cheap to clone.
#[derive(Clone)]
pub struct SqliteFile(Arc<SharedFile>, ServiceShares);

struct SharedFile {
    path: PathBuf,
    /// Tables are made by one connection after the other.
    opening: Mutex<()>,
    writing: ThreadLane,
    reading: ThreadLane,
}

/// FileWork that waits for threads of one kind.
struct ThreadLane {
    most: usize,
    state: Mutex<LaneState>,
    wake: Condvar,
}

#[derive(Default)]
struct LaneState {
    turns: Turns<FileWork>,
    threads: usize,
    resting: usize,
}

impl fmt::Debug for SqliteFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SqliteFile").field(&self.0.path).finish()
    }
}

impl ThreadLane {
    fn new(most: usize) -> Self {
        ThreadLane { most, state: Mutex::default(), wake: Condvar::new() }
    }
}

/// For what a connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Write,
    Read,
}

impl SqliteFile {
    /// The file at this path. Nothing is opened or made before it is used.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let (writing, reading) = (ThreadLane::new(1), ThreadLane::new(READERS));
        let shared = SharedFile { path: path.into(), opening: Mutex::default(), writing, reading };
        SqliteFile(Arc::new(shared), ServiceShares::default())
    }

    /// The same, for which plugins have these shares of time.
    pub fn with_shares(self, shares: ServiceShares) -> Self {
        SqliteFile(self.0, shares)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Does something that only reads, for a plugin.
    pub async fn read<T: Send + 'static>(
        &self,
        plugin: &Arc<str>,
        work: impl FnOnce(&mut Connection) -> Result<T, AskError> + Send + 'static,
    ) -> Result<T, AskError> {
        self.run(Purpose::Read, plugin, work).await
    }

    /// Does something that writes, for a plugin: nobody else of this process writes meanwhile. Once begun it is brought to its
    /// end, whoever waits for it.
    pub async fn write<T: Send + 'static>(
        &self,
        plugin: &Arc<str>,
        work: impl FnOnce(&mut Connection) -> Result<T, AskError> + Send + 'static,
    ) -> Result<T, AskError> {
        self.run(Purpose::Write, plugin, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        purpose: Purpose,
        plugin: &Arc<str>,
        work: impl FnOnce(&mut Connection) -> Result<T, AskError> + Send + 'static,
    ) -> Result<T, AskError> {
        let spending = self.1.turn(plugin).await?;
        let (told, hear) = oneshot::channel();
        let work: FileWork = Box::new(move |connection| {
            // What nobody waits for any more is not begun.
            if told.is_closed() {
                return;
            }
            let spending = spending.begun();
            let done = connection.map_err(unavailable).and_then(work);
            // Whoever asks next is to know what this one took.
            drop(spending);
            let _ = told.send(done);
        });
        self.submit(purpose, plugin, work)?;
        hear.await.unwrap_or_else(|_| Err(unavailable("the work broke off")))
    }

    fn lane(&self, purpose: Purpose) -> &ThreadLane {
        match purpose {
            Purpose::Write => &self.0.writing,
            Purpose::Read => &self.0.reading,
        }
    }

    fn submit(&self, purpose: Purpose, plugin: &Arc<str>, work: FileWork) -> Result<(), AskError> {
        let lane = self.lane(purpose);
        let mut state = lane.state.lock();
        state.turns.add(plugin, WAITING, work).map_err(|_| too_many())?;
        if state.resting > 0 {
            lane.wake.notify_one();
        } else if state.threads < lane.most {
            let file = self.clone();
            let started = thread::Builder::new().name("camlock-data".to_owned()).spawn(move || file.serve(purpose));
            match started {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    state.turns = Turns::default();
                    return Err(unavailable(format_args!("no thread could be started ({error})")));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// What a thread does.
    fn serve(&self, purpose: Purpose) {
        let lane = self.lane(purpose);
        let mut connection = None;
        while let Some(work) = lane.next() {
            if connection.is_none() {
                match self.open(purpose) {
                    Ok(opened) => connection = Some(opened),
                    Err(error) => {
                        work(Err(&format!("{} cannot be opened ({error})", self.0.path.display())));
                        continue;
                    }
                }
            }
            let Some(open) = &mut connection else { continue };
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(Ok(open))));
            if done.is_err() || !open.is_autocommit() {
                // Nothing is left open for whoever comes next.
                connection = None;
            }
        }
    }

    /// A connection beside those threads', which writes when its turn comes.
    pub(crate) fn connect(&self) -> rusqlite::Result<Connection> {
        self.open(Purpose::Write)
    }

    fn open(&self, purpose: Purpose) -> rusqlite::Result<Connection> {
        let _opening = self.0.opening.lock();
        let connection = Connection::open(&self.0.path)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(64);
        // What was acknowledged survives a power cut: the log is synced at each commit.
        let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";
        let began = Instant::now();
        // SQLite does not wait for others by itself when the mode is changed.
        while let Err(error) = connection.execute_batch(settings) {
            if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) || began.elapsed() > BUSY {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(10));
        }
        connection.execute_batch(crate::storage::SQLITE_TABLES)?;
        connection.execute_batch(crate::executions::SQLITE_TABLES)?;
        connection.execute_batch(crate::events::SQLITE_TABLES)?;
        connection.execute_batch(crate::tasks::SQLITE_TABLES)?;
        connection.execute_batch(crate::analytics::SQLITE_TABLES)?;
        crate::database::sqlite::prepare(&connection)?;
        if purpose == Purpose::Read {
            connection.execute_batch("PRAGMA query_only = ON")?;
        }
        Ok(connection)
    }
}

impl ThreadLane {
    /// The next piece of work; none if there was none for a while, and the thread is to end.
    fn next(&self) -> Option<FileWork> {
        let mut state = self.state.lock();
        loop {
            if let Some(work) = state.turns.next() {
                return Some(work);
            }
            state.resting += 1;
            let waited = self.wake.wait_for(&mut state, IDLE);
            state.resting -= 1;
            if waited.timed_out() && state.turns.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }
}
