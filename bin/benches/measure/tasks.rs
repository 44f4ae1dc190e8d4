//! Tasks on PostgreSQL: how many a server completes, by a plugin that it has loaded and that does nothing at them, beside pgbench with the
//! same statements to claim and to complete, in runs that alternate; how soon one begins where there is nothing else to do; and how many
//! are completed in the third minute of a transaction that somebody holds open, beside the same without.

use crate::common::{
    host::{plugins_of, serving_runtime},
    is_short,
    kept::Registry,
    report::{Better, Row, finish},
};
use camlock_embed::{Camlock, Options, on_thread_park};
use camlock_http::{Front, FrontOptions};
use camlock_testing::{Fixtures, request};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio_postgres::{Client, NoTls};

/// In a run.
const TASKS: usize = 10_000;
/// So many are claimed at once, and completed at once, by so many clients: as a server does at its most.
const TOGETHER: usize = 64;
const CLIENTS: usize = 2;

/// What `core/services/src/tasks/postgres.rs` says, with pgbench's variables.
const CLAIM_AND_COMPLETE: &str = "\
WITH claimed AS (UPDATE camlock.tasks SET state = 'running', attempt = attempt + 1, runner = 'pgbench', \
begun = CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT), progress = NULL, attempts = coalesce(attempts, 5) \
WHERE id = ANY (ARRAY(SELECT id FROM camlock.tasks WHERE plugin = 'pgbench' AND type = 'quick' AND state = 'waiting' \
ORDER BY priority DESC, id LIMIT 64 FOR UPDATE SKIP LOCKED)) \
AND EXISTS (SELECT 1 FROM camlock.task_runners WHERE id = 'pgbench' FOR KEY SHARE) \
RETURNING id, priority, attempt, failures, attempts, input, backoff, time_limit, retention, trace, enqueued) \
SELECT coalesce(array_agg(id)::text, '{}') AS ids, coalesce(array_agg(attempt)::text, '{}') AS tries FROM claimed \\gset
UPDATE camlock.tasks SET state = CASE WHEN cancel AND given.state IN ('waiting', 'delayed') THEN 'cancelled' \
ELSE given.state END, failures = given.failures, due = at + given.delay, result = given.result, error = given.error, \
runner = NULL, ended = CASE WHEN cancel OR given.keep IS NOT NULL THEN at END, \
forget = CASE WHEN given.keep IS NOT NULL THEN at + given.keep WHEN cancel THEN at + 86400000 END \
FROM (SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS at) AS time, \
(SELECT id, attempt, 'done' AS state, 0 AS failures, 0 AS delay, 'null' AS result, NULL AS error, 86400000 AS keep \
FROM unnest(:ids::bigint[], :tries::integer[]) AS claimed (id, attempt)) AS given \
WHERE tasks.id = given.id AND tasks.attempt = given.attempt AND tasks.runner = 'pgbench' RETURNING tasks.id;
";

pub fn run() -> ExitCode {
    let library = Fixtures::release().library("chores");
    let registry = Registry::new();
    registry.settle_down();
    let directory = tempfile::tempdir().expect("a directory");
    let plugins = plugins_of(directory.path(), &library);
    let runtime = serving_runtime();
    let rows = runtime.block_on(async {
        let mut options = Options::new(&plugins, directory.path().join("data"));
        options.registry.url = Some(registry.url.clone());
        let camlock = Camlock::start(options).await.expect("it starts");
        camlock.ready().await;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let options = FrontOptions { on_thread_park: Some(on_thread_park), ..FrontOptions::default() };
        let front = Front::start(listener, camlock.dispatch().clone(), options).expect("a front");
        let (client, connection) = tokio_postgres::connect(&registry.url, NoTls).await.expect("PostgreSQL");
        tokio::spawn(connection);
        client.batch_execute("SET search_path TO camlock").await.expect("a schema");
        let bench = TasksBench { registry: &registry, camlock: &camlock, client, address: front.address() };
        let rows = bench.rows(directory.path()).await;
        camlock.end().await;
        rows
    });
    finish("tasks", &rows)
}

