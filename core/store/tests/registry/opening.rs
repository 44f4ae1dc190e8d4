//! Places that are not as one would wish.

use crate::world::*;
use camlock_store::{Standing, Store, StoreOptions, Trouble, TroubleKind};
use camlock_testing::Postgres;
use camlock_testing::trial;
use std::{fs, net::TcpListener, time::Duration};

async fn refused(world: &World) -> Trouble {
    let trouble = Store::open(&world.url, world.options("one")).await.unwrap_err();
    assert!(!trouble.passes());
    assert_eq!(Store::check(&world.url, &world.options("one")).await.unwrap_err(), trouble);
    trouble
}

/// All that there is, as text.
fn dump(world: &World) -> String {
    match world.kind {
        Kind::Sqlite => sqlite3(&world.file(), ".dump").unwrap(),
        Kind::Postgres => world.sql(
            "SELECT nspname, relname, relkind FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
             WHERE nspname NOT LIKE 'pg_%' AND nspname <> 'information_schema' ORDER BY 1, 2",
        ),
    }
}

/// So many there are. What plugins keep lies in a file of its own with SQLite.
fn migrations(kind: Kind) -> usize {
    match kind {
        Kind::Sqlite => 10,
        Kind::Postgres => 17,
    }
}

#[trial(with = crate::on_each_database)]
async fn up_and_down(world: World) {
    let options = world.options("one");
    assert_eq!(Store::check(&world.url, &options).await.unwrap(), Standing::Empty);
    for _ in 0..2 {
        let node = world.open("one").await;
        node.register(&["alpha"]).await;
        node.store.end().await;
        for lacking in 1..=migrations(world.kind) {
            let standing = Store::check(&world.url, &options).await.unwrap();
            assert_eq!(standing, if lacking == 1 { Standing::Current } else { Standing::Older(lacking - 1) });
            Store::take_down(&world.url, &options, 1).await.unwrap();
        }
        assert_eq!(Store::check(&world.url, &options).await.unwrap(), Standing::Empty);
        let left = match world.kind {
            Kind::Sqlite => {
                "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite%' AND type IN ('table', 'trigger', 'view')"
            }
            Kind::Postgres => {
                "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'camlock'::regnamespace AND relkind <> 'i') \
                 + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'camlock'::regnamespace)"
            }
        };
        let (lasting, what) = match world.kind {
            Kind::Sqlite => ("1", "the record of migrations alone"),
            Kind::Postgres => ("2", "the record of migrations, and what is locked for them"),
        };
        assert_eq!(world.sql(left), lasting, "{what}");
    }
}

#[trial(with = crate::on_each_database)]
async fn an_older_schema(world: World) {
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    node.store.end().await;
    Store::take_down(&world.url, &world.options("one"), 1).await.unwrap();
    let node = world.open("one").await;
    assert_eq!(node.store.trouble(), None);
    assert!(node.record("alpha").await.is_some(), "what was there is there");
    node.quiet().await;
    world.sql("UPDATE plugins SET enabled = false");
    node.until_told("alpha").await;
}

#[trial(with = crate::on_each_database)]
async fn a_newer_schema(world: World) {
    world.open("one").await.store.end().await;
    world.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000001')");
    let before = dump(&world);
    let trouble = refused(&world).await;
    assert_eq!(trouble.kind, TroubleKind::Newer);
    assert!(
        trouble.sentence.contains("was brought up to date by a newer Camlock (it has 99990101000001)"),
        "{trouble}"
    );
    assert!(trouble.sentence.ends_with("start that version or a later one here"), "{trouble}");
    assert_eq!(dump(&world), before);
}

#[trial(with = crate::on_each_database)]
async fn somebody_elses(world: World) {
    match world.kind {
        Kind::Sqlite => drop(sqlite3(&world.file(), "CREATE TABLE plugins (theirs TEXT)").unwrap()),
        Kind::Postgres => drop(world.sql("CREATE SCHEMA camlock; CREATE TABLE camlock.plugins (theirs TEXT)")),
    }
    let before = dump(&world);
    let trouble = refused(&world).await;
    assert_eq!(trouble.kind, TroubleKind::Foreign);
    assert!(
        trouble.sentence.contains("holds tables that are not Camlock's, `plugins` for one; nothing was changed"),
        "{trouble}"
    );
    assert_eq!(dump(&world), before);
    if world.kind == Kind::Postgres {
        // Another schema of the same database will do.
        let options = StoreOptions { schema: "Other-1".to_owned(), ..world.options("one") };
        assert_eq!(Store::open(&world.url, options).await.unwrap().trouble(), None);
    }
}

