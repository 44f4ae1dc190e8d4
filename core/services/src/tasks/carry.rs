//! Carrying the queue along with a registry that is copied: every task and schedule, as it was. What ran waits again, for nobody runs it
//! there. What must not live here: the registry, which is carried first.

use super::{TaskQueue, host, postgres, sqlite};
use crate::data::{PluginData, unavailable};
use camlock_policy::{AskError, AskErrorCode};
use rusqlite::types::Value as Cell;

/// So many rows at once.
const PAGE: i64 = 200;

/// All that is kept of a task, but for who ran it.
macro_rules! columns {
    () => {
        "id, plugin, type, CASE state WHEN 'running' THEN 'waiting' ELSE state END, priority, due, input, unique_key, attempt, \
         failures, attempts, backoff, time_limit, retention, cancel, progress, result, error, trace, enqueued, begun, ended, forget"
    };
}

/// A task, in the order of its columns. Of both databases each is a number, a text, or nothing.
type TaskRow = Vec<Cell>;

/// A schedule.
type ScheduleRow = (String, String, String, Option<i64>, Option<i64>, Option<i64>);

/// Carries everything: how many tasks that were. Nothing may be in the target; after an error nothing is.
pub async fn carry(from: &TaskQueue, to: &TaskQueue) -> Result<u64, AskError> {
    if !page(to, 0).await?.is_empty() {
        let told = "there are tasks of plugins there already: nothing of them was carried";
        return Err(AskError::new(AskErrorCode::Conflict, told));
    }
    let carried = carry_all(from, to).await;
    if carried.is_err() {
        empty(to).await?;
    }
    carried
}

async fn carry_all(from: &TaskQueue, to: &TaskQueue) -> Result<u64, AskError> {
    let (mut carried, mut last) = (0, 0);
    loop {
        let tasks = page(from, last).await?;
        let Some(Cell::Integer(id)) = tasks.last().and_then(|task| task.first()) else { break };
        last = *id;
        carried += tasks.len() as u64;
        put(to, tasks).await?;
    }
    put_schedules(to, schedules(from).await?, last).await?;
    Ok(carried)
}

/// Tasks after this one, in the order of their numbers.
async fn page(queue: &TaskQueue, after: i64) -> Result<Vec<TaskRow>, AskError> {
    match &queue.data {
        PluginData::Sqlite(file) => {
            let sql = concat!("SELECT ", columns!(), " FROM tasks WHERE id > ?1 ORDER BY id LIMIT ?2");
            let work = move |connection: &mut rusqlite::Connection| {
                sqlite::rows(connection, sql, [after, PAGE], |row| (0..23).map(|place| row.get(place)).collect())
            };
            file.read(&host(), work).await
        }
        PluginData::Postgres(connections) => {
            let sql = concat!("SELECT ", columns!(), " FROM tasks WHERE id > $1 ORDER BY id LIMIT $2");
            let mut connection = connections.get(&host()).await?;
            let found = postgres::rows(&mut connection, sql, &[&after, &PAGE]).await?;
            Ok(found.iter().map(read).collect())
        }
    }
}

fn read(row: &tokio_postgres::Row) -> TaskRow {
    use tokio_postgres::types::Type;
    let cell = |place: usize| {
        let number = |number: Option<i64>| number.map_or(Cell::Null, Cell::Integer);
        match row.columns().get(place).map(|column| column.type_().clone()) {
            Some(Type::INT8) => number(row.get(place)),
            Some(Type::INT4) => number(row.get::<_, Option<i32>>(place).map(i64::from)),
            Some(Type::BOOL) => number(row.get::<_, Option<bool>>(place).map(i64::from)),
            _ => row.get::<_, Option<String>>(place).map_or(Cell::Null, Cell::Text),
        }
    };
    (0..row.len()).map(cell).collect()
}