struct TasksBench<'a> {
    registry: &'a Registry,
    camlock: &'a Camlock,
    client: Client,
    address: SocketAddr,
}

impl TasksBench<'_> {
    async fn rows(&self, directory: &Path) -> Vec<Row> {
        let higher = Better::Higher;
        let waits = self.waiting_times(if is_short() { 300 } else { 1_000 }).await;
        let (ratios, rates) = self.throughput(directory, if is_short() { 3 } else { 30 }).await;
        let (held, free) = self.held_open(if is_short() { 1 } else { 3 }).await;
        let ratio: Vec<f64> = held.iter().zip(&free).map(|(held, free)| held / free).collect();
        vec![
            Row::median("completed ÷ pgbench with the same statements", "×", higher, &ratios).must(0.7, 0.9),
            Row::median("completed a second", "", higher, &rates),
            Row::p99("from enqueueing to the beginning, p99, idle", "ms", &waits).must(20.0, 5.0),
            Row::median("completed, transaction held open for 3 min ÷ without", "×", higher, &ratio).must(0.7, 0.9),
            Row::median("completed a second, transaction held open", "", higher, &held),
        ]
    }

    /// Milliseconds from before the request to the first line of the plugin's own ledger.
    async fn waiting_times(&self, count: usize) -> Vec<f64> {
        let mut begun = Vec::new();
        for number in 0..count + 10 {
            // Neither at regular times, nor upon one another.
            tokio::time::sleep(Duration::from_millis(15 + (number as u64 * 7) % 13)).await;
            let at = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_micros();
            let id = self.camlock.enqueue("chores", "CHORE", json!({ "do": "nothing" }), Value::Null).await;
            begun.push((id.expect("it is accepted"), at as f64));
        }
        let address = self.address;
        let ledger = loop {
            let asked = move || request(address, "GET", "/api/v1/p/chores/ledger", &[]).expect("an answer").text;
            let ledger = tokio::task::spawn_blocking(asked).await.expect("no panic");
            if ledger.lines().filter(|line| line.contains(" begun ")).count() >= count + 10 {
                break ledger;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let wait = |(id, at): &(String, f64)| {
            let line = ledger.lines().find(|line| line.ends_with(&format!(" begun {id} 1"))).expect("it began");
            let began: f64 = line.split(' ').next().expect("a time").parse().expect("a number");
            (began - at) / 1e3
        };
        begun.iter().skip(10).map(wait).collect()
    }

    /// Ratios, and tasks a second.
    async fn throughput(&self, directory: &Path, runs: usize) -> (Vec<f64>, Vec<f64>) {
        let script = directory.join("claim-and-complete.sql");
        fs::write(&script, CLAIM_AND_COMPLETE).expect("a script");
        // It is never silent.
        self.sql("INSERT INTO task_runners VALUES ('pgbench', 'pgbench', 9000000000000)").await;
        let (mut ratios, mut rates, warm_up) = (Vec::new(), Vec::new(), 1);
        for run in 0..runs + warm_up {
            let before = if run % 2 == 0 { Some(self.by_pgbench(&script).await) } else { None };
            let by_plugin = self.by_plugin().await;
            let by_pgbench = match before {
                Some(by_pgbench) => by_pgbench,
                None => self.by_pgbench(&script).await,
            };
            if run >= warm_up {
                ratios.push(by_plugin / by_pgbench);
                rates.push(by_plugin);
            }
        }
        (ratios, rates)
    }

    async fn sql(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    async fn fill(&self, plugin: &str, count: usize) {
        self.sql(&format!(
            "INSERT INTO tasks (plugin, type, state, due, input, enqueued) SELECT '{plugin}', 'quick', 'waiting', at, '{{}}', at \
             FROM (SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS at) AS time, generate_series(1, {count})"
        ))
        .await;
    }

    /// What the plugin has done so far.
    async fn done(&self) -> usize {
        let address = self.address;
        let asked = move || request(address, "GET", "/api/v1/p/chores/quick", &[]).expect("an answer").text;
        tokio::task::spawn_blocking(asked).await.expect("no panic").parse().expect("a number")
    }

    /// Whether one is not over.
    async fn is_anything_left(&self, plugin: &str) -> bool {
        let left = "SELECT EXISTS (SELECT 1 FROM tasks WHERE plugin = $1 AND type = 'quick' AND state = 'waiting') \
                    OR EXISTS (SELECT 1 FROM tasks WHERE plugin = $1 AND type = 'quick' AND state = 'running')";
        self.client.query_one(left, &[&plugin]).await.expect("an answer").get(0)
    }

    /// A second: until all are over, as the database has it.
    async fn by_plugin(&self) -> f64 {
        self.sql("TRUNCATE tasks").await;
        self.fill("chores", TASKS).await;
        let begun = Instant::now();
        self.sql("NOTIFY camlock_tasks, 'work'").await;
        while self.is_anything_left("chores").await {
            // Asking costs what others could have.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        TASKS as f64 / begun.elapsed().as_secs_f64()
    }

    /// A second.
    async fn by_pgbench(&self, script: &Path) -> f64 {
        self.sql("TRUNCATE tasks").await;
        self.fill("pgbench", TASKS).await;
        let mut pgbench = Command::new("pgbench");
        // One transaction more for each client: they share what is left.
        let each = TASKS.div_ceil(TOGETHER * CLIENTS) + 1;
        pgbench.args(["--no-vacuum", "--protocol=prepared", &format!("--client={CLIENTS}"), "--jobs=1"]);
        pgbench.arg(format!("--transactions={each}")).arg("--file").arg(script).arg(&self.registry.url);
        let output = tokio::task::spawn_blocking(move || pgbench.output()).await.expect("no panic").expect("pgbench");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(!self.is_anything_left("pgbench").await, "pgbench has done them all");
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
        rate.expect("pgbench tells its rate") * TASKS as f64 / (each * CLIENTS) as f64
    }

    /// Completed a second in the third minute, with a transaction that is held open all the while, and without one.
    async fn held_open(&self, pairs: usize) -> (Vec<f64>, Vec<f64>) {
        let (mut held, mut free) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            for holds in if pair % 2 == 0 { [true, false] } else { [false, true] } {
                let rate = self.third_minute(holds).await;
                if holds { held.push(rate) } else { free.push(rate) }
            }
        }
        (held, free)
    }

    async fn third_minute(&self, holds: bool) -> f64 {
        let minute = Duration::from_secs(if is_short() { 10 } else { 60 });
        self.sql("TRUNCATE tasks").await;
        let (holder, connection) = tokio_postgres::connect(&self.registry.url, NoTls).await.expect("PostgreSQL");
        tokio::spawn(connection);
        if holds {
            let hold = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM camlock.plugins";
            holder.batch_execute(hold).await.expect("a transaction");
        }
        let (begun, before, mut filled, mut third) = (Instant::now(), self.done().await, 0, None);
        let rate = loop {
            let done = self.done().await;
            match third {
                None if begun.elapsed() >= minute * 2 => third = Some((Instant::now(), done)),
                Some((since, by_then)) if begun.elapsed() >= minute * 3 => {
                    break (done - by_then) as f64 / since.elapsed().as_secs_f64();
                }
                _ => {}
            }
            // There is always something to do. The queue is not asked: whoever asks it passes over all that is done.
            if filled < done - before + 5_000 {
                self.fill("chores", 5_000).await;
                filled += 5_000;
                self.sql("NOTIFY camlock_tasks, 'work'").await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        if holds {
            holder.batch_execute("COMMIT").await.expect("its end");
        }
        // What is left is done before the next begins.
        while self.is_anything_left("chores").await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        rate
    }
}
