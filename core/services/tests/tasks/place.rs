//! Databases with a queue in them.

use crate::{plugin::FakePlugin, server::TestServer};
use camlock_policy::TaskType;
use camlock_services::{
    KnownTasks, OfferedTask, PluginData, PostgresConnections, RunnerSettings, SqliteFile, TakenTask, TaskQueue,
    TaskRecord, TaskRunner, TaskState,
};
use camlock_testing::Postgres;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// A database, and whatever it needs to be there.
pub enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(String),
}

/// So fast that tests need not wait.
pub const QUICK: RunnerSettings = RunnerSettings {
    at_once: 16,
    heartbeat: Duration::from_millis(100),
    silence: Duration::from_millis(1_500),
    poll: Duration::from_millis(300),
};

/// For servers that are lost: on a machine that is slow nobody else is silent for so long.
pub const STEADY: RunnerSettings = RunnerSettings { silence: Duration::from_secs(8), ..QUICK };

/// For many at once: nobody is silent because there is much to do.
pub const CALM: RunnerSettings = RunnerSettings { silence: Duration::from_secs(60), ..QUICK };

/// Runs a test on both databases.
pub fn on_both<F: Future<Output = ()>>(test: impl Fn(Arc<Place>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for place in [Place::sqlite(), Place::postgres()] {
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(180), test(Arc::new(place))).await.expect("it ends");
        });
    }
}

pub fn shop() -> Arc<str> {
    "shop".into()
}

impl Place {
    pub fn sqlite() -> Self {
        Place::Sqlite(tempfile::tempdir().unwrap())
    }

    pub fn postgres() -> Self {
        let postgres = Postgres::shared();
        let url = postgres.database();
        postgres.sql(&url, include_str!("../../../../migrations/postgres/2026-11-29-000008_tasks/up.sql"));
        Place::Postgres(url)
    }

    /// As one more server sees it.
    pub fn open(&self) -> TaskQueue {
        TaskQueue::new(match self {
            Place::Sqlite(directory) => PluginData::Sqlite(SqliteFile::at(directory.path().join("plugins.db"))),
            Place::Postgres(url) => {
                let server = Arc::new(TestServer::new(url, "public"));
                PluginData::Postgres(PostgresConnections::new(server, 4, Handle::current()))
            }
        })
    }

    /// Has all connections broken, where there are any.
    pub fn cut(&self) {
        if let Place::Postgres(url) = self {
            let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE datname = current_database() AND pid <> pg_backend_pid()";
            Postgres::shared().sql(url, cut);
        }
    }

    /// For so long nobody's heartbeat is written. It has begun when this returns.
    pub fn hold_heartbeats(&self, time: Duration) -> std::thread::JoinHandle<()> {
        let (begun, begins) = std::sync::mpsc::channel();
        let holding = match self {
            Place::Sqlite(directory) => {
                let path = directory.path().join("plugins.db");
                std::thread::spawn(move || {
                    let connection = rusqlite::Connection::open(path).unwrap();
                    connection.busy_timeout(Duration::from_secs(5)).unwrap();
                    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
                    begun.send(()).unwrap();
                    std::thread::sleep(time);
                    connection.execute_batch("ROLLBACK").unwrap();
                })
            }
            Place::Postgres(url) => {
                let url = url.clone();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
                        tokio::spawn(connection);
                        client.batch_execute("BEGIN; LOCK TABLE task_runners IN EXCLUSIVE MODE").await.unwrap();
                        begun.send(()).unwrap();
                        tokio::time::sleep(time).await;
                        client.batch_execute("ROLLBACK").await.unwrap();
                    });
                })
            }
        };
        begins.recv().unwrap();
        holding
    }

    /// A server that runs tasks of these types for the shop.
    pub fn serve(&self, node: &str, types: &[TaskType], plugin: &FakePlugin) -> (TaskQueue, TaskRunner) {
        self.serve_as((node, STEADY), types, plugin)
    }

    /// The same, with much to do.
    pub fn serve_many(&self, node: &str, types: &[TaskType], plugin: &FakePlugin) -> (TaskQueue, TaskRunner) {
        self.serve_as((node, CALM), types, plugin)
    }

    /// The same, so.
    pub fn serve_as(
        &self,
        own: (&str, RunnerSettings),
        types: &[TaskType],
        plugin: &FakePlugin,
    ) -> (TaskQueue, TaskRunner) {
        let queue = self.open();
        let runner = start(queue.clone(), own, types, plugin, &Handle::current());
        (queue, runner)
    }
}

pub fn start(
    queue: TaskQueue,
    (node, settings): (&str, RunnerSettings),
    types: &[TaskType],
    plugin: &FakePlugin,
    runtime: &Handle,
) -> TaskRunner {
    let known = KnownTasks::default();
    let taken = types.iter().map(|kind| TakenTask::new(kind, None, None)).collect();
    known.replace(BTreeMap::from([(shop(), taken)]));
    TaskRunner::start(queue, known, Arc::new(plugin.clone()), (node.to_owned(), settings), runtime)
}

/// Types that are not limited, and whose tasks are soon tried again.
pub fn types(names: &[&str]) -> Vec<TaskType> {
    let named = names.iter().map(|name| TaskType {
        name: (*name).to_owned(),
        backoff: Some(Duration::from_millis(20)),
        attempts: Some(3),
        ..TaskType::default()
    });
    named.collect()
}

pub fn task(kind: &str, input: Value) -> OfferedTask {
    OfferedTask { kind: kind.to_owned(), input: input.to_string(), ..OfferedTask::default() }
}

pub async fn enqueue(queue: &TaskQueue, task: OfferedTask) -> i64 {
    queue.enqueue(&shop(), vec![task]).await.unwrap()[0].id
}

/// Waits until a task is in a state.
pub async fn until(queue: &TaskQueue, id: i64, state: TaskState) -> TaskRecord {
    until_it(queue, id, |task| task.state == state).await
}

pub async fn until_it(queue: &TaskQueue, id: i64, holds: impl Fn(&TaskRecord) -> bool) -> TaskRecord {
    let begun = Instant::now();
    let mut last = None;
    while begun.elapsed() < Duration::from_secs(300) {
        if let Ok(Some(task)) = queue.task(id).await {
            if holds(&task) {
                return task;
            }
            last = Some(task);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to that: {last:?}");
}
