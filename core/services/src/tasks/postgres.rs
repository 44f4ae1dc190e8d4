//! The queue in PostgreSQL. What must not live here: the tables (a migration of the registry), and what operators ask of it
//! (`queries.rs`).

use super::{
    host,
    record::{
        ClaimFrom, ClaimTerms, ClaimedBatch, ClaimedTask, Enqueued, Heartbeat, HeartbeatAnswer, OfferedTask,
        Settlement, refilled,
    },
    sqlite::{milliseconds, trace_text},
    until,
};
use crate::data::{PooledConnection, PostgresConnections, unavailable};
use camlock_policy::AskError;
use std::{sync::Arc, time::Duration};
use tokio_postgres::{Row, types::ToSql};

type QueueResult<T> = Result<T, AskError>;

/// The database's time, in milliseconds since 1970: that of all servers.
macro_rules! now {
    () => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}
pub(super) use now;

pub(super) async fn rows(
    connection: &mut PooledConnection,
    sql: &'static str,
    values: &[&(dyn ToSql + Sync)],
) -> QueueResult<Vec<Row>> {
    let statement = connection.statement(sql).await?;
    connection.client()?.query(&statement, values).await.map_err(unavailable)
}

/// Does something in a task of its own, so that a transaction is brought to its end whoever waits for it.
pub(super) async fn detached<T: Send + 'static>(
    connections: &PostgresConnections,
    work: impl Future<Output = QueueResult<T>> + Send + 'static,
) -> QueueResult<T> {
    connections.runtime().spawn(work).await.unwrap_or_else(|_| Err(unavailable("the work broke off")))
}

pub(super) async fn plain(connection: &mut PooledConnection, sql: &str) -> QueueResult<()> {
    connection.client()?.batch_execute(sql).await.map_err(unavailable)
}

/// Ends a transaction: by a commit where the work is done, and else by taking it back.
pub(super) async fn end<T>(connection: &mut PooledConnection, done: QueueResult<T>) -> QueueResult<T> {
    let word = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = plain(connection, word).await;
    if ended.is_ok() {
        connection.restore();
    }
    let done = done?;
    ended.map(|()| done)
}

pub(super) async fn enqueue(
    connections: &PostgresConnections,
    plugin: &Arc<str>,
    tasks: Vec<OfferedTask>,
) -> QueueResult<Vec<Enqueued>> {
    let (pool, plugin) = (connections.clone(), plugin.clone());
    detached(connections, async move {
        let mut connection = pool.get(&plugin).await?;
        if let [task] = tasks.as_slice() {
            return enqueue_one(&mut connection, &plugin, task).await.map(|one| vec![one]);
        }
        connection.spoil();
        plain(&mut connection, "BEGIN").await?;
        let done = enqueue_all(&mut connection, &plugin, &tasks).await;
        end(&mut connection, done).await
    })
    .await
}

pub(super) async fn enqueue_one(
    connection: &mut PooledConnection,
    plugin: &str,
    task: &OfferedTask,
) -> QueueResult<Enqueued> {
    const INSERT: &str = concat!(
        "INSERT INTO tasks (plugin, type, state, priority, due, input, unique_key, attempts, time_limit, backoff, retention, \
         trace, enqueued) SELECT $1::text, $2::text, CASE WHEN $4::bigint > 0 THEN 'delayed' ELSE 'waiting' END, $3::integer, \
         at + $4::bigint, $5::text, $6::text, $7::integer, $8::bigint, $9::bigint, $10::bigint, $11::text, at FROM (SELECT ",
        now!(),
        " AS at) AS time ON CONFLICT (plugin, type, unique_key) WHERE unique_key IS NOT NULL \
         AND state IN ('delayed', 'waiting', 'running') DO NOTHING RETURNING id"
    );
    let find = "SELECT id FROM tasks WHERE plugin = $1 AND type = $2 AND unique_key = $3 \
                AND state IN ('delayed', 'waiting', 'running')";
    let attempts = task.attempts.map(|attempts| i32::try_from(attempts).unwrap_or(i32::MAX));
    let (delay, time_limit) = (super::milliseconds(task.delay), milliseconds(task.time_limit));
    let (backoff, retention) = (milliseconds(task.backoff), milliseconds(task.retention));
    let trace = trace_text(task.trace);
    // What is there may end between the two questions: then there is room again.
    for _ in 0..10 {
        let values: [&(dyn ToSql + Sync); 11] = [
            &plugin,
            &task.kind,
            &task.priority,
            &delay,
            &task.input,
            &task.unique,
            &attempts,
            &time_limit,
            &backoff,
            &retention,
            &trace,
        ];
        if let Some(row) = rows(connection, INSERT, &values).await?.first() {
            return Ok(Enqueued { id: row.get(0), is_new: true });
        }
        if let Some(row) = rows(connection, find, &[&plugin, &task.kind, &task.unique]).await?.first() {
            return Ok(Enqueued { id: row.get(0), is_new: false });
        }
    }
    Err(unavailable("others enqueue the same without end"))
}

