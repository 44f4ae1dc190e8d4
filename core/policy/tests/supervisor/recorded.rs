//! What is on record, and how it is obeyed: by whomever it was written.

use super::world::{Script, Server, World, kept, limits};
use camlock_policy::{
    Act, Failure, Headline, LivePlugin, Order, Refused, Settings, Stage,
    registry::{Decision, Registry},
};
use camlock_testing::MemoryRegistry;
use serde_json::json;
use std::time::Duration;

fn settings() -> Settings {
    Settings { limits: limits(), ..Settings::default() }
}

/// Somebody writes a decision into the record, past the supervisor.
pub(super) async fn write(registry: &MemoryRegistry, name: &str, decision: Decision) {
    registry.decide(name, decision, "somebody".into(), None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_somebody_writes_is_obeyed() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    write(&registry, "hello", Decision { enabled: Some(false), ..Decision::default() }).await;
    server.until("hello", |plugin| plugin.state == Headline::Disabled).await;
    world.logged("gone hello:a 1").await;
    write(&registry, "hello", Decision { enabled: Some(true), ..Decision::default() }).await;
    server.serves("hello", 2).await;
    write(&registry, "hello", Decision { reload: true, ..Decision::default() }).await;
    server.serves("hello", 3).await;
    // Nothing of it was built twice.
    assert_eq!(world.taken().iter().filter(|line| line.starts_with("build")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_read_before_it_is_answered_is_obeyed_once() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    registry.slow_down(Duration::from_secs(3));
    let reloaded = server.manager.act("hello", Act::Reload { force: false }).await.unwrap();
    assert_eq!(reloaded.plugin.serving.as_ref().map(|serving| serving.generation), Some(2));
    tokio::time::sleep(Duration::from_secs(9)).await;
    server.serves("hello", 2).await;
    // What others write meanwhile is read afterwards.
    let order = server.manager.act("hello", Act::Reload { force: false });
    let others = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        registry.slow_down(Duration::ZERO);
        write(&registry, "hello", Decision { enabled: Some(false), ..Decision::default() }).await;
    };
    let (_, ()) = tokio::join!(order, others);
    server.until("hello", |plugin| plugin.state == Headline::Disabled).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_record_is_discovered_anew() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    let before = registry.record("hello").unwrap();
    registry.delete("hello");
    server.serves("hello", 2).await;
    let after = registry.record("hello").unwrap();
    assert!(after.registered > before.registered && after.revision > before.revision);
    world.logged("gone hello:a 1").await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_record_of_what_is_missing_is_the_end_of_it() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    world.remove("hello");
    server.until("hello", |plugin| plugin.state == Headline::Missing && plugin.draining.is_empty()).await;
    // Nothing else happens in the directory, and nobody looks at it by the clock.
    registry.delete("hello");
    let mut overview = server.manager.watch();
    let gone = overview.wait_for(|overview| overview.plugins.is_empty());
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("it is forgotten").unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_does_not_come_back_by_itself() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    let done = server.manager.act("hello", Act::Remove { purge: false }).await.unwrap();
    assert_eq!(done.plugin.state, Headline::Missing);
    let log = world.taken();
    assert!(log.iter().position(|line| line == "gone hello:a 1") < log.iter().position(|line| line == "move hello"));
    assert!(registry.record("hello").unwrap().removed);
    let mut overview = server.manager.watch();
    overview.wait_for(|overview| overview.plugins.is_empty()).await.unwrap();
    // What somebody puts there anew is a new plugin.
    world.put("hello", "b", Script::default());
    server.serves("hello", 1).await;
    assert!(!registry.record("hello").unwrap().removed);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_others_decided_is_carried_out_here() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    write(&registry, "hello", Decision { remove: true, ..Decision::default() }).await;
    world.logged("move hello").await;
    let mut overview = server.manager.watch();
    overview.wait_for(|overview| overview.plugins.is_empty()).await.unwrap();
    assert!(registry.record("hello").unwrap().removed);
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_keeps_its_record() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    let set = Act::Set { enabled: None, config: Some(json!({ "greeting": "hi" })), isolation: None };
    server.manager.act("hello", set).await.unwrap();
    world.remove("hello");
    server.until("hello", |plugin| plugin.state == Headline::Missing).await;
    world.put("hello", "a", Script::default());
    let view = server.serves("hello", 3).await;
    assert_eq!(view.config, Some(json!({ "greeting": "hi" })));
    assert!(world.taken().contains(&"load hello:a as 3 with {\"greeting\":\"hi\"}".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_is_taken_live_or_by_a_new_generation_or_refused() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script { configures: true, ..Script::default() });
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    let set = |number: u64| Act::Set { enabled: None, config: Some(json!({ "number": number })), isolation: None };
    let done = server.manager.act("hello", set(1)).await.unwrap();
    assert_eq!(done.plugin.serving.as_ref().unwrap().generation, 1);
    assert!(world.taken().contains(&"configure hello:a 1 with {\"number\":1}".to_owned()));

    world.rewrite("hello", "a", |script| script.configures = false);
    let done = server.manager.act("hello", set(2)).await.unwrap();
    assert_eq!(done.plugin.serving.as_ref().unwrap().generation, 2);
    assert!(world.taken().contains(&"load hello:a as 2 with {\"number\":2}".to_owned()));

    world.rewrite("hello", "a", |script| script.refuses_config = Some("`number` is 2 at most"));
    match server.manager.act("hello", set(3)).await {
        Err(Refused::Failed { failure, plugin, .. }) => {
            assert_eq!(failure.stage, Stage::Start);
            let expected = "its configuration was refused: `number` is 2 at most; it goes on with the one before";
            assert_eq!(failure.reason, expected);
            assert_eq!(plugin.state, Headline::Serving);
        }
        other => panic!("{other:?}"),
    }
    // Written by somebody else it is the same.
    world.rewrite("hello", "a", |script| (script.refuses_config, script.configures) = (None, true));
    write(&registry, "hello", Decision { config: Some(json!({ "number": 4 })), ..Decision::default() }).await;
    world.logged("configure hello:a 2 with {\"number\":4}").await;
    // What was refused before is not held against it.
    server.until("hello", |plugin| plugin.failed.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_condition_on_the_revision_is_kept() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    let revision = server.serves("hello", 1).await.revision;
    let order = |act, revision| Order { plugin: "hello".into(), act, by: "me".into(), revision: Some(revision) };
    for act in [Act::Enable(false), Act::Reload { force: false }, Act::Remove { purge: false }] {
        let refused = server.manager.order(order(act, revision + 7)).await.unwrap_err();
        assert!(matches!(refused, Refused::Outdated(now) if now == revision), "{refused:?}");
    }
    let done = server.manager.order(order(Act::Enable(false), revision)).await.unwrap();
    assert_eq!(done.plugin.state, Headline::Disabled);
}

#[tokio::test(start_paused = true)]
async fn without_the_registry_what_serves_goes_on() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    let mut overview = server.manager.watch();
    overview.wait_for(|overview| overview.ready).await.unwrap();

    registry.break_down(Some("nobody listens there"));
    overview.wait_for(|overview| !overview.ready && overview.registry_trouble.is_some()).await.unwrap();
    assert_eq!(world.leads_to("hello"), "generation 1");
    let refused = server.manager.act("hello", Act::Enable(false)).await.unwrap_err();
    assert_eq!(refused.to_string(), "the registry cannot be written: nobody listens there");
    // A new generation of what is agreed on needs nobody.
    server.reload("hello").await.unwrap();
    // What is new is made ready, and waits; what is newer takes its place.
    world.put("hello", "b", Script::default());
    let waits = |plugin: &camlock_policy::LivePlugin| {
        plugin.candidate.as_ref().is_some_and(|it| it.doing.contains("waits for the registry: nobody listens there"))
    };
    server.until("hello", waits).await;
    world.put("hello", "c", Script::default());
    server.manager.look();
    world.logged("gone hello:b 3").await;
    server.until("hello", waits).await;
    assert_eq!(world.leads_to("hello"), "generation 2");

    registry.break_down(None);
    let view = server.serves("hello", 4).await;
    assert_eq!(view.serving.as_ref().unwrap().artifact, Some(kept("hello", "c").digest));
    overview.wait_for(|overview| overview.ready && overview.registry_trouble.is_none()).await.unwrap();
    assert_eq!(registry.record("hello").unwrap().agreed.unwrap().digest, kept("hello", "c").digest);
}

#[tokio::test(start_paused = true)]
async fn without_the_registry_it_still_goes_back_from_something_bad() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    world.put("hello", "b", Script::default());
    server.serves("hello", 2).await;
    registry.break_down(Some("nobody listens there"));
    world.rewrite("hello", "b", |script| script.panics = 3);
    let view = server.serves("hello", 3).await;
    assert_eq!(view.serving.as_ref().unwrap().artifact, Some(kept("hello", "a").digest));
    assert_eq!(registry.record("hello").unwrap().agreed.unwrap().digest, kept("hello", "b").digest);

    registry.break_down(None);
    let mut overview = server.manager.watch();
    overview.wait_for(|overview| overview.registry_trouble.is_none()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let record = registry.record("hello").unwrap();
    assert_eq!(record.agreed.unwrap().digest, kept("hello", "a").digest);
    assert!(record.quarantine.contains_key(&kept("hello", "b").digest));
    server.serves("hello", 3).await;
}

#[tokio::test(start_paused = true)]
async fn decisions_outlive_the_server() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    world.put("quiet", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    world.put("hello", "b", Script::default());
    server.serves("hello", 2).await;
    server.manager.act("hello", Act::Rollback { to: None, force: false }).await.unwrap();
    server.serves("quiet", 1).await;
    server.manager.act("quiet", Act::Enable(false)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.manager.end().await;

    let server = world.start_on(&registry, settings());
    let view = server.serves("hello", 1).await;
    assert_eq!(view.serving.as_ref().unwrap().artifact, Some(kept("hello", "a").digest));
    server.until("quiet", |plugin| plugin.state == Headline::Disabled).await;
    server.manager.end().await;

    // What was saved while no server ran is news.
    world.put("hello", "c", Script::default());
    let server = world.start_on(&registry, settings());
    server
        .until("hello", |plugin| {
            plugin.serving.as_ref().is_some_and(|it| it.artifact == Some(kept("hello", "c").digest))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_noted() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    world.put("hello", "b", Script { start_fails: true, ..Script::default() });
    server.until("hello", |plugin| plugin.failed.is_some()).await;
    let noted: Vec<_> =
        registry.noted().into_iter().map(|it| format!("{} {} {:?}", it.what, it.by, it.generation)).collect();
    let expected = [
        "begun filesystem Some(1)",
        "serving filesystem Some(1)",
        "begun filesystem Some(2)",
        "failed filesystem Some(2)",
    ];
    assert_eq!(noted[..4], expected);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_missing_before_the_directory_was_looked_at() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    world.put("gone", "a", Script::default());
    world.put("off", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    server.serves("gone", 1).await;
    server.serves("off", 1).await;
    server.manager.act("off", Act::Enable(false)).await.unwrap();
    server.manager.end().await;
    world.remove("gone");

    world.hold_looks(true);
    let server = world.start_on(&registry, settings());
    let mut overview = server.manager.watch();
    let known = overview.wait_for(|overview| overview.plugins.len() == 3).await.unwrap().clone();
    let states: Vec<_> = known.plugins.iter().map(|plugin| (plugin.name.as_str(), plugin.state)).collect();
    assert_eq!(
        states,
        [("gone", Headline::Starting), ("hello", Headline::Starting), ("off", Headline::Disabled)],
        "nobody knows yet what lies there"
    );
    assert_eq!(known.plugins[1].reason.as_deref(), Some("the plugins directory is being looked at"));
    assert_eq!((world.leads_to("hello"), known.ready), ("starting".to_owned(), false));
    world.hold_looks(false);
    server.serves("hello", 1).await;
    server.until("gone", |plugin| plugin.state == Headline::Missing).await;
}

/// What a server serves that starts with a directory as it is now.
async fn restarted(world: &World, registry: &MemoryRegistry) -> Server {
    let server = world.start_on(registry, settings());
    server.until("hello", |plugin| plugin.state == Headline::Serving && plugin.candidate.is_none()).await;
    server
}

#[tokio::test(start_paused = true)]
async fn broken_at_the_start_it_serves_what_was_agreed_on() {
    let no = || Failure::new(Stage::Build, "no");
    for (fails, stage) in [
        (Script { build_fails: Some(no()), ..Script::default() }, Some(Stage::Build)),
        (Script { load_fails: true, ..Script::default() }, Some(Stage::Load)),
        (Script { start_fails: true, ..Script::default() }, Some(Stage::Start)),
        (Script::default(), None),
    ] {
        let (world, registry) = (World::new(), MemoryRegistry::default());
        world.put("hello", "a", Script::default());
        let server = restarted(&world, &registry).await;
        server.manager.end().await;
        match stage {
            Some(_) => world.put("hello", "b", fails),
            None => world.break_manifest("hello"),
        }
        let server = restarted(&world, &registry).await;
        let view = server.manager.plugin("hello").unwrap();
        assert_eq!(view.serving.as_ref().unwrap().artifact, Some(kept("hello", "a").digest));
        // What is wrong is told, and asked for a reload it is told again.
        let failed = view.failed.as_ref().unwrap();
        assert_eq!(failed.stage, stage.unwrap_or(Stage::Manifest));
        let refused = server.reload("hello").await.unwrap_err();
        assert_eq!(refused.to_string(), failed.to_string());
        assert_eq!(world.leads_to("hello"), format!("generation {}", view.serving.as_ref().unwrap().generation));
        // Mended, it serves what lies there.
        world.put("hello", "c", Script::default());
        let mended = |plugin: &LivePlugin| {
            plugin.serving.as_ref().is_some_and(|serving| serving.artifact == Some(kept("hello", "c").digest))
        };
        let view = server.until("hello", mended).await;
        assert!(view.failed.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_agreed_on_may_fail_too_and_is_tried_once() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = restarted(&world, &registry).await;
    server.manager.end().await;
    world.rewrite("hello", "a", |script| script.load_fails = true);
    let no = Failure::new(Stage::Build, "no");
    world.put("hello", "b", Script { build_fails: Some(no), ..Script::default() });
    world.taken();
    let server = world.start_on(&registry, settings());
    let both = |plugin: &LivePlugin| plugin.builds.len() == 2 && plugin.candidate.is_none();
    let view = server.until("hello", both).await;
    assert_eq!((view.state, view.reason.as_deref()), (Headline::Failed, Some("build: no")));
    tokio::time::sleep(Duration::from_secs(600)).await;
    let tries = world.taken().into_iter().filter(|line| line.starts_with("build ") || line.starts_with("load "));
    assert_eq!(tries.collect::<Vec<_>>(), ["build hello:b", "load hello:a as 2"]);
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_still_tried_again_beside_what_was_agreed_on() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = restarted(&world, &registry).await;
    server.manager.end().await;
    let away = Failure::transient(Stage::Build, "the network is down");
    world.put("hello", "b", Script { build_fails: Some(away), ..Script::default() });
    let server = restarted(&world, &registry).await;
    world.rewrite("hello", "b", |script| script.build_fails = None);
    let newer = |plugin: &LivePlugin| {
        plugin.serving.as_ref().is_some_and(|serving| serving.artifact == Some(kept("hello", "b").digest))
    };
    let view = server.until("hello", newer).await;
    assert!(view.failed.is_none());
}

#[tokio::test(start_paused = true)]
async fn removing_what_is_gone_already_is_answered() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    world.remove("hello");
    server.until("hello", |plugin| plugin.state == Headline::Missing).await;
    let done =
        tokio::time::timeout(Duration::from_secs(60), server.manager.act("hello", Act::Remove { purge: false })).await;
    assert_eq!(done.unwrap().unwrap().plugin.name, "hello");
    assert!(registry.record("hello").unwrap().removed);
}

#[tokio::test(start_paused = true)]
async fn what_it_kept_goes_with_it_if_that_is_asked_for() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    for name in ["kept", "one", "two", "three"] {
        world.put(name, "a", Script::default());
    }
    let server = world.start_on(&registry, settings());
    server.serves("three", 1).await;
    let purges = || world.taken().into_iter().filter(|line| line.starts_with("purge")).collect::<Vec<_>>();
    server.manager.act("kept", Act::Remove { purge: false }).await.unwrap();
    assert_eq!(purges(), [""; 0]);
    // Also of one whose entry is gone.
    world.remove("one");
    server.until("one", |plugin| plugin.state == Headline::Missing).await;
    server.manager.act("one", Act::Remove { purge: true }).await.unwrap();
    assert_eq!(purges(), ["purge one", "purged one"]);
    // Also where a look finds the entry gone before that is over.
    let looked = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.manager.look();
    };
    let (removed, ()) = tokio::join!(server.manager.act("two", Act::Remove { purge: true }), looked);
    removed.unwrap();
    assert_eq!(purges(), ["purge two", "purged two"]);
    world.stick();
    let refused = server.manager.act("three", Act::Remove { purge: true }).await.unwrap_err();
    assert_eq!(refused.to_string(), "it is removed, and what it kept is not: the disk says no");

    // Another server, that has nothing of them but what they kept there, removes it too; once.
    let elsewhere = World::new();
    let other = elsewhere.start_on(&registry.node("other"), settings());
    elsewhere.put("four", "a", Script::default());
    other.serves("four", 1).await;
    let purged: Vec<_> = elsewhere.taken().into_iter().filter(|line| line.starts_with("purge")).collect();
    assert_eq!(purged, ["purge one", "purge three", "purge two"]);
    // Who puts it there anew begins anew.
    elsewhere.put("two", "b", Script::default());
    other.serves("two", 1).await;
    assert!(!registry.record("two").unwrap().purge);
}
