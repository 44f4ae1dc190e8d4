//! A plugin that was verified before is enabled by an UPDATE of another program: from the moment at which the UPDATE is committed
//! until the plugin's route answers. In PostgreSQL with psql, in SQLite with the `sqlite3` shell.

use crate::common::{
    report::{Better, Row, finish},
    sql::Shell,
    watching::{Watcher, all_answer},
};
use camlock_testing::{Postgres, Server, Site, single};
use std::{process::ExitCode, time::Instant};

const SAMPLES: usize = 400;
const WARM_UP: usize = 20;

pub fn run() -> ExitCode {
    let postgres = Postgres::start();
    let url = postgres.database();
    let in_postgres = measure(&url, "camlock.plugins", |_| Shell::postgres(&url));
    let in_sqlite = measure("", "plugins", |site| Shell::sqlite(&site.path(".camlock/registry.db")));
    finish(
        "toggle",
        &[
            Row::p99("PostgreSQL: committed UPDATE → route answers, p99", "ms", &in_postgres).must(10.0, 5.0),
            Row::median("PostgreSQL: the same, median", "ms", Better::Lower, &in_postgres),
            Row::p99("SQLite, by another process: the same, p99", "ms", &in_sqlite).must(10.0, 5.0),
            Row::median("SQLite, by another process: the same, median", "ms", Better::Lower, &in_sqlite),
        ],
    )
}

/// Milliseconds of each time that it was enabled. Without a URL the server uses the registry in its data directory.
fn measure(url: &str, table: &str, open: impl FnOnce(&Site) -> Shell) -> Vec<f64> {
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    site.write("plugins/toggled.rs", &single("on"));
    let server = site.start_with(|command| {
        command.env("CAMLOCK_LOG", "error");
        if !url.is_empty() {
            command.args(["--database-url", url]);
        }
    });
    server.until_text("/api/v1/p/toggled/", "on");
    let mut shell = open(&site);
    let mut watchers = [Watcher::new(server.address, "/api/v1/p/toggled/")];
    let mut times = Vec::new();
    for _ in 0..SAMPLES + WARM_UP {
        shell.run(&format!("UPDATE {table} SET enabled = false WHERE name = 'toggled'"));
        all_answer(&mut watchers, 503);
        at_rest(&server);
        shell.run(&format!("UPDATE {table} SET enabled = true WHERE name = 'toggled'"));
        let committed = Instant::now();
        times.push((all_answer(&mut watchers, 200) - committed).as_secs_f64() * 1000.0);
    }
    drop(shell);
    server.end();
    times.split_off(WARM_UP)
}

/// Waits until the one before has left the process.
fn at_rest(server: &Server) {
    let gone = |list: &serde_json::Value| list.as_array().is_none_or(Vec::is_empty);
    server.until_plugin("toggled", |plugin| {
        plugin["state"] == "disabled" && gone(&plugin["draining"]) && gone(&plugin["pinned"])
    });
}
