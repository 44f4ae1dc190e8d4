//! Plugins' own tables: when they are seen to, and what follows.

use super::world::{Script, World, kept, limits};
use camlock_policy::{Act, Failure, Headline, Refused, Settings, Stage, TablesNotReady, TablesReady};
use camlock_testing::MemoryRegistry;
use std::time::Duration;

fn with_tables() -> Script {
    Script { permissions: &["database"], migrations: &["0001_first.sql"], ..Script::default() }
}

fn failed(reason: &str) -> TablesNotReady {
    TablesNotReady::failed(Failure::new(Stage::Migrate, reason))
}

fn contracts() -> TablesReady {
    TablesReady { ran: Vec::new(), contracts: true }
}

#[tokio::test(start_paused = true)]
async fn tables_come_before_anything_is_loaded() {
    let world = World::new();
    world.put("hello", "a", with_tables());
    world.next_tables(Ok(TablesReady { ran: vec!["0001_first.sql".to_owned()], contracts: false }));
    let server = world.start();
    let view = server.serves("hello", 1).await;
    let log = world.taken();
    let at =
        |what: &str| log.iter().position(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}: {log:?}"));
    assert!(at("tables hello 0001_first.sql") < at("load hello:a"), "{log:?}");
    assert!(view.builds[0].stages.milliseconds("migrate").is_some(), "{view:?}");
    // Nobody else needs them yet; then somebody does.
    assert!(log.contains(&"tables hello 0001_first.sql alone".to_owned()), "{log:?}");
    world.put("hello", "b", with_tables());
    server.serves("hello", 2).await;
    assert!(world.taken().contains(&"tables hello 0001_first.sql".to_owned()));
    // One that asks for none has none.
    world.put("plain", "a", Script::default());
    server.serves("plain", 1).await;
    assert!(!world.taken().iter().any(|line| line.starts_with("tables plain")));
}

