//! Schedules: their runs are tasks, enqueued by whoever is first to see that one is due. What must not live here: when one is due, which
//! is policy, and how a run is brought to its plugin (`running.rs`).

use super::{
    TaskQueue, host,
    known::TakenTask,
    postgres::{self, now},
    record::OfferedTask,
    sqlite,
};
use crate::data::{PluginData, unavailable};
use camlock_policy::{AskError, Schedule, ScheduledRuns};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A schedule, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRecord {
    /// Its name.
    pub name: String,
    /// Its times, in words.
    pub times: String,
    /// When it is due next, in milliseconds since 1970, if it ever is.
    pub next: Option<i64>,
    /// The time of its last run.
    pub last: Option<i64>,
    /// The task that this was.
    pub last_task: Option<i64>,
}

/// What is to be written of one schedule.
struct ScheduleStep {
    plugin: Arc<str>,
    schedule: Arc<Schedule>,
    /// What was there: nothing, or other times, or when it was due.
    before: Option<(String, Option<i64>)>,
    runs: ScheduledRuns,
}

impl ScheduleStep {
    /// What is to be done about a schedule, if anything; and when it is due next.
    fn of(
        plugin: &Arc<str>,
        schedule: &Arc<Schedule>,
        before: Option<(String, Option<i64>)>,
        now: i64,
    ) -> (Option<Self>, Option<i64>) {
        let runs = match &before {
            // A new one, or one whose times are others now, begins with the next of them.
            Some((times, Some(due))) if *times == schedule.text() => {
                if *due > now {
                    return (None, Some(*due));
                }
                schedule.runs(*due, now)
            }
            Some((times, None)) if *times == schedule.text() => return (None, None),
            _ => ScheduledRuns { due: Vec::new(), next: schedule.next_after(now) },
        };
        let next = runs.next;
        (Some(ScheduleStep { plugin: plugin.clone(), schedule: schedule.clone(), before, runs }), next)
    }

    fn tasks(&self) -> Vec<OfferedTask> {
        let task = |due: &i64| OfferedTask {
            kind: format!("@{}", self.schedule.name),
            input: serde_json::json!({ "due": due }).to_string(),
            delay: self.schedule.jitter.mul_f64(super::running::random()),
            ..OfferedTask::default()
        };
        self.runs.due.iter().map(task).collect()
    }
}

impl TaskQueue {
    /// Enqueues the runs that are due: after how long the next one is.
    pub(super) async fn run_schedules(
        &self,
        known: &BTreeMap<Arc<str>, Vec<TakenTask>>,
    ) -> Result<Option<Duration>, AskError> {
        let own = |(plugin, types): (&Arc<str>, &Vec<TakenTask>)| -> Vec<(Arc<str>, Arc<Schedule>)> {
            types.iter().filter_map(|taken| Some((plugin.clone(), taken.schedule.clone()?))).collect()
        };
        let schedules: Vec<_> = known.iter().flat_map(own).collect();
        if schedules.is_empty() {
            return Ok(None);
        }
        let (kept, now) = self.kept_schedules().await?;
        let mut next: Option<i64> = None;
        for (plugin, schedule) in &schedules {
            let before = kept.get(&(plugin.to_string(), schedule.name.clone())).cloned();
            let (step, due) = ScheduleStep::of(plugin, schedule, before, now);
            next = next.into_iter().chain(due).min();
            if let Some(step) = step
                && self.take_step(step).await?
            {
                self.wake();
            }
        }
        Ok(next.map(|due| super::until(due, now)))
    }