/// Many at once; those that are to be unique are looked at one by one.
async fn enqueue_all(
    connection: &mut PooledConnection,
    plugin: &str,
    tasks: &[OfferedTask],
) -> QueueResult<Vec<Enqueued>> {
    if tasks.iter().any(|task| task.unique.is_some()) {
        let mut done = Vec::with_capacity(tasks.len());
        for task in tasks {
            done.push(enqueue_one(connection, plugin, task).await?);
        }
        return Ok(done);
    }
    const INSERT: &str = concat!(
        "INSERT INTO tasks (plugin, type, state, priority, due, input, attempts, time_limit, backoff, retention, trace, \
         enqueued) SELECT $1::text, kind, CASE WHEN delay > 0 THEN 'delayed' ELSE 'waiting' END, rank, at + delay, input, attempts, \
         time_limit, backoff, retention, trace, at FROM (SELECT ",
        now!(),
        " AS at) AS time, unnest($2::text[], $3::integer[], $4::bigint[], $5::text[], $6::integer[], $7::bigint[], \
         $8::bigint[], $9::bigint[], $10::text[]) WITH ORDINALITY \
         AS given (kind, rank, delay, input, attempts, time_limit, backoff, retention, trace, place) ORDER BY place \
         RETURNING id"
    );
    let kinds: Vec<&str> = tasks.iter().map(|task| task.kind.as_str()).collect();
    let ranks: Vec<i32> = tasks.iter().map(|task| task.priority).collect();
    let delays: Vec<i64> = tasks.iter().map(|task| super::milliseconds(task.delay)).collect();
    let inputs: Vec<&str> = tasks.iter().map(|task| task.input.as_str()).collect();
    let number = |attempts: Option<u32>| attempts.map(|attempts| i32::try_from(attempts).unwrap_or(i32::MAX));
    let attempts: Vec<Option<i32>> = tasks.iter().map(|task| number(task.attempts)).collect();
    let times = |of: fn(&OfferedTask) -> Option<Duration>| -> Vec<Option<i64>> {
        tasks.iter().map(|task| milliseconds(of(task))).collect()
    };
    let (limits, backoffs) = (times(|task| task.time_limit), times(|task| task.backoff));
    let retentions = times(|task| task.retention);
    let traces: Vec<Option<String>> = tasks.iter().map(|task| trace_text(task.trace)).collect();
    let values: [&(dyn ToSql + Sync); 10] =
        [&plugin, &kinds, &ranks, &delays, &inputs, &attempts, &limits, &backoffs, &retentions, &traces];
    let made = rows(connection, INSERT, &values).await?;
    Ok(made.iter().map(|row| Enqueued { id: row.get(0), is_new: true }).collect())
}

/// What is claimed of those that wait and fit this condition, `$5` at most. Whoever claims holds on to its own row meanwhile: so
/// whoever takes that away waits, and finds all that was claimed.
macro_rules! claim_of {
    ($condition:literal) => {
        concat!(
            "UPDATE tasks SET state = 'running', attempt = attempt + 1, runner = $1, begun = ",
            now!(),
            ", progress = NULL, attempts = coalesce(attempts, $2) WHERE id = ANY (ARRAY(SELECT id FROM tasks WHERE plugin = $3 \
             AND type = $4 AND state = 'waiting' ",
            $condition,
            " ORDER BY priority DESC, id LIMIT $5 FOR UPDATE SKIP LOCKED)) \
             AND EXISTS (SELECT 1 FROM task_runners WHERE id = $1 FOR KEY SHARE) \
             RETURNING id, priority, attempt, failures, attempts, input, backoff, time_limit, retention, trace, enqueued"
        )
    };
}

