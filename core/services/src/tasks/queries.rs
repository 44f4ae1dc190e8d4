//! What operators and plugins ask of the queue: looking at tasks, giving them up, trying them again, removing a plugin's.

use super::{
    TaskQueue, host,
    postgres::{self, now},
    record::{TaskCounts, TaskPage, TaskQuery, TaskRecord, TaskState},
    sqlite,
};
use crate::data::PluginData;
use camlock_policy::{AskError, AskErrorCode};
use std::{collections::BTreeMap, sync::Arc};

/// In the order of a record's fields.
macro_rules! columns {
    () => {
        "id, plugin, type, state, priority, attempt, failures, attempts, unique_key, input, progress, result, error, cancel, \
         enqueued, due, begun, ended"
    };
}

/// The same, for lists: without what is long.
macro_rules! short_columns {
    () => {
        "id, plugin, type, state, priority, attempt, failures, attempts, unique_key, \
         CASE WHEN length(input) > 4096 THEN 'null' ELSE input END, \
         CASE WHEN length(progress) > 4096 THEN NULL ELSE progress END, \
         CASE WHEN length(result) > 4096 THEN NULL ELSE result END, error, cancel, enqueued, due, begun, ended"
    };
}

/// Both databases' rows are read alike.
macro_rules! read {
    ($row:ident, $of:ident) => {
        TaskRecord {
            id: $of!($row, 0),
            plugin: $of!($row, 1),
            kind: $of!($row, 2),
            state: {
                TaskState::of_word(&{
                    let word: String = $of!($row, 3);
                    word
                })
                .unwrap_or(TaskState::Waiting)
            },
            priority: $of!($row, 4),
            attempt: $of!($row, 5),
            failures: $of!($row, 6),
            attempts: $of!($row, 7),
            unique: $of!($row, 8),
            input: $of!($row, 9),
            progress: $of!($row, 10),
            result: $of!($row, 11),
            error: $of!($row, 12),
            cancel: $of!($row, 13),
            enqueued: $of!($row, 14),
            due: $of!($row, 15),
            begun: $of!($row, 16),
            ended: $of!($row, 17),
        }
    };
}

macro_rules! of_sqlite {
    ($row:ident, $place:literal) => {
        $row.get($place)?
    };
}

macro_rules! of_postgres {
    ($row:ident, $place:literal) => {
        $row.get($place)
    };
}

fn read_sqlite(row: &rusqlite::Row<'_>) -> rusqlite::Result<TaskRecord> {
    Ok(read!(row, of_sqlite))
}

fn read_postgres(row: &tokio_postgres::Row) -> TaskRecord {
    read!(row, of_postgres)
}