#[trial(with = crate::on_each_database)]
async fn several_at_once(world: World) {
    let nodes = tokio::join!(world.open("one"), world.open("two"), world.open("three"));
    for node in [&nodes.0, &nodes.1, &nodes.2] {
        assert_eq!(node.store.trouble(), None);
    }
    nodes.0.register(&["alpha"]).await;
    assert!(nodes.2.record("alpha").await.is_some());
}

#[trial(with = crate::on_each_database)]
async fn an_id_that_stays(world: World) {
    let node = world.open("one").await;
    let id = node.store.node().to_owned();
    assert_eq!(fs::read_to_string(world.directory.path().join("one/node-id")).unwrap().trim(), id);
    // A second server in the same data directory is another node.
    let second = world.open("one").await;
    assert_ne!(second.store.node(), id);
    second.store.end().await;
    node.store.end().await;
    assert_eq!(world.open("one").await.store.node(), id);
    assert_eq!(world.sql("SELECT count(*) FROM nodes"), "2");
}

/// PostgreSQL does not let us in, or is not there: that passes when somebody mends it, without a restart.
#[trial(with = crate::on_postgres)]
async fn not_let_in() {
    let world = World::new(Kind::Postgres);
    let server = world.server();
    let name = world.url.rsplit('/').next().unwrap();
    let open = async |url: &str| Store::open(url, world.options("one")).await.unwrap();
    let said = |store: &Store| store.trouble().unwrap().sentence;

    let store = open(&server.guarded_url(name, "s3cret")).await;
    assert!(said(&store).ends_with("refuses the password"), "{}", said(&store));
    let error = store.registry().read(Default::default()).await.unwrap_err();
    assert_eq!(error.0, said(&store));
    server
        .sql(&world.url, &format!("ALTER USER guarded PASSWORD 's3cret'; GRANT CREATE ON DATABASE {name} TO guarded"));
    tokio::time::timeout(PATIENCE, store.usable()).await.unwrap();
    server.sql(&world.url, "ALTER USER guarded PASSWORD 'right'");
    drop(store);

    let store = open(&server.url("nowhere")).await;
    assert!(said(&store).contains("does not have it (database \"nowhere\" does not exist)"), "{}", said(&store));

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let store = open(&format!("postgres://me:s3cret@127.0.0.1:{port}/x")).await;
    assert!(said(&store).starts_with(&format!(
        "the PostgreSQL database `x` at 127.0.0.1:{port} cannot be reached (Connection refused"
    )));
    assert!(!said(&store).contains("s3cret"));

    let store = open(&format!("{}?sslmode=require", world.url)).await;
    assert!(said(&store).contains("does not speak TLS, which `sslmode` asks for"), "{}", said(&store));

    // One who may not make tables.
    let other = World::new(Kind::Postgres);
    let name = other.url.rsplit('/').next().unwrap();
    let store = Store::open(&server.guarded_url(name, "right"), other.options("one")).await.unwrap();
    assert!(said(&store).contains("permission denied"), "{}", said(&store));
}

/// It is not there at the start; what was to be noted meanwhile is not lost.
#[trial(with = crate::on_postgres)]
async fn not_there_at_first() {
    let postgres = Postgres::start();
    let url = postgres.database();
    postgres.kill();
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&url, StoreOptions::new(directory.path())).await.unwrap();
    assert!(store.trouble().unwrap().passes());
    store.registry().note(camlock_policy::registry::Happened {
        plugin: None,
        generation: None,
        what: "started",
        by: "tester".into(),
        detail: serde_json::json!({}),
        at: std::time::SystemTime::now(),
    });
    postgres.start_again();
    tokio::time::timeout(PATIENCE, store.usable()).await.unwrap();
    store.end().await;
    assert_eq!(postgres.sql(&url, "SELECT what FROM camlock.plugin_journal"), "started");
}

