//! What plugins may, as operators decide it.

use super::world::{Script, Server, World, limits};
use camlock_policy::{
    Act, Grants, Headline, Installation, NotInstalled, Order, PluginSource, Refused, Settings, Source, registry::Actor,
};
use camlock_testing::MemoryRegistry;

fn asks(permissions: &'static [&'static str]) -> Script {
    Script { permissions, ..Script::default() }
}

fn these(permissions: &[&str]) -> Grants {
    Grants::these(permissions.iter().copied()).unwrap()
}

fn settings(grants: Grants) -> Settings {
    Settings { limits: limits(), grants, ..Settings::default() }
}

async fn install(server: &Server, what: &str, grants: Option<Grants>) -> Result<Result<(), Refused>, NotInstalled> {
    let source = Source::Path(what.into());
    let by = Actor::Token("ci".to_owned());
    let origin = PluginSource::Upload;
    let installation = Installation { source, name: None, replace: true, origin, grants, by, held: None };
    let placement = server.manager.install(installation).await?;
    Ok(placement.outcome.await.unwrap().map(drop))
}

const WAITS: &str = "version 1.0.0 asks for `database`, `storage`, which nobody granted to it: \
     `camlock grant hello database storage` does";

#[tokio::test(start_paused = true)]
async fn what_the_directory_asks_for_is_granted_unless_it_is_set_otherwise() {
    let world = World::new();
    world.put("hello", "a", asks(&["storage"]));
    let server = world.start_with(settings(Grants::Asked));
    server.serves("hello", 1).await;
    assert!(world.may("hello:a", "storage") && !world.may("hello:a", "database"));

    let world = World::new();
    world.put("hello", "a", asks(&["storage", "database"]));
    let server = world.start_with(settings(these(&["tasks"])));
    let view = server.until("hello", |plugin| plugin.state == Headline::Waiting).await;
    assert_eq!(view.reason.as_deref(), Some(WAITS));
    assert_eq!(view.candidate.as_ref().map(|candidate| &*candidate.stage), Some("waiting"));
    let refused = server.manager.act("hello", Act::Reload { force: false }).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("`hello` waits: {WAITS}"));
    assert!(!world.taken().iter().any(|line| line.starts_with("load")), "nothing of it ran");
    // Half of it does not do.
    server.manager.act("hello", Act::Grant(these(&["storage"]))).await.unwrap();
    let half = "version 1.0.0 asks for `database`, which nobody granted to it: `camlock grant hello database` does";
    server.until("hello", |plugin| plugin.reason.as_deref() == Some(half)).await;
    server.manager.act("hello", Act::Grant(these(&["storage", "database"]))).await.unwrap();
    server.until("hello", |plugin| plugin.state == Headline::Serving).await;
    assert!(world.may("hello:a", "storage") && world.may("hello:a", "database"));
}

#[tokio::test(start_paused = true)]
async fn what_serves_serves_on_while_its_successor_waits() {
    let world = World::new();
    world.put("hello", "a", asks(&["storage"]));
    let server = world.start_with(settings(these(&["storage"])));
    server.serves("hello", 1).await;
    world.put("hello", "b", asks(&["storage", "network:api.example.com"]));
    let view = server.until("hello", |plugin| plugin.reason.is_some()).await;
    assert_eq!((view.state, world.leads_to("hello")), (Headline::Serving, "generation 1".to_owned()));
    assert!(view.reason.as_ref().unwrap().contains("`network:api.example.com`"), "{view:?}");
    server.manager.act("hello", Act::Grant(Grants::Asked)).await.unwrap();
    server.serves("hello", 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_revoked_is_gone_at_once() {
    let world = World::new();
    world.put("hello", "a", asks(&["storage", "tasks"]));
    let server = world.start();
    server.serves("hello", 1).await;
    let order = Order {
        plugin: "hello".to_owned(),
        act: Act::Grant(these(&["tasks"])),
        by: Actor::Token("ops".to_owned()),
        revision: None,
    };
    server.manager.order(order).await.unwrap();
    assert!(!world.may("hello:a", "storage") && world.may("hello:a", "tasks"));
    assert_eq!(world.leads_to("hello"), "generation 1");
    let asked = || {
        let grants = server.manager.plugin("hello").unwrap().grants.clone();
        grants.asked.into_iter().map(|one| (one.permission, one.granted)).collect::<Vec<_>>()
    };
    let both = [("storage".to_owned(), false), ("tasks".to_owned(), true)];
    assert_eq!(asked(), both);
    server.manager.act("hello", Act::Enable(false)).await.unwrap();
    assert_eq!(asked(), both, "also while nothing of it serves");
    server.manager.act("hello", Act::Enable(true)).await.unwrap_err();
    // It is on record: whatever comes next waits for it.
    let refused = server.manager.act("hello", Act::Reload { force: false }).await.unwrap_err();
    assert!(refused.to_string().contains("asks for `storage`"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_begins_with_what_its_installer_grants() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.know("hello", "a", asks(&["storage", "database"]));
    let server = world.start_on(&registry, settings(Grants::Asked));
    install(&server, "hello:a", None).await.unwrap().unwrap();
    let view = server.until("hello", |plugin| plugin.state == Headline::Waiting).await;
    assert_eq!(view.reason.as_deref(), Some(WAITS));
    let record = registry.record("hello").unwrap();
    assert_eq!((record.source, record.grants), (PluginSource::Upload, None));

    world.know("other", "a", asks(&["storage"]));
    install(&server, "other:a", Some(these(&["storage"]))).await.unwrap().unwrap();
    server.serves("other", 1).await;
    let record = registry.record("other").unwrap();
    assert_eq!((record.source, record.grants), (PluginSource::Upload, Some(these(&["storage"]))));
}

#[tokio::test(start_paused = true)]
async fn what_comes_from_elsewhere_begins_without() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", asks(&["storage"]));
    world.know("hello", "b", asks(&["storage"]));
    let server = world.start_on(&registry, settings(Grants::Asked));
    server.serves("hello", 1).await;
    let waits = install(&server, "hello:b", None).await.unwrap().unwrap_err();
    assert!(waits.to_string().contains("asks for `storage`"), "{waits}");
    assert_eq!(world.leads_to("hello"), "generation 1", "what serves serves on");
    assert_eq!(registry.record("hello").unwrap().source, PluginSource::Upload);
    server.manager.act("hello", Act::Grant(Grants::Asked)).await.unwrap();
    server.until("hello", |plugin| plugin.serving.as_ref().is_some_and(|serving| serving.generation > 1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_did_not_come_changes_no_terms() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", asks(&["storage"]));
    world.know("hello", "full", asks(&["storage"]));
    let server = world.start_on(&registry, settings(Grants::Asked));
    server.serves("hello", 1).await;
    let failed = install(&server, "hello:full", None).await.unwrap_err();
    assert_eq!(failed, NotInstalled::Failed("the disk is full".to_owned()));
    assert_eq!(registry.record("hello").unwrap().source, PluginSource::Directory);
    world.put("hello", "c", asks(&["storage", "tasks"]));
    server.serves("hello", 2).await;
    assert!(world.may("hello:c", "tasks"));
}