impl TaskQueue {
    /// A task.
    pub async fn task(&self, id: i64) -> Result<Option<TaskRecord>, AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let sql = concat!("SELECT ", columns!(), " FROM tasks WHERE id = ?1");
                file.read(&host(), move |connection| sqlite::one(connection, sql, [id], read_sqlite)).await
            }
            PluginData::Postgres(connections) => {
                let mut connection = connections.get(&host()).await?;
                let sql = concat!("SELECT ", columns!(), " FROM tasks WHERE id = $1");
                Ok(postgres::rows(&mut connection, sql, &[&id]).await?.first().map(read_postgres))
            }
        }
    }

    /// A part of the list, the newest first. What is longer than 4 KiB of a task is left out.
    pub async fn list(&self, query: TaskQuery) -> Result<TaskPage, AskError> {
        // What waits is shown as one, whether it is due or not.
        let states: Vec<&'static str> = match query.state {
            None => vec!["delayed", "waiting", "running", "done", "dead", "cancelled"],
            Some(TaskState::Waiting) => vec!["delayed", "waiting"],
            Some(state) => vec![state.word()],
        };
        let TaskQuery { plugin, kind, before, most, .. } = query;
        let (before, more) = (before.unwrap_or(i64::MAX), i64::try_from(most + 1).unwrap_or(i64::MAX));
        let mut tasks = match &self.data {
            PluginData::Sqlite(file) => {
                let sql = concat!(
                    "SELECT ",
                    short_columns!(),
                    " FROM tasks WHERE id < ?1 AND (?2 IS NULL OR plugin = ?2) AND (?3 IS NULL OR type = ?3) \
                     AND instr(?4, ',' || state || ',') ORDER BY id DESC LIMIT ?5"
                );
                let states = format!(",{},", states.join(","));
                let work = move |connection: &mut rusqlite::Connection| {
                    let values = rusqlite::params![before, plugin, kind, states, more];
                    sqlite::rows(connection, sql, values, read_sqlite)
                };
                file.read(&host(), work).await?
            }
            PluginData::Postgres(connections) => {
                let sql = concat!(
                    "SELECT ",
                    short_columns!(),
                    " FROM tasks WHERE id < $1 AND ($2::text IS NULL OR plugin = $2) AND ($3::text IS NULL OR type = $3) \
                     AND state = ANY ($4) ORDER BY id DESC LIMIT $5"
                );
                let mut connection = connections.get(&host()).await?;
                let found = postgres::rows(&mut connection, sql, &[&before, &plugin, &kind, &states, &more]).await?;
                found.iter().map(read_postgres).collect()
            }
        };
        let more = tasks.len() > most;
        tasks.truncate(most);
        Ok(TaskPage { tasks, more })
    }

    /// Gives a task up: what waits at once, what runs as soon as its server hears of it. Back comes the task, if there is one.
    pub async fn cancel(&self, id: i64) -> Result<Option<TaskRecord>, AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let now = self.now();
                let sql = "UPDATE tasks SET cancel = 1, \
                           ended = CASE WHEN state <> 'running' THEN ?2 END, \
                           forget = CASE WHEN state <> 'running' THEN ?2 + 86400000 END, \
                           state = CASE WHEN state = 'running' THEN state ELSE 'cancelled' END \
                           WHERE id = ?1 AND state IN ('delayed', 'waiting', 'running')";
                let work = move |connection: &mut rusqlite::Connection| {
                    connection.execute(sql, [id, now]).map(drop).map_err(crate::data::unavailable)
                };
                file.write(&host(), work).await?;
            }
            PluginData::Postgres(connections) => {
                const CANCEL: &str = concat!(
                    "UPDATE tasks SET cancel = TRUE, ended = CASE WHEN state <> 'running' THEN at END, \
                     forget = CASE WHEN state <> 'running' THEN at + 86400000 END, \
                     state = CASE WHEN state = 'running' THEN state ELSE 'cancelled' END FROM (SELECT ",
                    now!(),
                    " AS at) AS time WHERE id = $1 AND state IN ('delayed', 'waiting', 'running')"
                );
                let mut connection = connections.get(&host()).await?;
                postgres::rows(&mut connection, CANCEL, &[&id]).await?;
            }
        }
        self.hub.cancelled();
        self.task(id).await
    }

    /// Has a task tried again that is over and was not done, as if it were new. Back comes the task, if there is one; an error is
    /// that it is not over, or that another one took its place.
    pub async fn retry(&self, id: i64) -> Result<Option<TaskRecord>, AskError> {
        let Some(task) = self.task(id).await? else { return Ok(None) };
        if !matches!(task.state, TaskState::Dead | TaskState::Cancelled) {
            let told = format!("task {id} is {}: what is dead or cancelled is tried again", task.state.word());
            return Err(AskError::new(AskErrorCode::Conflict, told));
        }
        if let Some(key) = &task.unique {
            let query = TaskQuery {
                plugin: Some(task.plugin.clone()),
                kind: Some(task.kind.clone()),
                most: 1_000,
                ..TaskQuery::default()
            };
            let others = self.list(query).await?.tasks;
            if others.iter().any(|other| !other.state.is_over() && other.unique.as_ref() == Some(key)) {
                let told = format!("there is another task with the key `{key}` already");
                return Err(AskError::new(AskErrorCode::Conflict, told));
            }
        }
        match &self.data {
            PluginData::Sqlite(file) => {
                let now = self.now();
                let sql = "UPDATE tasks SET state = 'waiting', cancel = 0, failures = 0, due = ?2, ended = NULL, forget = NULL \
                           WHERE id = ?1 AND state IN ('dead', 'cancelled')";
                let work = move |connection: &mut rusqlite::Connection| {
                    connection.execute(sql, [id, now]).map(drop).map_err(crate::data::unavailable)
                };
                file.write(&host(), work).await?;
            }
            PluginData::Postgres(connections) => {
                const AGAIN: &str = concat!(
                    "UPDATE tasks SET state = 'waiting', cancel = FALSE, failures = 0, due = ",
                    now!(),
                    ", ended = NULL, forget = NULL WHERE id = $1 AND state IN ('dead', 'cancelled')"
                );
                let mut connection = connections.get(&host()).await?;
                postgres::rows(&mut connection, AGAIN, &[&id]).await?;
            }
        }
        self.wake();
        self.task(id).await
    }

    /// How many tasks of a plugin wait, due or not, as far as that many of each.
    pub(super) async fn waiting(&self, plugin: &Arc<str>, most: i64) -> Result<u64, AskError> {
        match &self.data {
            PluginData::Sqlite(file) if !file.path().exists() => Ok(0),
            PluginData::Sqlite(file) => {
                let plugin = plugin.clone();
                file.read(&host(), move |connection| sqlite::waiting(connection, &plugin, most)).await
            }
            PluginData::Postgres(connections) => {
                let sql = "SELECT (SELECT count(*) FROM (SELECT FROM tasks WHERE plugin = $1 AND state = 'waiting' LIMIT $2) AS found) \
                           + (SELECT count(*) FROM (SELECT FROM tasks WHERE plugin = $1 AND state = 'delayed' LIMIT $2) AS found)";
                let mut connection = connections.get(&host()).await?;
                let found = postgres::rows(&mut connection, sql, &[&&**plugin, &most]).await?;
                Ok(found.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)))
            }
        }
    }

    /// How many tasks of each plugin there are that are not done.
    pub async fn counts(&self) -> Result<BTreeMap<String, TaskCounts>, AskError> {
        let found: Vec<(String, String, i64)> = match &self.data {
            PluginData::Sqlite(file) if !file.path().exists() => Vec::new(),
            PluginData::Sqlite(file) => {
                let sql = "SELECT plugin, state, count(*) FROM tasks WHERE state IN ('delayed', 'waiting', 'running', 'dead') \
                           GROUP BY plugin, state";
                let work = move |connection: &mut rusqlite::Connection| {
                    sqlite::rows(connection, sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                };
                file.read(&host(), work).await?
            }
            PluginData::Postgres(connections) => {
                let sql = "SELECT plugin, state, count(*) FROM tasks WHERE state IN ('delayed', 'waiting', 'running', 'dead') \
                           GROUP BY plugin, state";
                let mut connection = connections.get(&host()).await?;
                let found = postgres::rows(&mut connection, sql, &[]).await?;
                found.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
            }
        };
        let mut counts = BTreeMap::<String, TaskCounts>::new();
        for (plugin, state, count) in found {
            let (of_plugin, count) = (counts.entry(plugin).or_default(), u64::try_from(count).unwrap_or(0));
            match state.as_str() {
                "running" => of_plugin.running += count,
                "dead" => of_plugin.dead += count,
                _ => of_plugin.waiting += count,
            }
        }
        Ok(counts)
    }

    /// Removes all tasks of a plugin: how many that were.
    pub async fn purge(&self, plugin: &Arc<str>) -> Result<u64, AskError> {
        let owner = plugin.clone();
        match &self.data {
            PluginData::Sqlite(file) if !file.path().exists() => Ok(0),
            PluginData::Sqlite(file) => {
                let work = move |connection: &mut rusqlite::Connection| {
                    sqlite::in_transaction(connection, |connection| {
                        let remove = |sql: &str| connection.execute(sql, [&*owner]).map_err(crate::data::unavailable);
                        remove("DELETE FROM task_limits WHERE plugin = ?1")?;
                        remove("DELETE FROM schedules WHERE plugin = ?1")?;
                        Ok(remove("DELETE FROM tasks WHERE plugin = ?1")? as u64)
                    })
                };
                file.write(plugin, work).await
            }
            PluginData::Postgres(connections) => {
                let mut connection = connections.get(plugin).await?;
                for sql in [
                    "DELETE FROM task_limits WHERE plugin = $1",
                    "DELETE FROM task_senders WHERE plugin = $1",
                    "DELETE FROM schedules WHERE plugin = $1",
                ] {
                    postgres::rows(&mut connection, sql, &[&&**plugin]).await?;
                }
                let sql = "DELETE FROM tasks WHERE plugin = $1 RETURNING 1";
                Ok(postgres::rows(&mut connection, sql, &[&&**plugin]).await?.len() as u64)
            }
        }
    }
}
