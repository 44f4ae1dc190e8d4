//! Tasks: work that plugins have done later, each once at a time, on whichever server has room for it.
//!
//! The queue lies where plugins' data does. Tasks are claimed in batches, run with no transaction open, and settled in batches that
//! are fenced by the attempt: what a server says that has lost its claim changes nothing. Whoever runs tasks is heard of in the
//! database; the tasks of one who is silent come back. What must not live here: how it crosses (`service.rs`), and plugins' code.

mod carry;
mod desk;
mod hub;
mod known;
mod plan;
mod postgres;
mod queries;
mod record;
mod room;
mod runner;
mod running;
mod schedules;
mod service;
mod sqlite;

pub use carry::{carry, empty};
pub use desk::TaskDesk;
pub use known::{KnownTasks, TakenTask, TaskTerms};
pub use plan::{MOST_INPUT, TaskWishes};
pub use record::{Enqueued, OfferedTask, TaskCounts, TaskPage, TaskQuery, TaskRecord, TaskState};
pub use runner::{RunnerSettings, TaskRunner};
pub use schedules::ScheduleRecord;
pub use service::TasksService;

pub(crate) use plan::read_task;
pub(crate) use sqlite::{TABLES as SQLITE_TABLES, enqueue as enqueue_in_file};

use crate::data::PluginData;
use camlock_policy::{AskError, AskErrorCode};
use hub::TaskHub;
use record::{ClaimTerms, ClaimedBatch, Heartbeat, HeartbeatAnswer, Settlement};
use room::WaitingRoom;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The queue. Cheap to clone.
#[derive(Clone)]
pub struct TaskQueue {
    data: PluginData,
    hub: Arc<TaskHub>,
    clock: TaskClock,
    room: Arc<WaitingRoom>,
}

/// What time it is, for what lies in a file. PostgreSQL knows it itself.
pub type TaskClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl std::fmt::Debug for TaskQueue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TaskQueue").field("data", &self.data).finish_non_exhaustive()
    }
}

/// Whose turn it is when the host asks for itself.
fn host() -> Arc<str> {
    "camlock".into()
}

/// Being heard of waits for nothing else that the host asks.
fn heartbeat() -> Arc<str> {
    "camlock-heartbeat".into()
}

impl TaskQueue {
    /// The one that lies there.
    pub fn new(data: PluginData) -> Self {
        let hub = Arc::new(TaskHub::new(data.clone()));
        TaskQueue { hub, data, clock: Arc::new(SystemTime::now), room: Arc::default() }
    }

    /// So many tasks of a plugin may wait, about: with more, none are accepted.
    pub fn with_most_waiting(self, most: u64) -> Self {
        TaskQueue { room: Arc::new(WaitingRoom::of(most)), ..self }
    }

    /// With another clock, for what lies in a file.
    pub fn with_clock(self, clock: TaskClock) -> Self {
        TaskQueue { clock, ..self }
    }