async fn take(connection: &mut PooledConnection, terms: &ClaimTerms, most: i64) -> QueueResult<Vec<ClaimedTask>> {
    let attempts = i32::try_from(terms.terms.attempts).unwrap_or(i32::MAX);
    let (plugin, kind) = (&*terms.plugin, &*terms.kind);
    let mut tasks: Vec<ClaimedTask> = Vec::new();
    match &terms.from {
        ClaimFrom::Beginning => {
            let values: [&(dyn ToSql + Sync); 5] = [&terms.runner, &attempts, &plugin, &kind, &most];
            tasks.extend(rows(connection, claim_of!(""), &values).await?.iter().map(read_claimed));
        }
        ClaimFrom::Behind(last) => {
            for (priority, id) in last {
                let left = most.saturating_sub(i64::try_from(tasks.len()).unwrap_or(i64::MAX));
                if left < 1 {
                    break;
                }
                let sql = claim_of!("AND priority = $6 AND id > $7");
                let values: [&(dyn ToSql + Sync); 7] = [&terms.runner, &attempts, &plugin, &kind, &left, priority, id];
                tasks.extend(rows(connection, sql, &values).await?.iter().map(read_claimed));
            }
        }
    }
    tasks.sort_by_key(|task| task.id);
    Ok(tasks)
}

fn read_claimed(row: &Row) -> ClaimedTask {
    ClaimedTask {
        id: row.get(0),
        priority: row.get(1),
        attempt: row.get(2),
        failures: row.get(3),
        attempts: row.get(4),
        input: row.get(5),
        backoff: row.get(6),
        time_limit: row.get(7),
        retention: row.get(8),
        trace: row.get(9),
        enqueued: row.get(10),
    }
}

pub(super) async fn claim(connections: &PostgresConnections, terms: Arc<ClaimTerms>) -> QueueResult<ClaimedBatch> {
    let pool = connections.clone();
    detached(connections, async move {
        let mut connection = pool.get(&host()).await?;
        if !terms.terms.is_limited() {
            let most = i64::try_from(terms.most).unwrap_or(i64::MAX);
            return Ok(ClaimedBatch { tasks: take(&mut connection, &terms, most).await?, again: None });
        }
        // Mostly there is nothing, and nothing is written then.
        let any = "SELECT 1 FROM tasks WHERE plugin = $1 AND type = $2 AND state = 'waiting' LIMIT 1";
        if rows(&mut connection, any, &[&&*terms.plugin, &&*terms.kind]).await?.is_empty() {
            return Ok(ClaimedBatch::default());
        }
        connection.spoil();
        plain(&mut connection, "BEGIN").await?;
        let done = claim_within(&mut connection, &terms).await;
        end(&mut connection, done).await
    })
    .await
}