#[tokio::test(start_paused = true)]
async fn what_fails_leaves_what_serves_and_is_told() {
    let world = World::new();
    world.put("hello", "a", with_tables());
    let registry = MemoryRegistry::default();
    let server = world.start_on(&registry, Settings { limits: limits(), ..Settings::default() });
    server.serves("hello", 1).await;
    let failure = Failure::new(Stage::Migrate, "`migrations/0002_b.sql` failed: no");
    world.next_tables(Err(TablesNotReady::Failed { failure, ran: vec!["0001_a.sql".to_owned()] }));
    world.put("hello", "b", with_tables());
    let view = server.until("hello", |plugin| plugin.failed.is_some()).await;
    // What has run before that stays, and is on record.
    let migrated: Vec<_> = registry.noted().into_iter().filter(|noted| noted.what == "migrated").collect();
    assert_eq!(migrated.last().unwrap().detail, serde_json::json!({ "files": ["0001_a.sql"] }));
    let failure = view.failed.as_ref().unwrap();
    assert_eq!((failure.stage, view.serving.as_ref().unwrap().generation), (Stage::Migrate, 1));
    assert!(!world.taken().iter().any(|line| line.starts_with("load hello:b")), "nothing of it ran");
    // What may pass is tried again.
    world.next_tables(Err(TablesNotReady::failed(Failure::transient(Stage::Migrate, "the database is away"))));
    world.put("hello", "c", with_tables());
    server.until("hello", |plugin| plugin.serving.as_ref().is_some_and(|serving| serving.generation > 3)).await;
    // Nobody would run them.
    world.put("hello", "d", Script { permissions: &[], ..with_tables() });
    let view = server.until("hello", |plugin| plugin.failed.is_some()).await;
    assert!(view.failed.as_ref().unwrap().reason.contains("does not ask for the permission `database`"), "{view:?}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_comes_too_early_waits_and_then_goes_on() {
    let world = World::new();
    world.put("hello", "a", with_tables());
    world.next_tables(Ok(contracts()));
    let server = world.start();
    server.serves("hello", 1).await;
    // As long as what it waits for has not run.
    for _ in 0..100_000 {
        world.next_tables(Err(TablesNotReady::Waits("it waits until 0002 has run".to_owned())));
    }
    world.put("hello", "b", with_tables());
    let view = server.until("hello", |plugin| plugin.candidate.is_some() && plugin.reason.is_some()).await;
    assert_eq!(view.reason.as_deref(), Some("it waits until 0002 has run"));
    assert_eq!((view.state, world.leads_to("hello")), (Headline::Serving, "generation 1".to_owned()));
    assert_eq!(view.candidate.as_ref().map(|candidate| &*candidate.stage), Some("waiting"));
    server.serves("hello", 2).await;
    let log = world.taken();
    let count = |what: &str| log.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!((count("contract hello"), count("load hello:b")), (1, 1), "{log:?}");
    assert!((5..30).contains(&count("tables hello")), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_needed_goes_once_the_version_stays() {
    let world = World::new();
    world.put("hello", "a", with_tables());
    world.next_tables(Ok(contracts()));
    world.next_contract(Err(Failure::transient(Stage::Migrate, "the database is away")));
    world.next_contract(Ok(vec!["0002_drop.sql".to_owned()]));
    let server = world.start();
    server.serves("hello", 1).await;
    assert!(!world.taken().iter().any(|line| line.starts_with("contract")), "it is on probation");
    for _ in 0..2 {
        world.logged("contract hello").await;
        world.taken();
    }
    // A version that has nothing to take away takes nothing away.
    world.put("hello", "b", with_tables());
    server.serves("hello", 2).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!world.taken().iter().any(|line| line.starts_with("contract")));
    // Nor does one that did not stay.
    world.next_tables(Ok(contracts()));
    world.put("hello", "c", with_tables());
    server.serves("hello", 3).await;
    world.rewrite("hello", "c", |script| script.unwell = true);
    server.until("hello", |plugin| plugin.serving.as_ref().is_some_and(|serving| serving.generation > 3)).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!world.taken().iter().any(|line| line.starts_with("contract")));
    // What cannot be taken away is told, and what serves goes on.
    world.next_tables(Ok(contracts()));
    world.next_contract(Err(Failure::new(Stage::Migrate, "`migrations/0003_drop.sql` failed: no")));
    world.put("hello", "d", with_tables());
    let view = server
        .until("hello", |plugin| plugin.failed.as_ref().is_some_and(|failed| failed.reason.contains("0003_drop.sql")));
    let view = view.await;
    let reason = &view.failed.as_ref().unwrap().reason;
    assert!(view.serving.is_some() && reason.ends_with("failed: no; it serves on"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn back_past_what_was_taken_away_only_by_force() {
    let world = World::new();
    world.put("hello", "a", with_tables());
    let server = world.start();
    server.serves("hello", 1).await;
    world.put("hello", "b", with_tables());
    server.serves("hello", 2).await;
    world.taken();
    world.next_tables(Err(failed("its migration 0002 (`drop`) has run, and cannot be undone")));
    let back = |force| Act::Rollback { to: Some(kept("hello", "a").digest), force };
    let refused = server.manager.act("hello", back(false)).await.unwrap_err();
    assert!(
        matches!(&refused, Refused::Failed { failure, .. } if failure.reason.ends_with("cannot be undone")),
        "{refused}"
    );
    assert!(world.taken().contains(&"tables hello 0001_first.sql".to_owned()));
    let done = server.manager.act("hello", back(true)).await.unwrap();
    assert_eq!(done.plugin.serving.as_ref().unwrap().artifact, Some(kept("hello", "a").digest));
    assert!(world.taken().contains(&"tables hello 0001_first.sql back".to_owned()));
    // What all have agreed on needs nobody's word once more.
    for enabled in [false, true] {
        server.manager.act("hello", Act::Enable(enabled)).await.unwrap();
    }
    assert!(world.taken().contains(&"tables hello 0001_first.sql back".to_owned()));
}