    fn now(&self) -> i64 {
        let passed = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)
    }

    /// Accepts tasks of a plugin, all of them or none. When this returns they are kept.
    pub async fn enqueue(&self, plugin: &Arc<str>, tasks: Vec<OfferedTask>) -> Result<Vec<Enqueued>, AskError> {
        tasks.iter().try_for_each(plan::check)?;
        self.admit(plugin, tasks.len()).await?;
        let done = match &self.data {
            PluginData::Sqlite(file) => {
                let (owner, queue) = (plugin.clone(), self.clone());
                let work = move |connection: &mut rusqlite::Connection| {
                    sqlite::in_transaction(connection, |connection| {
                        let now = queue.now();
                        tasks.iter().map(|task| sqlite::enqueue(connection, &owner, task, now)).collect()
                    })
                };
                file.write(plugin, work).await?
            }
            PluginData::Postgres(connections) => postgres::enqueue(connections, plugin, tasks).await?,
        };
        self.wake();
        Ok(done)
    }

    /// Whether there is room for so many more. They count from now on.
    async fn admit(&self, plugin: &Arc<str>, offered: usize) -> Result<(), AskError> {
        if self.room.is_to_be_counted(plugin, offered) {
            let waiting = self.waiting(plugin, self.room.enough()).await?;
            self.room.counted(plugin, waiting);
        }
        self.room.admit(plugin, offered)
    }

    /// The same, for those who are in a transaction on the file.
    fn admit_in_file(&self, connection: &rusqlite::Connection, plugin: &Arc<str>) -> Result<(), AskError> {
        if self.room.is_to_be_counted(plugin, 1) {
            self.room.counted(plugin, sqlite::waiting(connection, plugin, self.room.enough())?);
        }
        self.room.admit(plugin, 1)
    }

    /// There may be something to do: here at once, on other servers soon.
    pub fn wake(&self) {
        self.hub.wake();
    }

    /// Whether it is of use to look behind what was claimed: a file keeps nothing for those who look at what was.
    fn keeps_what_was(&self) -> bool {
        matches!(self.data, PluginData::Postgres(_))
    }

    /// Takes what waits, of one type, as far as its limits let it.
    async fn claim(&self, terms: &Arc<ClaimTerms>) -> Result<ClaimedBatch, AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let (terms, queue) = (terms.clone(), self.clone());
                let work = move |connection: &mut rusqlite::Connection| {
                    sqlite::in_transaction(connection, |connection| sqlite::claim(connection, &terms, queue.now()))
                };
                file.write(&host(), work).await
            }
            PluginData::Postgres(connections) => postgres::claim(connections, terms.clone()).await,
        }
    }

    /// What is due by now waits; when the next is due, in so long.
    async fn promote(&self) -> Result<Option<Duration>, AskError> {
        let (has_moved, next) = match &self.data {
            PluginData::Sqlite(file) => {
                let now = self.now();
                // Mostly there is nothing, and nothing is written then.
                let looked = file.read(&host(), move |connection| sqlite::next_due(connection)).await?;
                if looked.is_some_and(|due| due <= now) {
                    let work = move |connection: &mut rusqlite::Connection| sqlite::promote(connection, now);
                    (true, file.write(&host(), work).await?.map(|due| until(due, now)))
                } else {
                    (false, looked.map(|due| until(due, now)))
                }
            }
            PluginData::Postgres(connections) => postgres::promote(connections).await?,
        };
        if has_moved {
            self.wake();
        }
        Ok(next)
    }

    /// Writes what came of tasks, each if the attempt is still the last: so many were.
    async fn settle(&self, runner: &str, settled: Arc<Vec<Settlement>>) -> Result<usize, AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let (runner, queue) = (runner.to_owned(), self.clone());
                let work = move |connection: &mut rusqlite::Connection| {
                    sqlite::in_transaction(connection, |connection| {
                        sqlite::settle(connection, &runner, &settled, queue.now())
                    })
                };
                file.write(&host(), work).await
            }
            PluginData::Postgres(connections) => postgres::settle(connections, runner, &settled).await,
        }
    }

    /// A process begins to run tasks. What an earlier one of the same server ran comes back.
    async fn register(&self, runner: &str, node: &str) -> Result<(), AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let (runner, node, queue) = (runner.to_owned(), node.to_owned(), self.clone());
                let work = move |connection: &mut rusqlite::Connection| {
                    sqlite::in_transaction(connection, |connection| {
                        sqlite::register(connection, &runner, &node, queue.now())
                    })
                };
                file.write(&host(), work).await
            }
            PluginData::Postgres(connections) => postgres::register(connections, runner, node).await,
        }
    }

    /// A process runs no tasks any more: what it has not settled comes back.
    async fn deregister(&self, runner: &str) -> Result<(), AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let (runner, queue) = (runner.to_owned(), self.clone());
                let work = move |connection: &mut rusqlite::Connection| {
                    sqlite::in_transaction(connection, |connection| {
                        sqlite::deregister(connection, &runner, queue.now())
                    })
                };
                file.write(&host(), work).await
            }
            PluginData::Postgres(connections) => postgres::deregister(connections, runner).await,
        }
    }

    /// A process that runs tasks is heard of, and hears which are to be cancelled. The tasks of those that were silent come back.
    async fn renew(&self, beat: Heartbeat) -> Result<HeartbeatAnswer, AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let queue = self.clone();
                let work = move |connection: &mut rusqlite::Connection| {
                    sqlite::in_transaction(connection, |connection| sqlite::renew(connection, &beat, queue.now()))
                };
                file.write(&heartbeat(), work).await
            }
            PluginData::Postgres(connections) => postgres::renew(connections, &beat).await,
        }
    }

    /// Removes what was kept for long enough: so many tasks.
    pub async fn sweep(&self) -> Result<u64, AskError> {
        match &self.data {
            PluginData::Sqlite(file) if !file.path().exists() => Ok(0),
            PluginData::Sqlite(file) => {
                let now = self.now();
                file.write(&host(), move |connection| sqlite::sweep(connection, now)).await
            }
            PluginData::Postgres(connections) => postgres::sweep(connections).await,
        }
    }
}

/// So long until then.
fn until(due: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(due.saturating_sub(now)).unwrap_or(0))
}

fn invalid(why: impl Into<String>) -> AskError {
    AskError::new(AskErrorCode::Invalid, why)
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