/// As an array of JSON, which both databases take apart: numbers and texts are what they were.
async fn put(queue: &TaskQueue, tasks: Vec<TaskRow>) -> Result<(), AskError> {
    match &queue.data {
        PluginData::Sqlite(file) => {
            let sql = "INSERT INTO tasks (id, plugin, type, state, priority, due, input, unique_key, attempt, failures, attempts, \
                       backoff, time_limit, retention, cancel, progress, result, error, trace, enqueued, begun, ended, forget) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
                       ?22, ?23)";
            let work = move |connection: &mut rusqlite::Connection| {
                sqlite::in_transaction(connection, |connection| {
                    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
                    let put = |task| statement.execute(rusqlite::params_from_iter(task)).map(drop).map_err(unavailable);
                    tasks.into_iter().try_for_each(put)
                })
            };
            file.write(&host(), work).await
        }
        PluginData::Postgres(connections) => {
            let sql = "INSERT INTO tasks (id, plugin, type, state, priority, due, input, unique_key, attempt, failures, attempts, \
                       backoff, time_limit, retention, cancel, progress, result, error, trace, enqueued, begun, ended, forget) \
                       OVERRIDING SYSTEM VALUE SELECT (t->>0)::bigint, t->>1, t->>2, t->>3, (t->>4)::integer, (t->>5)::bigint, \
                       t->>6, t->>7, (t->>8)::integer, (t->>9)::integer, (t->>10)::integer, (t->>11)::bigint, \
                       (t->>12)::bigint, (t->>13)::bigint, (t->>14)::integer <> 0, t->>15, t->>16, t->>17, t->>18, \
                       (t->>19)::bigint, (t->>20)::bigint, (t->>21)::bigint, (t->>22)::bigint \
                       FROM json_array_elements($1::text::json) AS t";
            let cell = |cell: Cell| match cell {
                Cell::Integer(number) => serde_json::Value::from(number),
                Cell::Text(text) => serde_json::Value::from(text),
                _ => serde_json::Value::Null,
            };
            let tasks = tasks.into_iter().map(|task| task.into_iter().map(cell).collect::<serde_json::Value>());
            let text = tasks.collect::<serde_json::Value>().to_string();
            let mut connection = connections.get(&host()).await?;
            postgres::rows(&mut connection, sql, &[&text]).await.map(drop)
        }
    }
}

async fn schedules(queue: &TaskQueue) -> Result<Vec<ScheduleRow>, AskError> {
    let sql = "SELECT plugin, name, times, next, last, last_task FROM schedules ORDER BY plugin, name";
    match &queue.data {
        PluginData::Sqlite(file) => {
            let work = move |connection: &mut rusqlite::Connection| {
                sqlite::rows(connection, sql, [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
                })
            };
            file.read(&host(), work).await
        }
        PluginData::Postgres(connections) => {
            let mut connection = connections.get(&host()).await?;
            let found = postgres::rows(&mut connection, sql, &[]).await?;
            let read =
                |row: &tokio_postgres::Row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5));
            Ok(found.iter().map(read).collect())
        }
    }
}

/// And from now on numbers after the last that was carried are given.
async fn put_schedules(queue: &TaskQueue, schedules: Vec<ScheduleRow>, last: i64) -> Result<(), AskError> {
    match &queue.data {
        PluginData::Sqlite(file) => {
            let work = move |connection: &mut rusqlite::Connection| {
                sqlite::in_transaction(connection, |connection| {
                    let sql = "INSERT INTO schedules VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                    for (plugin, name, times, next, last, task) in schedules {
                        let values = rusqlite::params![plugin, name, times, next, last, task];
                        connection.execute(sql, values).map_err(unavailable)?;
                    }
                    let sql =
                        "INSERT INTO task_ids VALUES (0, ?1) ON CONFLICT (only_one) DO UPDATE SET last = max(last, ?1)";
                    connection.execute(sql, [last]).map(drop).map_err(unavailable)
                })
            };
            file.write(&host(), work).await
        }
        PluginData::Postgres(connections) => {
            let mut connection = connections.get(&host()).await?;
            let sql =
                "INSERT INTO schedules (plugin, name, times, next, last, last_task) VALUES ($1, $2, $3, $4, $5, $6)";
            for (plugin, name, times, next, last, task) in &schedules {
                postgres::rows(&mut connection, sql, &[plugin, name, times, next, last, task]).await?;
            }
            let sql = "SELECT setval(pg_get_serial_sequence('tasks', 'id'), greatest($1::bigint, 1), $1::bigint > 0)";
            postgres::rows(&mut connection, sql, &[&last]).await.map(drop)
        }
    }
}

/// Takes back what was carried, where something else could not be.
pub async fn empty(queue: &TaskQueue) -> Result<(), AskError> {
    match &queue.data {
        PluginData::Sqlite(file) => {
            let work = move |connection: &mut rusqlite::Connection| {
                connection.execute_batch("DELETE FROM tasks; DELETE FROM schedules").map_err(unavailable)
            };
            file.write(&host(), work).await
        }
        PluginData::Postgres(connections) => {
            let mut connection = connections.get(&host()).await?;
            postgres::rows(&mut connection, "DELETE FROM tasks", &[]).await?;
            postgres::rows(&mut connection, "DELETE FROM schedules", &[]).await.map(drop)
        }
    }
}