/// A file that is none of SQLite's, and one that is damaged: said, and kept as it is.
#[trial(with = crate::on_sqlite)]
async fn damaged() {
    let world = World::new(Kind::Sqlite);
    fs::write(world.file(), "These are my notes, and by no means a database. ".repeat(50)).unwrap();
    let before = fs::read(world.file()).unwrap();
    let trouble = refused(&world).await;
    assert_eq!(trouble.kind, TroubleKind::Corrupt);
    assert!(trouble.sentence.contains("is no SQLite database"), "{trouble}");
    assert!(trouble.sentence.contains("It is kept as it is: put a backup in its place, or move it away"), "{trouble}");
    assert_eq!(fs::read(world.file()).unwrap(), before);

    let world = World::new(Kind::Sqlite);
    let node = world.open("one").await;
    let many: Vec<_> = (0..500).map(|number| newcomer(&format!("plugin-{number}"))).collect();
    node.registry.register(many).await.unwrap();
    node.store.end().await;
    drop(sqlite3(&world.file(), "PRAGMA wal_checkpoint(TRUNCATE)").unwrap());
    let mut bytes = fs::read(world.file()).unwrap();
    for byte in &mut bytes[4096 * 3..4096 * 12] {
        *byte ^= 0x5a;
    }
    fs::write(world.file(), &bytes).unwrap();
    let trouble = refused(&world).await;
    assert_eq!(trouble.kind, TroubleKind::Corrupt);
    assert!(trouble.sentence.contains("is damaged"), "{trouble}");
    assert_eq!(fs::read(world.file()).unwrap(), bytes);
}

/// A table of ours is missing: that is told as what it is, and nothing is put in its place.
#[trial(with = crate::on_each_database)]
async fn a_table_is_missing(world: World) {
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    node.store.end().await;
    world.sql("DROP TABLE api_tokens");
    let before = dump(&world);
    let trouble = refused(&world).await;
    assert_eq!(trouble.kind, TroubleKind::Corrupt);
    assert!(trouble.sentence.contains("is Camlock's, and its table `api_tokens` is missing"), "{trouble}");
    assert_eq!(dump(&world), before);
}

/// Another process holds the file: nobody waits for long, and it goes on when that one is done.
#[trial(with = crate::on_sqlite)]
async fn locked() {
    let world = World::new(Kind::Sqlite);
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    let mut other = world.session();
    other.say("BEGIN IMMEDIATE");
    let began = std::time::Instant::now();
    let decision = camlock_policy::registry::Decision { reload: true, ..Default::default() };
    let error = node.registry.decide("alpha", decision.clone(), "tester".into(), None).await.unwrap_err();
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(error.to_string().contains("is locked by another process"), "{error}");
    assert!(node.record("alpha").await.is_some(), "it can be read all the same");
    assert_eq!(node.store.trouble(), None);
    other.say("COMMIT");
    node.decide("alpha", decision).await;

    // And at the start.
    let world = World::new(Kind::Sqlite);
    let mut other = world.session();
    other.say("BEGIN EXCLUSIVE");
    let store = Store::open(&world.url, world.options("one")).await.unwrap();
    let trouble = store.trouble().unwrap();
    assert!(trouble.sentence.contains("is locked by another process"), "{trouble}");
    other.say("COMMIT");
    tokio::time::timeout(PATIENCE, store.usable()).await.unwrap();
}

/// A row that an operator's open transaction holds: said, and the rest goes on.
#[trial(with = crate::on_postgres)]
async fn a_row_is_held() {
    let world = World::new(Kind::Postgres);
    let node = world.open("one").await;
    node.register(&["alpha", "beta"]).await;
    let mut other = world.session();
    other.say("BEGIN; UPDATE plugins SET reloads = 7 WHERE name = 'alpha'");
    let decision = camlock_policy::registry::Decision { reload: true, ..Default::default() };
    let error = node.registry.decide("alpha", decision.clone(), "tester".into(), None).await.unwrap_err();
    let said = "holds what is to be changed, and does not end; `pg_stat_activity` lists it";
    assert!(error.to_string().ends_with(said), "{error}");
    node.decide("beta", decision.clone()).await;
    assert_eq!(node.store.trouble(), None);
    other.say("COMMIT");
    assert_eq!(node.decide("alpha", decision).await.reloads, 8);
}

/// A dump that was restored into another server: its entries bear transactions that may lie ahead there.
#[trial(with = crate::on_postgres)]
async fn restored() {
    let world = World::new(Kind::Postgres);
    world.open("one").await.store.end().await;
    world.sql("INSERT INTO plugin_journal (xact, what, actor) VALUES ('99999999999', 'before', 'tester')");
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    let began = std::time::Instant::now();
    loop {
        let query = camlock_policy::registry::EventQuery { limit: 10, ..Default::default() };
        let events = node.store.archive().events(query).await.unwrap().events;
        if let [after, before] = events.as_slice() {
            assert_eq!((before.what.as_str(), after.what.as_str()), ("before", "registered"));
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{events:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
