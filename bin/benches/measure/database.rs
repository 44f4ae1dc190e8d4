//! A large table, read whole by a plugin through its host, beside the same read directly with the database's own client, in runs that
//! alternate, on both databases.

use crate::common::{
    host::{Host, end},
    kept::{self, Registry},
    report::{Better, Row, finish},
};
use camlock_loader::Surroundings;
use camlock_policy::{Answer, Body, Call, GenerationStart, Granted, Grants, Loaded, MigrationFile, TableTerms};
use camlock_services::{
    AskLimits, HostServices, ServiceSet,
    database::{
        PluginTables,
        service::{DatabaseService, SessionLimits},
    },
};
use camlock_testing::Fixtures;
use futures_util::TryStreamExt;
use http::Request;
use rusqlite::{Connection, types::Value};
use std::{fs, path::PathBuf, pin::pin, process::ExitCode, sync::Arc, time::Instant};
use tokio::runtime::Handle;
use tokio_postgres::{Client, NoTls};

const ROWS: u32 = 1_000_000;
const RUNS: usize = 8;
const READ: &str = "SELECT * FROM p_tables__big";

/// Eight columns, some hundred bytes.
fn big() -> MigrationFile {
    let text = format!(
        "CREATE TABLE p_tables__big (id BIGINT PRIMARY KEY, a BIGINT NOT NULL, b DOUBLE PRECISION NOT NULL, c TEXT NOT NULL, \
         d TEXT NOT NULL, e TEXT NOT NULL, f TEXT NOT NULL, g BOOLEAN NOT NULL);
         INSERT INTO p_tables__big
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
         SELECT i, i * 7, i * 0.5, 'twenty bytes of text', 'and twenty bytes too', 'three times twenty..', 'four, sixteen...',
                i % 2 = 0 FROM n;"
    );
    MigrationFile { number: 4, name: "big".to_owned(), dialect: None, text: text.into() }
}

pub fn run() -> ExitCode {
    let registry = Registry::new();
    let (_directory, file) = kept::file();
    let path = file.path().to_owned();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (in_sqlite, in_postgres) = runtime.block_on(async {
        let tables = PluginTables::in_file(file, 4, Handle::current());
        let in_sqlite = measure(tables, async || with_rusqlite(path.clone()).await).await;
        let tables = PluginTables::on_server(registry.server(), 4, Handle::current());
        let (client, connection) = tokio_postgres::connect(&registry.url, NoTls).await.expect("PostgreSQL");
        tokio::spawn(connection);
        client.batch_execute("SET search_path TO camlock").await.expect("a schema");
        (in_sqlite, measure(tables, async || with_tokio_postgres(&client).await).await)
    });
    let rows = [
        Row::median("SQLite: rows a second, plugin ÷ rusqlite", "×", Better::Higher, &in_sqlite.0).must(0.8, 0.95),
        Row::median("SQLite: rows a second, by the plugin", "M", Better::Higher, &in_sqlite.1),
        Row::median("PostgreSQL: rows a second, plugin ÷ tokio-postgres", "×", Better::Higher, &in_postgres.0)
            .must(0.8, 0.95),
        Row::median("PostgreSQL: rows a second, by the plugin", "M", Better::Higher, &in_postgres.1),
    ];
    finish("database", &rows)
}

/// Ratios, and millions of rows a second by the plugin.
async fn measure(tables: PluginTables, direct: impl AsyncFn() -> f64) -> (Vec<f64>, Vec<f64>) {
    let library = Fixtures::release().library("tables");
    let mut files = camlock_loader::inspect(&fs::read(&library).expect("it was built")).expect("a plugin").migrations;
    files.push(big());
    tables.make_ready(&"tables".into(), &files, TableTerms::default()).await.expect("they run");
    let mut services = ServiceSet::default();
    services.add("database/1", DatabaseService::new(tables, SessionLimits::default())).expect("a name");
    let services = Arc::new(HostServices::new(services, AskLimits::default()));
    let mut host = Host::new();
    host.loader = host.loader.with_surroundings(Surroundings { services: Some(services), ..Surroundings::default() });
    let artifact = host.verified(&library).await;
    let granted = Granted::new(["database".to_owned()], &Grants::Asked);
    let start = GenerationStart { granted, ..(1, "{}").into() };
    let loaded = host.loader.load(&artifact, start).await.expect("it can be loaded");
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for run in 0..RUNS + 1 {
        // Each goes first half of the time.
        let (plugin, theirs) = if run % 2 == 0 {
            let plugin = by_plugin(&loaded).await;
            (plugin, direct().await)
        } else {
            let theirs = direct().await;
            (by_plugin(&loaded).await, theirs)
        };
        ratios.push(plugin / theirs);
        rates.push(plugin / 1e6);
    }
    end(loaded).await;
    (ratios.split_off(1), rates.split_off(1))
}

async fn by_plugin(loaded: &Loaded) -> f64 {
    let request = Request::get("/measure/big").body(Body::empty()).expect("a request");
    let Answer { response, .. } = loaded.instance.call(Call::new(request)).await.expect("an answer");
    let text = response.into_body().into_whole().expect("a text");
    let text = String::from_utf8_lossy(&text);
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

fn rate(begun: Instant, count: u32) -> f64 {
    assert_eq!(count, ROWS);
    f64::from(count) / begun.elapsed().as_secs_f64()
}

async fn with_rusqlite(path: PathBuf) -> f64 {
    let read = move || {
        let connection = Connection::open(path).expect("SQLite");
        let begun = Instant::now();
        let mut statement = connection.prepare(READ).expect("a table");
        let mut rows = statement.query([]).expect("rows");
        let mut count = 0;
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..8 {
                std::hint::black_box(row.get::<_, Value>(column).expect("a value"));
            }
            count += 1;
        }
        rate(begun, count)
    };
    tokio::task::spawn_blocking(read).await.expect("it is read")
}

async fn with_tokio_postgres(client: &Client) -> f64 {
    let begun = Instant::now();
    let none: [&(dyn tokio_postgres::types::ToSql + Sync); 0] = [];
    let mut rows = pin!(client.query_raw(READ, none).await.expect("rows"));
    let mut count = 0;
    while let Some(row) = rows.try_next().await.expect("a row") {
        std::hint::black_box((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, f64>(2), row.get::<_, bool>(7)));
        for column in 3..7 {
            std::hint::black_box(row.get::<_, String>(column));
        }
        count += 1;
    }
    rate(begun, count)
}
