//! The queue in SQLite, in the file that plugins' tables are in. Every function runs within a transaction of its caller's, or is one
//! statement. What must not live here: what operators ask of it (`queries.rs`).

use super::record::{
    ClaimTerms, ClaimedBatch, ClaimedTask, Enqueued, Heartbeat, HeartbeatAnswer, OfferedTask, Settlement, refilled,
};
use crate::data::unavailable;
use camlock_policy::AskError;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

/// As in PostgreSQL: see the migration there.
pub(crate) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS tasks (
        id INTEGER PRIMARY KEY, plugin TEXT NOT NULL, type TEXT NOT NULL, state TEXT NOT NULL, priority INTEGER NOT NULL,
        due INTEGER NOT NULL, input TEXT NOT NULL, unique_key TEXT, attempt INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0, attempts INTEGER, backoff INTEGER, time_limit INTEGER, retention INTEGER,
        runner TEXT, cancel INTEGER NOT NULL DEFAULT 0, progress TEXT, result TEXT, error TEXT, trace TEXT,
        enqueued INTEGER NOT NULL, begun INTEGER, ended INTEGER, forget INTEGER
    );
    CREATE INDEX IF NOT EXISTS tasks_next ON tasks (plugin, type, priority DESC, id) WHERE state = 'waiting';
    CREATE INDEX IF NOT EXISTS tasks_delayed ON tasks (due) WHERE state = 'delayed';
    CREATE INDEX IF NOT EXISTS tasks_running ON tasks (plugin, type) WHERE state = 'running';
    CREATE INDEX IF NOT EXISTS tasks_dead ON tasks (id) WHERE state = 'dead';
    CREATE INDEX IF NOT EXISTS tasks_forget ON tasks (forget) WHERE forget IS NOT NULL;
    CREATE UNIQUE INDEX IF NOT EXISTS tasks_unique ON tasks (plugin, type, unique_key)
        WHERE unique_key IS NOT NULL AND state IN ('delayed', 'waiting', 'running');
    CREATE TABLE IF NOT EXISTS task_ids (only_one INTEGER PRIMARY KEY, last INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS task_runners (id TEXT PRIMARY KEY, node TEXT NOT NULL, heard INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS task_limits (
        plugin TEXT NOT NULL, type TEXT NOT NULL, tokens REAL NOT NULL, filled INTEGER NOT NULL, PRIMARY KEY (plugin, type)
    );
    CREATE TABLE IF NOT EXISTS schedules (
        plugin TEXT NOT NULL, name TEXT NOT NULL, times TEXT NOT NULL, next INTEGER, last INTEGER, last_task INTEGER,
        PRIMARY KEY (plugin, name)
    );
";

type QueueResult<T> = Result<T, AskError>;

fn execute(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> QueueResult<usize> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute(values)).map_err(unavailable)
}

pub(super) fn rows<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> QueueResult<Vec<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let rows = statement.query_map(values, read);
    rows.and_then(|rows| rows.collect()).map_err(unavailable)
}

/// Does all of it or nothing.
pub(super) fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> QueueResult<T>,
) -> QueueResult<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)?;
    let done = work(&transaction)?;
    transaction.commit().map_err(unavailable)?;
    Ok(done)
}

pub(super) fn milliseconds(time: Option<std::time::Duration>) -> Option<i64> {
    time.map(super::milliseconds)
}

/// How many tasks of a plugin wait, due or not, as far as that many of each.
pub(super) fn waiting(connection: &Connection, plugin: &str, most: i64) -> QueueResult<u64> {
    let sql = "SELECT (SELECT count(*) FROM (SELECT 1 FROM tasks WHERE plugin = ?1 AND state = 'waiting' LIMIT ?2)) \
               + (SELECT count(*) FROM (SELECT 1 FROM tasks WHERE plugin = ?1 AND state = 'delayed' LIMIT ?2))";
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let count: i64 = statement.query_row(params![plugin, most], |row| row.get(0)).map_err(unavailable)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Numbers are never used twice, whatever was removed.
fn next_id(connection: &Connection) -> QueueResult<i64> {
    let sql = "INSERT INTO task_ids VALUES (0, 1) ON CONFLICT (only_one) DO UPDATE SET last = last + 1 RETURNING last";
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    statement.query_row([], |row| row.get(0)).map_err(unavailable)
}

pub(crate) fn enqueue(connection: &Connection, plugin: &str, task: &OfferedTask, now: i64) -> QueueResult<Enqueued> {
    if let Some(key) = &task.unique {
        let sql = "SELECT id FROM tasks WHERE plugin = ?1 AND type = ?2 AND unique_key = ?3 \
                   AND state IN ('delayed', 'waiting', 'running')";
        let there = rows(connection, sql, params![plugin, task.kind, key], |row| row.get(0))?;
        if let Some(id) = there.first() {
            return Ok(Enqueued { id: *id, is_new: false });
        }
    }
    let delay = super::milliseconds(task.delay);
    let state = if delay > 0 { "delayed" } else { "waiting" };
    let id = next_id(connection)?;
    let sql = "INSERT INTO tasks (id, plugin, type, state, priority, due, input, unique_key, attempts, time_limit, backoff, \
               retention, trace, enqueued) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let values = params![
        id,
        plugin,
        task.kind,
        state,
        task.priority,
        now.saturating_add(delay),
        task.input,
        task.unique,
        task.attempts,
        milliseconds(task.time_limit),
        milliseconds(task.backoff),
        milliseconds(task.retention),
        trace_text(task.trace),
        now,
    ];
    execute(connection, sql, values)?;
    Ok(Enqueued { id, is_new: true })
}