    /// The times and the next due of each, and what time it is.
    #[allow(clippy::type_complexity, reason = "it is read here alone")]
    async fn kept_schedules(&self) -> Result<(BTreeMap<(String, String), (String, Option<i64>)>, i64), AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let queue = self.clone();
                let work = move |connection: &mut rusqlite::Connection| {
                    let sql = "SELECT plugin, name, times, next FROM schedules";
                    let read = |row: &rusqlite::Row<'_>| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)));
                    Ok((sqlite::rows(connection, sql, [], read)?.into_iter().collect(), queue.now()))
                };
                file.read(&host(), work).await
            }
            PluginData::Postgres(connections) => {
                const READ: &str = concat!("SELECT plugin, name, times, next, ", now!(), " FROM schedules");
                const NOW: &str = concat!("SELECT ", now!());
                let mut connection = connections.get(&host()).await?;
                let found = postgres::rows(&mut connection, READ, &[]).await?;
                let now = match found.first() {
                    Some(row) => row.get(4),
                    None => postgres::rows(&mut connection, NOW, &[]).await?.first().map_or(0, |row| row.get(0)),
                };
                let read = |row: &tokio_postgres::Row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)));
                Ok((found.iter().map(read).collect(), now))
            }
        }
    }

    /// Moves a schedule on and enqueues its runs, unless somebody else did: whether this one did.
    async fn take_step(&self, step: ScheduleStep) -> Result<bool, AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let queue = self.clone();
                let work = move |connection: &mut rusqlite::Connection| {
                    sqlite::in_transaction(connection, |connection| in_file(connection, &step, queue.now()))
                };
                file.write(&host(), work).await
            }
            PluginData::Postgres(connections) => {
                let pool = connections.clone();
                postgres::detached(connections, async move {
                    let mut connection = pool.get(&host()).await?;
                    connection.spoil();
                    postgres::plain(&mut connection, "BEGIN").await?;
                    let done = on_server(&mut connection, &step).await;
                    postgres::end(&mut connection, done).await
                })
                .await
            }
        }
    }

    /// The schedules of a plugin, by name.
    pub async fn schedules(&self, plugin: &str) -> Result<Vec<ScheduleRecord>, AskError> {
        let owner = plugin.to_owned();
        match &self.data {
            PluginData::Sqlite(file) if !file.path().exists() => Ok(Vec::new()),
            PluginData::Sqlite(file) => {
                let sql = "SELECT name, times, next, last, last_task FROM schedules WHERE plugin = ?1 ORDER BY name";
                let work = move |connection: &mut rusqlite::Connection| {
                    sqlite::rows(connection, sql, [owner], |row| {
                        let (name, times, next) = (row.get(0)?, row.get(1)?, row.get(2)?);
                        Ok(ScheduleRecord { name, times, next, last: row.get(3)?, last_task: row.get(4)? })
                    })
                };
                file.read(&host(), work).await
            }
            PluginData::Postgres(connections) => {
                let sql = "SELECT name, times, next, last, last_task FROM schedules WHERE plugin = $1 ORDER BY name";
                let mut connection = connections.get(&host()).await?;
                let found = postgres::rows(&mut connection, sql, &[&owner]).await?;
                let read = |row: &tokio_postgres::Row| ScheduleRecord {
                    name: row.get(0),
                    times: row.get(1),
                    next: row.get(2),
                    last: row.get(3),
                    last_task: row.get(4),
                };
                Ok(found.iter().map(read).collect())
            }
        }
    }
}

fn in_file(connection: &rusqlite::Connection, step: &ScheduleStep, now: i64) -> Result<bool, AskError> {
    let ScheduleStep { plugin, schedule, before, runs } = step;
    let times = schedule.text();
    let moved = match before {
        None => {
            let sql =
                "INSERT INTO schedules (plugin, name, times, next) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
            connection.execute(sql, rusqlite::params![plugin, schedule.name, times, runs.next])
        }
        Some((was, due)) => {
            let sql = "UPDATE schedules SET times = ?3, next = ?4 WHERE plugin = ?1 AND name = ?2 AND times = ?5 AND next IS ?6";
            connection.execute(sql, rusqlite::params![plugin, schedule.name, times, runs.next, was, due])
        }
    };
    if moved.map_err(unavailable)? == 0 {
        return Ok(false);
    }
    for (task, due) in step.tasks().iter().zip(&runs.due) {
        let made = sqlite::enqueue(connection, plugin, task, now)?;
        let sql = "UPDATE schedules SET last = ?3, last_task = ?4 WHERE plugin = ?1 AND name = ?2";
        connection.execute(sql, rusqlite::params![plugin, schedule.name, due, made.id]).map_err(unavailable)?;
    }
    Ok(true)
}

async fn on_server(connection: &mut crate::data::PooledConnection, step: &ScheduleStep) -> Result<bool, AskError> {
    let ScheduleStep { plugin, schedule, before, runs } = step;
    let (plugin, times) = (&**plugin, schedule.text());
    let moved = match before {
        None => {
            let sql = "INSERT INTO schedules (plugin, name, times, next) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING \
                       RETURNING 1";
            postgres::rows(connection, sql, &[&plugin, &schedule.name, &times, &runs.next]).await?
        }
        Some((was, due)) => {
            let sql = "UPDATE schedules SET times = $3, next = $4 WHERE plugin = $1 AND name = $2 AND times = $5 \
                       AND next IS NOT DISTINCT FROM $6 RETURNING 1";
            postgres::rows(connection, sql, &[&plugin, &schedule.name, &times, &runs.next, was, due]).await?
        }
    };
    if moved.is_empty() {
        return Ok(false);
    }
    for (task, due) in step.tasks().iter().zip(&runs.due) {
        let made = postgres::enqueue_one(connection, plugin, task).await?;
        let sql = "UPDATE schedules SET last = $3, last_task = $4 WHERE plugin = $1 AND name = $2";
        postgres::rows(connection, sql, &[&plugin, &schedule.name, due, &made.id]).await?;
    }
    Ok(true)
}
