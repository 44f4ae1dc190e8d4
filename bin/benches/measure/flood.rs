//! One plugin floods its storage and its tables, with the limits that it has by default; meanwhile another is toggled, and a third
//! answers requests. Beside that the same without the flood, in rounds that alternate; and a flood that asks for nothing but answers,
//! to see what the processors alone come to.

use crate::common::{
    connection::Connection,
    report::{Better, Row, finish},
    sql::Shell,
    watching::{Watcher, all_answer},
};
use camlock_testing::{Fixtures, Postgres, Server, Site, request_with, single};
use std::{
    fs,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Two loops each: what they ask goes on without a pause, whatever their clients do.
const KEEPING: [&str; 4] = ["keeping/flood/50", "tables/flood/50", "keeping/flood/50", "tables/flood/50"];
/// Handlers that do nothing but answer.
const PLAIN: [&str; 4] = ["plain/"; 4];

const ROUNDS: usize = 12;
const TOGGLES: usize = 30;
const REQUESTS: usize = 400;
/// Requests do not come one upon the other: they would measure each other.
const PAUSE: Duration = Duration::from_millis(2);

pub fn run() -> ExitCode {
    let postgres = Postgres::start();
    let url = postgres.database();
    let in_file = |site: &Site| Shell::sqlite(&site.path(".camlock/registry.db"));
    let in_sqlite = measure("", "plugins", KEEPING, in_file);
    let in_postgres = measure(&url, "camlock.plugins", KEEPING, |_| Shell::postgres(&url));
    let plain = measure("", "plugins", PLAIN, in_file);
    let ratio = |case, pair: &Pair| {
        let p99 = |samples: &[f64]| Row::p99("", "", samples).value;
        Row::count(case, "×", Better::Lower, p99(&pair.flooded) / p99(&pair.calm))
    };
    let rows = [
        ratio("SQLite: a toggle's p99, flooded ÷ calm", &in_sqlite.toggles).must(1.5, 1.1),
        ratio("SQLite: another's request p99, flooded ÷ calm", &in_sqlite.requests).must(1.5, 1.1),
        Row::p99("SQLite: a toggle's p99, calm", "ms", &in_sqlite.toggles.calm),
        Row::p99("SQLite: another's request p99, calm", "ms", &in_sqlite.requests.calm),
        ratio("PostgreSQL: a toggle's p99, flooded ÷ calm", &in_postgres.toggles).must(1.5, 1.1),
        ratio("PostgreSQL: another's request p99, flooded ÷ calm", &in_postgres.requests).must(1.5, 1.1),
        Row::p99("PostgreSQL: a toggle's p99, calm", "ms", &in_postgres.toggles.calm),
        Row::p99("PostgreSQL: another's request p99, calm", "ms", &in_postgres.requests.calm),
        ratio("Answers alone: a toggle's p99, flooded ÷ calm", &plain.toggles),
        ratio("Answers alone: another's request p99, flooded ÷ calm", &plain.requests),
    ];
    finish("flood", &rows)
}

/// Milliseconds, with the flood and without.
#[derive(Default)]
struct Pair {
    flooded: Vec<f64>,
    calm: Vec<f64>,
}

impl Pair {
    fn of(&mut self, flooded: bool) -> &mut Vec<f64> {
        if flooded { &mut self.flooded } else { &mut self.calm }
    }
}

#[derive(Default)]
struct Measured {
    toggles: Pair,
    requests: Pair,
}

/// Without a URL the server uses the registry in its data directory.
fn measure(url: &str, table: &str, flood: [&str; 4], open: impl FnOnce(&Site) -> Shell) -> Measured {
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    site.write("plugins/toggled.rs", &single("on"));
    site.write("plugins/steady.rs", &single("steady"));
    site.write("plugins/plain.rs", &single("plain"));
    for fixture in ["keeping", "tables"] {
        let library = Fixtures::release().library(fixture);
        fs::copy(library, site.path(&format!("plugins/{fixture}.so"))).expect("it was built");
    }
    let server = site.start_with(|command| {
        command.env("CAMLOCK_LOG", "error");
        if !url.is_empty() {
            command.args(["--database-url", url]);
        }
    });
    for path in ["/api/v1/p/toggled/", "/api/v1/p/steady/", "/api/v1/p/plain/"] {
        server.until_status(path, 200);
    }
    server.until_serving("keeping");
    server.until_serving("tables");
    let mut shell = open(&site);
    let mut measured = Measured::default();
    round(&server, &mut shell, table, &mut Measured::default(), false);
    for number in 0..ROUNDS * 2 {
        let flooded = number % 2 == 1;
        let over = AtomicBool::new(!flooded);
        thread::scope(|scope| {
            for path in flood {
                let (address, over) = (server.address, &over);
                let method = if path.contains("flood") { "POST" } else { "GET" };
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let _ = request_with(address, method, &format!("/api/v1/p/{path}"), &[], "");
                    }
                });
            }
            round(&server, &mut shell, table, &mut measured, flooded);
            over.store(true, Ordering::Relaxed);
        });
    }
    drop(shell);
    server.end();
    measured
}

fn round(server: &Server, shell: &mut Shell, table: &str, measured: &mut Measured, flooded: bool) {
    let mut watchers = [Watcher::new(server.address, "/api/v1/p/toggled/")];
    for _ in 0..TOGGLES {
        shell.run(&format!("UPDATE {table} SET enabled = false WHERE name = 'toggled'"));
        all_answer(&mut watchers, 503);
        server.until_plugin("toggled", |plugin| {
            plugin["state"] == "disabled" && plugin["draining"].as_array().is_none_or(Vec::is_empty)
        });
        shell.run(&format!("UPDATE {table} SET enabled = true WHERE name = 'toggled'"));
        let committed = Instant::now();
        let took = all_answer(&mut watchers, 200) - committed;
        measured.toggles.of(flooded).push(took.as_secs_f64() * 1e3);
    }
    let mut connection = Connection::new(server.address);
    for _ in 0..REQUESTS {
        thread::sleep(PAUSE);
        let begun = Instant::now();
        assert_eq!(connection.get("/api/v1/p/steady/", "").0, 200);
        measured.requests.of(flooded).push(begun.elapsed().as_secs_f64() * 1e3);
    }
}