/// A trace id as text, if it is one.
pub(super) fn trace_text(trace: [u8; 16]) -> Option<String> {
    (trace != [0; 16]).then(|| trace.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) fn claim(connection: &Connection, terms: &ClaimTerms, now: i64) -> QueueResult<ClaimedBatch> {
    let ClaimTerms { runner, plugin, kind, .. } = terms;
    let mut most = i64::try_from(terms.most).unwrap_or(i64::MAX);
    if let Some(concurrency) = terms.terms.concurrency {
        let sql = "SELECT count(*) FROM tasks WHERE plugin = ?1 AND type = ?2 AND state = 'running'";
        let running: Vec<i64> = rows(connection, sql, params![plugin, kind], |row| row.get(0))?;
        most = most.min(i64::from(concurrency) - running.first().copied().unwrap_or(0));
    }
    let (mut tokens, mut again) = (f64::MAX, None);
    if let Some(rate) = terms.terms.rate {
        let sql = "SELECT tokens, filled FROM task_limits WHERE plugin = ?1 AND type = ?2";
        let there: Vec<(f64, i64)> =
            rows(connection, sql, params![plugin, kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
        // What was never limited begins with a full bucket.
        let (had, filled) = there.first().copied().unwrap_or((0.0, 0));
        let (has, wait) = refilled(rate, had, filled, now);
        tokens = has;
        most = most.min(has as i64);
        again = (has < 1.0).then_some(wait);
    }
    if most < 1 {
        return Ok(ClaimedBatch { tasks: Vec::new(), again });
    }
    let sql = "UPDATE tasks SET state = 'running', attempt = attempt + 1, runner = ?1, begun = ?2, progress = NULL, \
               attempts = coalesce(attempts, ?3) WHERE id IN (SELECT id FROM tasks WHERE plugin = ?4 AND type = ?5 \
               AND state = 'waiting' ORDER BY priority DESC, id LIMIT ?6) AND EXISTS (SELECT 1 FROM task_runners WHERE id = ?1) \
               RETURNING id, priority, attempt, failures, attempts, input, backoff, time_limit, retention, trace, enqueued";
    let values = params![runner, now, terms.terms.attempts, plugin, kind, most];
    let mut tasks = rows(connection, sql, values, |row| {
        Ok(ClaimedTask {
            id: row.get(0)?,
            priority: row.get(1)?,
            attempt: row.get(2)?,
            failures: row.get(3)?,
            attempts: row.get(4)?,
            input: row.get(5)?,
            backoff: row.get(6)?,
            time_limit: row.get(7)?,
            retention: row.get(8)?,
            trace: row.get(9)?,
            enqueued: row.get(10)?,
        })
    })?;
    tasks.sort_by_key(|task| task.id);
    if terms.terms.rate.is_some() && !tasks.is_empty() {
        let left = tokens - tasks.len() as f64;
        let sql = "INSERT INTO task_limits VALUES (?1, ?2, ?3, ?4) ON CONFLICT (plugin, type) DO UPDATE SET tokens = ?3, \
                   filled = ?4";
        execute(connection, sql, params![plugin, kind, left, now])?;
        if let Some(rate) = terms.terms.rate {
            again = (left < 1.0).then(|| refilled(rate, left, now, now).1);
        }
    }
    Ok(ClaimedBatch { tasks, again })
}

/// When the next is due that is not yet.
pub(super) fn next_due(connection: &Connection) -> QueueResult<Option<i64>> {
    let sql = "SELECT due FROM tasks WHERE state = 'delayed' ORDER BY due LIMIT 1";
    Ok(rows(connection, sql, [], |row| row.get(0))?.first().copied())
}

pub(super) fn promote(connection: &Connection, now: i64) -> QueueResult<Option<i64>> {
    let sql = "UPDATE tasks SET state = 'waiting' WHERE id IN (SELECT id FROM tasks WHERE state = 'delayed' AND due <= ?1 \
               ORDER BY due LIMIT 1000)";
    execute(connection, sql, [now])?;
    next_due(connection)
}

pub(super) fn settle(connection: &Connection, runner: &str, settled: &[Settlement], now: i64) -> QueueResult<usize> {
    let sql = "UPDATE tasks SET state = CASE WHEN cancel AND ?4 IN ('waiting', 'delayed') THEN 'cancelled' ELSE ?4 END, \
               failures = ?5, due = ?6, result = ?7, error = ?8, runner = NULL, \
               ended = CASE WHEN cancel OR ?9 IS NOT NULL THEN ?10 END, \
               forget = CASE WHEN ?9 IS NOT NULL THEN ?9 WHEN cancel THEN ?10 + 86400000 END \
               WHERE id = ?1 AND attempt = ?2 AND runner = ?3 AND state = 'running'";
    let mut written = 0;
    for one in settled {
        let (due, forget) = (now.saturating_add(one.delay), one.keep.map(|keep| now.saturating_add(keep)));
        let (state, result, error) = (one.state.word(), &one.result, &one.error);
        let values = params![one.id, one.attempt, runner, state, one.failures, due, result, error, forget, now];
        written += execute(connection, sql, values)?;
    }
    Ok(written)
}

/// What somebody ran who is not there any more waits again; it counts as a failure, for perhaps it was the task that ended it.
fn rescue(connection: &Connection, now: i64) -> QueueResult<u64> {
    let sql = "UPDATE tasks SET runner = NULL, failures = failures + 1, due = ?1, \
               error = 'the server that ran it was not heard of any more', \
               ended = CASE WHEN cancel OR failures + 1 >= attempts THEN ?1 END, \
               forget = CASE WHEN cancel OR failures + 1 >= attempts THEN ?1 + 2592000000 END, \
               state = CASE WHEN cancel THEN 'cancelled' WHEN failures + 1 >= attempts THEN 'dead' ELSE 'waiting' END \
               WHERE state = 'running' AND NOT EXISTS (SELECT 1 FROM task_runners WHERE id = tasks.runner)";
    Ok(execute(connection, sql, [now])? as u64)
}

pub(super) fn register(connection: &Connection, runner: &str, node: &str, now: i64) -> QueueResult<()> {
    execute(connection, "DELETE FROM task_runners WHERE node = ?1", [node])?;
    rescue(connection, now)?;
    execute(connection, "INSERT INTO task_runners VALUES (?1, ?2, ?3)", params![runner, node, now])?;
    Ok(())
}

pub(super) fn deregister(connection: &Connection, runner: &str, now: i64) -> QueueResult<()> {
    let sql = "UPDATE tasks SET runner = NULL, state = 'waiting', due = ?2 WHERE runner = ?1 AND state = 'running' \
               AND NOT cancel";
    execute(connection, sql, params![runner, now])?;
    execute(connection, "DELETE FROM task_runners WHERE id = ?1", [runner])?;
    rescue(connection, now).map(drop)
}

pub(super) fn renew(connection: &Connection, beat: &Heartbeat, now: i64) -> QueueResult<HeartbeatAnswer> {
    let Heartbeat { runner, silence, progress, .. } = beat;
    let heard = execute(connection, "UPDATE task_runners SET heard = ?2 WHERE id = ?1", params![runner, now])?;
    let sql = "UPDATE tasks SET progress = ?3 WHERE id = ?1 AND attempt = ?2 AND runner = ?4 AND state = 'running'";
    for (id, attempt, text) in progress {
        execute(connection, sql, params![id, attempt, text, runner])?;
    }
    let gone = execute(connection, "DELETE FROM task_runners WHERE heard < ?1", [now.saturating_sub(*silence)])?;
    let rescued = if gone > 0 { rescue(connection, now)? } else { 0 };
    let sql = "SELECT id, attempt FROM tasks WHERE state = 'running' AND runner = ?1 AND cancel";
    let cancelled = rows(connection, sql, [runner], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(HeartbeatAnswer { is_known: heard > 0, cancelled, rescued })
}

pub(super) fn sweep(connection: &Connection, now: i64) -> QueueResult<u64> {
    let sql = "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE forget <= ?1 LIMIT 1000)";
    Ok(execute(connection, sql, [now])? as u64)
}

/// One row, if there is one.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> QueueResult<Option<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    statement.query_row(values, read).optional().map_err(unavailable)
}
