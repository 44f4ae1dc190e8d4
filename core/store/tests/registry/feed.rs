//! That every change is heard of, whatever happens in between.

use crate::world::*;
use camlock_policy::registry::RegistryChange;
use camlock_policy::registry::{Decision, Happened};
use camlock_testing::{rounds, trial};
use std::{
    collections::BTreeSet,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Names of plugins that were told of, until all of these were, or everything.
async fn until_all(node: &Node, wanted: usize) -> usize {
    let began = Instant::now();
    let (mut told, mut times) = (BTreeSet::new(), 0);
    while told.len() < wanted {
        assert!(began.elapsed() < PATIENCE, "{} of {wanted}", told.len());
        for change in node.heard() {
            match change {
                RegistryChange::Plugins(names) => {
                    times += 1;
                    told.extend(names);
                }
                RegistryChange::Everything => return times + 1,
                _ => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    times
}

#[trial(with = crate::on_each_database)]
async fn own_changes_and_others(world: World) {
    // Who is not told looks after two minutes.
    let told = |options: &mut camlock_store::StoreOptions| options.heartbeat = Duration::from_secs(120);
    let (one, two) = (world.open_with("one", told).await, world.open_with("two", told).await);
    one.register(&["alpha"]).await;
    for node in [&one, &two] {
        node.until_told("alpha").await;
        node.quiet().await;
    }
    for enabled in [false, true, false] {
        one.decide("alpha", Decision { enabled: Some(enabled), ..Decision::default() }).await;
        one.until_told("alpha").await;
        two.until_told("alpha").await;
    }
    // How soon from a client of SQL, without its start.
    let mut client = world.session();
    let mut took = Vec::new();
    for round in 0..40 {
        one.quiet().await;
        client.say(&format!(
            "UPDATE plugins SET enabled = {} WHERE name = 'alpha'",
            if round % 2 == 0 { "true" } else { "false" }
        ));
        took.push(one.until_told("alpha").await);
    }
    took.sort();
    println!("{:?}: heard after {:?} (median), {:?} (most)", world.kind, took[20], took[39]);
}

#[trial(with = crate::on_each_database)]
async fn ten_thousand_in_a_second(world: World) {
    let node = world.open("one").await;
    let many: Vec<_> = (0..10_000).map(|number| newcomer(&format!("plugin-{number}"))).collect();
    for many in many.chunks(2_500) {
        node.registry.register(many.to_vec()).await.unwrap();
    }
    node.quiet().await;
    let mut client = world.session();
    // Ten statements of a thousand rows each.
    let statements: Vec<String> =
        (0..10).map(|digit| format!("UPDATE plugins SET enabled = false WHERE name LIKE 'plugin-%{digit}'")).collect();
    let began = Instant::now();
    client.say(&statements.join(";\n"));
    let wrote = began.elapsed();
    let times = until_all(&node, 10_000).await;
    println!("{:?}: written in {wrote:?}, heard in {:?}, in {times} words", world.kind, began.elapsed());
    assert!(times <= 100, "{times}");
    let began = Instant::now();
    node.read().await;
    println!("{:?}: 10,000 records read in {:?}", world.kind, began.elapsed());
    assert!(node.read().await.records.iter().all(|record| !record.enabled));
}

/// At rest a node asks next to nothing.
#[trial(with = crate::on_each_database_alone)]
async fn at_rest(world: World) {
    let node = world.open_with("one", |options| options.heartbeat = Duration::from_millis(400)).await;
    node.register(&["alpha"]).await;
    node.quiet().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, began) = (node.store.queries(), Instant::now());
    tokio::time::sleep(Duration::from_millis(4_000)).await;
    let asked = node.store.queries() - before;
    // Ten heartbeats, or more if it was longer; after each, in SQLite, one look whether anybody else wrote.
    let heartbeats = 1 + (began.elapsed().as_millis() / 400) as u64;
    let most = if world.kind == Kind::Sqlite { 2 * heartbeats } else { heartbeats };
    println!("{:?}: {asked} queries in {heartbeats} heartbeats at most", world.kind);
    assert!((9..=most).contains(&asked), "{asked}");
}

#[trial(with = crate::on_postgres)]
async fn what_is_not_ours() {
    let world = World::new(Kind::Postgres);
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    node.quiet().await;
    for payload in ["", "hello", "{\"name\":", "{\"name\": 7}", "[]", &"x".repeat(7_000)] {
        world.sql(&format!("SELECT pg_notify('plugin_changes', '{payload}')"));
    }
    world.sql("SELECT pg_notify('another_channel', '{\"name\": \"a\"}')");
    world.sql("UPDATE plugins SET enabled = false");
    node.until_told("alpha").await;
    assert_eq!(node.store.trouble(), None);
}

/// From a client that has never heard of our schema's name.
#[trial(with = crate::on_postgres)]
async fn any_search_path() {
    let world = World::new(Kind::Postgres);
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    node.quiet().await;
    let server = world.server();
    server.sql(&world.url, "UPDATE camlock.plugins SET enabled = false WHERE name = 'alpha'");
    node.until_told("alpha").await;
    let refused =
        server.try_sql(&world.url, "UPDATE camlock.plugins SET version = '2' WHERE name = 'alpha'").unwrap_err();
    assert!(refused.contains("there is no artifact of plugin alpha in version 2"), "{refused}");
    assert!(refused.contains("SELECT version, digest FROM camlock.artifacts WHERE plugin = 'alpha'"), "{refused}");
    server.sql(&world.url, "DELETE FROM camlock.plugins");
    node.until_told("alpha").await;
}

const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[trial(with = crate::on_postgres)]
async fn connections_are_cut() {
    let world = World::new(Kind::Postgres);
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    for round in 0..rounds(5) {
        node.quiet().await;
        world.sql(CUT);
        world.sql(&format!("UPDATE plugins SET enabled = {} WHERE name = 'alpha'", round % 2 == 0));
        // It was missed, or came right after; in either case everything is read anew.
        node.until_heard(|change| *change == RegistryChange::Everything).await;
        assert_eq!(node.record("alpha").await.unwrap().enabled, round % 2 == 0);
        node.quiet().await;
        world.sql("UPDATE plugins SET reloads = reloads + 1 WHERE name = 'alpha'");
        node.until_told("alpha").await;
    }
}

#[trial(with = crate::on_postgres)]
async fn killed_under_load() {
    let world = World::apart();
    let postgres = world.postgres.clone().unwrap();
    let node = Arc::new(world.open("one").await);
    node.register(&["alpha"]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (theirs, stopped) = (node.clone(), stop.clone());
    let load = tokio::spawn(async move {
        let (mut done, mut failed, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
        while !stopped.load(Ordering::Relaxed) {
            let began = Instant::now();
            let decision = Decision { reload: true, ..Decision::default() };
            let decided = theirs.registry.decide("alpha", decision, "load".into(), None).await;
            slowest = slowest.max(began.elapsed());
            match decided {
                Ok(_) => done += 1,
                Err(error) => {
                    failed += 1;
                    assert!(error.to_string().starts_with("the "), "{error}");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            theirs.registry.note(Happened {
                plugin: None,
                generation: Some(done + failed),
                what: "load",
                by: "load".into(),
                detail: serde_json::json!({}),
                at: SystemTime::now(),
            });
        }
        (done, failed, slowest)
    });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (dying, back) = (postgres.clone(), postgres.clone());
        tokio::task::spawn_blocking(move || dying.kill()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        node.heard();
        tokio::task::spawn_blocking(move || back.start_again()).await.unwrap();
        node.until_heard(|change| *change == RegistryChange::Everything).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    let (done, failed, slowest) = load.await.unwrap();
    println!("killed three times: {done} done, {failed} refused with a sentence, the slowest after {slowest:?}");
    assert!(done > 0 && failed > 0 && slowest < PATIENCE);
    // The counter has every decision that was confirmed; one more at each kill may have been written without an answer.
    let reloads = node.record("alpha").await.unwrap().reloads;
    assert!((done..=done + 3).contains(&reloads), "{done} confirmed, {reloads} on record");
    // What was noted meanwhile is all there, in order and once; but a batch at a kill may be there twice.
    let began = Instant::now();
    loop {
        let noted: u64 =
            world.sql("SELECT count(DISTINCT generation) FROM plugin_journal WHERE what = 'load'").parse().unwrap();
        if noted + 1 >= done + failed {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{noted} of {}", done + failed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// PostgreSQL stands still with all connections open: calls end in time, then at once, and all is well when it goes on.
#[trial(with = crate::on_postgres)]
async fn paused() {
    let world = World::apart();
    let postgres = world.postgres.clone().unwrap();
    let quick = |options: &mut camlock_store::StoreOptions| options.limit = Duration::from_secs(1);
    let node = world.open_with("one", quick).await;
    node.register(&["alpha"]).await;
    node.quiet().await;
    postgres.pause();
    let began = Instant::now();
    let error = node.registry.read(Default::default()).await.unwrap_err();
    assert!(error.0.contains("does not answer in time"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let began = Instant::now();
    for _ in 0..100 {
        assert!(node.registry.read(Default::default()).await.is_err());
    }
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "once it is known nobody waits a second each: {:?}",
        began.elapsed()
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(node.store.trouble().is_some());
    postgres.resume();
    node.until_heard(|change| *change == RegistryChange::Everything).await;
    world.sql("UPDATE plugins SET enabled = false");
    node.until_told("alpha").await;
    assert!(!node.record("alpha").await.unwrap().enabled);
}

/// Two processes on one file, both writing; each hears of the other.
#[trial(with = crate::on_sqlite)]
async fn two_processes() {
    let world = World::new(Kind::Sqlite);
    let node = world.open("one").await;
    node.register(&["mine"]).await;
    let mut other = Command::new(std::env::current_exe().unwrap());
    let mut other =
        other.env(crate::OTHER, &world.url).env("OTHER_DATA", world.directory.path().join("two")).spawn().unwrap();
    for _ in 0..rounds(200) {
        node.decide("mine", Decision { reload: true, ..Decision::default() }).await;
    }
    let ended = tokio::task::spawn_blocking(move || other.wait().unwrap()).await.unwrap();
    assert!(ended.success());
    node.until_told("theirs").await;
    assert_eq!(node.record("mine").await.unwrap().reloads, 200);
    let all = rounds(200);
    assert_eq!(node.record("theirs").await.unwrap().reloads, all as u64);
    assert_eq!(world.sql("SELECT count(DISTINCT id) FROM nodes"), "2");
    let of = |plugin| {
        world.sql(&format!("SELECT count(*) FROM plugin_journal WHERE plugin = '{plugin}' AND what = 'reload'"))
    };
    assert_eq!((of("mine"), of("theirs")), (all.to_string(), all.to_string()));
    let actors = world.sql("SELECT DISTINCT plugin, actor FROM plugin_journal WHERE what = 'reload' ORDER BY 1");
    assert_eq!(actors, "mine|tester\ntheirs|other");
}

/// What the other process does.
pub(crate) async fn other_process(url: &str) {
    let data = std::env::var("OTHER_DATA").unwrap();
    let store = camlock_store::Store::open(url, camlock_store::StoreOptions::new(data)).await.unwrap();
    let registry = store.registry();
    registry.register(vec![newcomer("theirs")]).await.unwrap();
    for _ in 0..rounds(200) {
        let decision = Decision { reload: true, ..Decision::default() };
        registry.decide("theirs", decision, "other".into(), None).await.unwrap();
    }
    store.end().await;
}

/// No more can be written, in a process with a limit on the size of files: said in a sentence, and nothing is lost.
#[trial(with = crate::on_sqlite)]
async fn a_full_disk() {
    let world = World::new(Kind::Sqlite);
    world.open("one").await.store.end().await;
    let run = "trap '' XFSZ; ulimit -f 600; exec \"$0\"";
    let mut limited = Command::new("sh");
    limited.args(["-c", run]).arg(std::env::current_exe().unwrap());
    let status =
        limited.env(crate::FULL, &world.url).env("OTHER_DATA", world.directory.path().join("two")).status().unwrap();
    assert!(status.success());
    let node = world.open("one").await;
    let left = node.read().await.records.len();
    assert!(left > 0);
    node.register(&["after-all"]).await;
    assert_eq!(node.read().await.records.len(), left + 1);
}

/// What that process does.
pub(crate) async fn full_process(url: &str) {
    let data = std::env::var("OTHER_DATA").unwrap();
    let store = camlock_store::Store::open(url, camlock_store::StoreOptions::new(data)).await.unwrap();
    let registry = store.registry();
    let mut there = 0;
    let error = loop {
        let many = (0..100).map(|number| newcomer(&format!("plugin-{}", there + number))).collect();
        match registry.register(many).await {
            Ok(_) => there += 100,
            Err(error) => break error,
        }
        assert!(there < 100_000, "there was no limit");
    };
    assert!(error.0.contains("disk is full"), "{error}");
    assert_eq!(registry.read(Default::default()).await.unwrap().records.len(), there, "what was there can be read");
    store.end().await;
}
