//! What the registry costs: at a start, and at rest.
//!
//! Time added to a start. Two registries know the same fifty plugins that lie on disk; one of them knows 4,950 others besides. A
//! pair is a start with each, until the server is ready. The difference is what the others add; what opening and reading a registry
//! of fifty takes, which no start is without, is measured by itself and added to it.
//!
//! At rest. PostgreSQL itself writes down each statement that it is sent, transactions' brackets too.

use crate::common::{
    many::{all_serve, some_at},
    report::{Better, Row, finish},
    sql::Shell,
};
use camlock_policy::registry::Reading;
use camlock_store::{Store, StoreOptions};
use camlock_testing::{Postgres, Site, request};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

const PRESENT: usize = 50;
const REGISTERED: usize = 5_000;
const PAIRS: usize = 31;
/// What a start does after it is ready is over by then.
const SETTLED: Duration = Duration::from_secs(20);
const AT_REST: u32 = 5;

pub fn run() -> ExitCode {
    let postgres = Postgres::start();
    let site = some_at(env!("CARGO_BIN_EXE_camlock"), "registered", PRESENT, "quick");
    let added_in_postgres = added(&site, [postgres.database(), postgres.database()], |url| {
        let mut shell = Shell::postgres(url);
        shell.run("SET search_path = camlock");
        shell
    });
    let files = ["few", "many"].map(|name| site.path(&format!("{name}.db")));
    for file in &files {
        remove(file);
    }
    let urls = files.map(|file| format!("sqlite://{}", file.display()));
    let added_in_sqlite = added(&site, urls, |url| Shell::sqlite(Path::new(&url["sqlite://".len()..])));
    let queries = at_rest(&site, &postgres);
    finish(
        "registry",
        &[
            Row::median(
                "PostgreSQL: added to a start, 5,000 registered, 50 on disk",
                "ms",
                Better::Lower,
                &added_in_postgres,
            )
            .must(200.0, 50.0),
            Row::median(
                "SQLite: added to a start, 5,000 registered, 50 on disk",
                "ms",
                Better::Lower,
                &added_in_sqlite,
            )
            .must(200.0, 50.0),
            Row::count("PostgreSQL: statements at rest, heartbeat included", "a minute", Better::Lower, queries)
                .must(10.0, 4.0),
        ],
    )
}

fn remove(file: &Path) {
    for end in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(end);
        let _ = fs::remove_file(PathBuf::from(name));
    }
}

/// Milliseconds, for each pair.
fn added(site: &Site, [few, many]: [String; 2], open: impl Fn(&str) -> Shell) -> Vec<f64> {
    // Both know what lies on disk, and that it was built.
    for url in [&few, &many] {
        start(site, url);
    }
    let mut shell = open(&many);
    shell.register(REGISTERED - PRESENT);
    let of_disk = |count: &str| count.parse::<usize>().expect("a number") >= REGISTERED;
    assert!(of_disk(&shell.run("SELECT count(*) FROM plugins")), "all are registered");
    drop(shell);
    let few_opened: Vec<_> = (0..PAIRS).map(|_| opened(&few)).collect();
    let base = Row::median("", "", Better::Lower, &few_opened).value;
    eprintln!("{few}: opened and read in {base:.1} ms");
    (0..PAIRS + 1)
        .map(|pair| {
            if pair % 2 == 0 {
                let with_few = start(site, &few);
                start(site, &many) - with_few + base
            } else {
                let with_many = start(site, &many);
                with_many - start(site, &few) + base
            }
        })
        .skip(1)
        .collect()
}

/// A start of the server, until it is ready. Milliseconds.
fn start(site: &Site, url: &str) -> f64 {
    let began = Instant::now();
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error").args(["--database-url", url]));
    while !request(server.address, "GET", "/_/ready", &[]).is_ok_and(|answer| answer.status == 200) {
        assert!(began.elapsed() < Duration::from_secs(300), "it is never ready: {}", server.printed());
        thread::sleep(Duration::from_millis(1));
    }
    let took = began.elapsed().as_secs_f64() * 1000.0;
    all_serve(&server, PRESENT);
    server.end();
    took
}

/// Opening a registry and reading all of it, as a server does. Milliseconds.
fn opened(url: &str) -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let began = Instant::now();
        let store = Store::open(url, StoreOptions::new(dir.path())).await.expect("it can be opened");
        store.usable().await;
        let snapshot = store.registry().read(Reading::default()).await.expect("it can be read");
        let took = began.elapsed().as_secs_f64() * 1000.0;
        assert!(snapshot.records.len() >= PRESENT);
        store.end().await;
        took
    })
}

/// Statements in a minute that a server sends which has nothing to do.
fn at_rest(site: &Site, postgres: &Postgres) -> f64 {
    let url = postgres.database();
    start(site, &url);
    let ask = |sql: &str| postgres.sql(&url, sql);
    let log = PathBuf::from(ask("SHOW data_directory")).with_file_name("log");
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error").args(["--database-url", &url]));
    server.until_status("/_/ready", 200);
    all_serve(&server, PRESENT);
    ask("ALTER SYSTEM SET log_statement = 'all'");
    ask("ALTER SYSTEM SET log_line_prefix = 'from:%a '");
    ask("SELECT pg_reload_conf()");
    thread::sleep(SETTLED);
    let sent = || {
        let lines = fs::read_to_string(&log).expect("PostgreSQL's log");
        let ours = lines.lines().filter(|line| line.starts_with("from:camlock LOG:  "));
        ours.filter(|line| line.contains("statement: ") || line.contains("execute ")).count()
    };
    let before = sent();
    thread::sleep(Duration::from_secs(60) * AT_REST);
    let count = sent() - before;
    // Were nothing written down, nothing would be counted: there is a heartbeat at least.
    assert!(count > 0, "PostgreSQL wrote nothing down in {}", log.display());
    server.end();
    count as f64 / f64::from(AT_REST)
}