/// Claims of a limited type: one server after the other counts, and takes what is left.
async fn claim_within(connection: &mut PooledConnection, terms: &ClaimTerms) -> QueueResult<ClaimedBatch> {
    const LOCK: &str =
        concat!("SELECT tokens, filled, ", now!(), " FROM task_limits WHERE plugin = $1 AND type = $2 FOR UPDATE");
    let (plugin, kind) = (&*terms.plugin, &*terms.kind);
    let make = "INSERT INTO task_limits (plugin, type) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let mut locked = rows(connection, LOCK, &[&plugin, &kind]).await?;
    if locked.is_empty() {
        rows(connection, make, &[&plugin, &kind]).await?;
        locked = rows(connection, LOCK, &[&plugin, &kind]).await?;
    }
    let row = locked.first().ok_or_else(|| unavailable("what it counts is gone"))?;
    let (had, filled, now): (f64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let mut most = i64::try_from(terms.most).unwrap_or(i64::MAX);
    if let Some(concurrency) = terms.terms.concurrency {
        let count = "SELECT count(*) FROM tasks WHERE plugin = $1 AND type = $2 AND state = 'running'";
        let running = rows(connection, count, &[&plugin, &kind]).await?;
        most = most.min(i64::from(concurrency) - running.first().map_or(0, |row| row.get::<_, i64>(0)));
    }
    let (mut tokens, mut again) = (f64::MAX, None);
    if let Some(rate) = terms.terms.rate {
        let (has, wait) = refilled(rate, had, filled, now);
        tokens = has;
        most = most.min(has as i64);
        again = (has < 1.0).then_some(wait);
    }
    if most < 1 {
        return Ok(ClaimedBatch { tasks: Vec::new(), again });
    }
    let tasks = take(connection, terms, most).await?;
    if let Some(rate) = terms.terms.rate
        && !tasks.is_empty()
    {
        let left = tokens - tasks.len() as f64;
        let keep = "UPDATE task_limits SET tokens = $3, filled = $4 WHERE plugin = $1 AND type = $2";
        rows(connection, keep, &[&plugin, &kind, &left, &now]).await?;
        again = (left < 1.0).then(|| refilled(rate, left, now, now).1);
    }
    Ok(ClaimedBatch { tasks, again })
}

/// Whether something waits by this, and after how long something else is due.
pub(super) async fn promote(connections: &PostgresConnections) -> QueueResult<(bool, Option<Duration>)> {
    const PROMOTE: &str = concat!(
        "WITH time AS MATERIALIZED (SELECT ",
        now!(),
        " AS at), moved AS (UPDATE tasks SET state = 'waiting' WHERE id = ANY (ARRAY(SELECT id FROM tasks, time \
         WHERE state = 'delayed' AND due <= at ORDER BY due LIMIT 1000 FOR UPDATE OF tasks SKIP LOCKED)) \
         AND state = 'delayed' RETURNING 1) \
         SELECT (SELECT due FROM tasks WHERE state = 'delayed' ORDER BY due OFFSET (SELECT count(*) FROM moved) LIMIT 1), at, \
         (SELECT count(*) FROM moved) FROM time"
    );
    let mut connection = connections.get(&host()).await?;
    let found = rows(&mut connection, PROMOTE, &[]).await?;
    let Some(row) = found.first() else { return Ok((false, None)) };
    let due: Option<i64> = row.get(0);
    Ok((row.get::<_, i64>(2) > 0, due.map(|due| until(due, row.get(1)))))
}

/// Who has a runner runs. That is not asked for in other words: by the index of what runs, one would pass over all that ran.
pub(super) async fn settle(
    connections: &PostgresConnections,
    runner: &str,
    settled: &[Settlement],
) -> QueueResult<usize> {
    const SETTLE: &str = concat!(
        "UPDATE tasks SET state = CASE WHEN cancel AND given.state IN ('waiting', 'delayed') THEN 'cancelled' \
         ELSE given.state END, failures = given.failures, due = at + given.delay, result = given.result, \
         error = given.error, runner = NULL, ended = CASE WHEN cancel OR given.keep IS NOT NULL THEN at END, \
         forget = CASE WHEN given.keep IS NOT NULL THEN at + given.keep WHEN cancel THEN at + 86400000 END \
         FROM (SELECT ",
        now!(),
        " AS at) AS time, unnest($2::bigint[], $3::integer[], $4::text[], $5::integer[], $6::bigint[], $7::text[], \
         $8::text[], $9::bigint[]) AS given (id, attempt, state, failures, delay, result, error, keep) \
         WHERE tasks.id = given.id AND tasks.attempt = given.attempt AND tasks.runner = $1 RETURNING tasks.id"
    );
    let ids: Vec<i64> = settled.iter().map(|one| one.id).collect();
    let attempts: Vec<i32> = settled.iter().map(|one| one.attempt).collect();
    let states: Vec<&str> = settled.iter().map(|one| one.state.word()).collect();
    let failures: Vec<i32> = settled.iter().map(|one| one.failures).collect();
    let delays: Vec<i64> = settled.iter().map(|one| one.delay).collect();
    let results: Vec<Option<&str>> = settled.iter().map(|one| one.result.as_deref()).collect();
    let errors: Vec<Option<&str>> = settled.iter().map(|one| one.error.as_deref()).collect();
    let keeps: Vec<Option<i64>> = settled.iter().map(|one| one.keep).collect();
    let mut connection = connections.get(&host()).await?;
    let values: [&(dyn ToSql + Sync); 9] =
        [&runner, &ids, &attempts, &states, &failures, &delays, &results, &errors, &keeps];
    Ok(rows(&mut connection, SETTLE, &values).await?.len())
}

/// What somebody ran who is not there any more waits again; it counts as a failure, for perhaps it was the task that ended it.
const RESCUE: &str = concat!(
    "UPDATE tasks SET runner = NULL, failures = failures + 1, due = at, \
     error = 'the server that ran it was not heard of any more', \
     ended = CASE WHEN cancel OR failures + 1 >= attempts THEN at END, \
     forget = CASE WHEN cancel OR failures + 1 >= attempts THEN at + 2592000000 END, \
     state = CASE WHEN cancel THEN 'cancelled' WHEN failures + 1 >= attempts THEN 'dead' ELSE 'waiting' END \
     FROM (SELECT ",
    now!(),
    " AS at) AS time WHERE state = 'running' AND NOT EXISTS (SELECT 1 FROM task_runners WHERE id = tasks.runner) \
     RETURNING tasks.id"
);

pub(super) async fn register(connections: &PostgresConnections, runner: &str, node: &str) -> QueueResult<()> {
    const INSERT: &str = concat!("INSERT INTO task_runners SELECT $1::text, $2::text, ", now!());
    give_up(connections, "DELETE FROM task_runners WHERE node = $1", node.to_owned()).await?;
    let mut connection = connections.get(&host()).await?;
    rows(&mut connection, INSERT, &[&runner, &node]).await.map(drop)
}

pub(super) async fn deregister(connections: &PostgresConnections, runner: &str) -> QueueResult<()> {
    const BACK: &str = concat!(
        "UPDATE tasks SET runner = NULL, state = 'waiting', due = ",
        now!(),
        " WHERE state = 'running' AND runner = $1 AND NOT cancel"
    );
    let mut connection = connections.get(&host()).await?;
    rows(&mut connection, BACK, &[&runner]).await?;
    drop(connection);
    give_up(connections, "DELETE FROM task_runners WHERE id = $1", runner.to_owned()).await.map(drop)
}

/// Takes runners away, and has what they ran come back, both or neither: so many tasks did.
async fn give_up<V>(connections: &PostgresConnections, delete: &'static str, value: V) -> QueueResult<u64>
where
    V: ToSql + Send + Sync + 'static,
{
    let pool = connections.clone();
    detached(connections, async move {
        let mut connection = pool.get(&super::heartbeat()).await?;
        connection.spoil();
        plain(&mut connection, "BEGIN").await?;
        let work = async |connection: &mut PooledConnection| {
            rows(connection, delete, &[&value]).await?;
            Ok(rows(connection, RESCUE, &[]).await?.len() as u64)
        };
        let done = work(&mut connection).await;
        end(&mut connection, done).await
    })
    .await
}

pub(super) async fn renew(connections: &PostgresConnections, beat: &Heartbeat) -> QueueResult<HeartbeatAnswer> {
    const HEARD: &str = concat!("UPDATE task_runners SET heard = ", now!(), " WHERE id = $1 RETURNING 1");
    const IS_SILENT: &str = concat!("SELECT 1 FROM task_runners WHERE heard < ", now!(), " - $1::bigint");
    const SILENT: &str = concat!("DELETE FROM task_runners WHERE heard < ", now!(), " - $1::bigint");
    let mut connection = connections.get(&super::heartbeat()).await?;
    let Heartbeat { runner, silence, running, progress } = beat;
    let is_known = !rows(&mut connection, HEARD, &[runner]).await?.is_empty();
    if !progress.is_empty() {
        let keep = "UPDATE tasks SET progress = given.text FROM unnest($2::bigint[], $3::integer[], $4::text[]) \
                    AS given (id, attempt, text) WHERE tasks.id = given.id AND tasks.attempt = given.attempt \
                    AND runner = $1";
        let ids: Vec<i64> = progress.iter().map(|one| one.0).collect();
        let attempts: Vec<i32> = progress.iter().map(|one| one.1).collect();
        let texts: Vec<&str> = progress.iter().map(|one| one.2.as_str()).collect();
        rows(&mut connection, keep, &[runner, &ids, &attempts, &texts]).await?;
    }
    let find = "SELECT id, attempt FROM tasks WHERE id = ANY ($2) AND runner = $1 AND cancel";
    let cancelled = rows(&mut connection, find, &[runner, running]).await?;
    let cancelled = cancelled.iter().map(|row| (row.get(0), row.get(1))).collect();
    let is_silent = !rows(&mut connection, IS_SILENT, &[silence]).await?.is_empty();
    drop(connection);
    let rescued = if is_silent { give_up(connections, SILENT, *silence).await? } else { 0 };
    Ok(HeartbeatAnswer { is_known, cancelled, rescued })
}

pub(super) async fn sweep(connections: &PostgresConnections) -> QueueResult<u64> {
    const SWEEP: &str = concat!(
        "DELETE FROM tasks WHERE id = ANY (ARRAY(SELECT id FROM tasks WHERE forget <= ",
        now!(),
        " LIMIT 1000 FOR UPDATE SKIP LOCKED)) RETURNING 1"
    );
    let mut connection = connections.get(&host()).await?;
    Ok(rows(&mut connection, SWEEP, &[]).await?.len() as u64)
}
