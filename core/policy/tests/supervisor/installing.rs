//! Something is put into the plugins directory for somebody.

use super::world::{Script, Server, World, kept, limits};
use camlock_policy::{
    Act, Failure, Headline, Installation, NotInstalled, Placement, Refused, Settings, Source, Stage,
    registry::{Actor, Happened},
};
use camlock_testing::MemoryRegistry;
use std::time::Duration;

fn settings() -> Settings {
    Settings { limits: limits(), ..Settings::default() }
}

async fn install(server: &Server, what: &str, replace: bool) -> Result<Placement, NotInstalled> {
    let by = Actor::Token("ci".to_owned());
    let source = Source::Path(what.into());
    let origin = camlock_policy::PluginSource::Upload;
    server.manager.install(Installation { source, name: None, replace, origin, grants: None, by, held: None }).await
}

fn words(noted: &[Happened], wanted: &[&str]) -> Vec<String> {
    let installs = noted.iter().filter(|happened| wanted.contains(&happened.what));
    installs.map(|happened| format!("{} {} {:?}", happened.what, happened.by, happened.plugin)).collect()
}

const INSTALLS: &[&str] = &["installing", "installed", "install-failed"];

#[tokio::test(start_paused = true)]
async fn what_is_new_is_waited_for_and_in_the_journal() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("other", "a", Script::default());
    world.know("hello", "a", Script { build: Duration::from_secs(30), ..Script::default() });
    let server = world.start_on(&registry, settings());
    server.serves("other", 1).await;
    let placement = install(&server, "hello:a", false).await.unwrap();
    assert_eq!((&*placement.plugin, placement.replaced), ("hello", false));
    let done = placement.outcome.await.unwrap().unwrap();
    assert_eq!(done.plugin.state, Headline::Serving);
    assert!(world.taken().contains(&"install hello:a beside [\"other\"]".to_owned()));
    let noted = registry.noted();
    assert_eq!(words(&noted, INSTALLS), ["installing ci None", "installed ci Some(\"hello\")"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_hangs_up_is_in_the_journal_all_the_same() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.know("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    let gone = tokio::time::timeout(Duration::from_secs(1), install(&server, "hello:a", false)).await;
    assert!(gone.is_err(), "it takes longer than that");
    let noted = registry.noted();
    assert_eq!(words(&noted, INSTALLS), ["installing ci None"]);
    server.serves("hello", 1).await;
    assert_eq!(words(&registry.noted(), INSTALLS), ["installed ci Some(\"hello\")"]);
}

#[tokio::test(start_paused = true)]
async fn what_takes_anothers_place_is_reloaded_for_who_sent_it() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    let taken = install(&server, "hello:b", false).await.unwrap_err();
    assert_eq!(taken, NotInstalled::Taken("there is a plugin `hello`".to_owned()));
    let placement = install(&server, "hello:b", true).await.unwrap();
    assert!(placement.replaced);
    let done = placement.outcome.await.unwrap().unwrap();
    assert_eq!(done.plugin.serving.as_ref().unwrap().generation, 2);
    let noted = registry.noted();
    assert_eq!(
        words(&noted, INSTALLS),
        ["installing ci None", "install-failed ci None", "installing ci None", "installed ci Some(\"hello\")"]
    );
    let last = noted.iter().rfind(|happened| happened.what == "serving").unwrap();
    assert_eq!((&last.by, last.generation), (&Actor::Token("ci".to_owned()), Some(2)));
}

/// What lies there already is installed once more: by somebody who went back from it, and after another start.
#[tokio::test(start_paused = true)]
async fn what_somebody_went_back_from_is_installed_again() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    world.put("hello", "b", Script::default());
    server.serves("hello", 2).await;
    server.manager.act("hello", Act::Rollback { to: None, force: false }).await.unwrap();
    server.manager.end().await;
    let server = world.start_on(&registry, settings());
    let view = server.serves("hello", 1).await;
    assert_eq!(view.serving.as_ref().unwrap().artifact, Some(kept("hello", "a").digest));
    let placement = install(&server, "hello:b", true).await.unwrap();
    let done = placement.outcome.await.unwrap().unwrap();
    assert_eq!(done.plugin.serving.as_ref().unwrap().artifact, Some(kept("hello", "b").digest));
}

#[tokio::test(start_paused = true)]
async fn whoever_installs_hears_what_came_of_it() {
    let world = World::new();
    let no = Failure::new(Stage::Build, "it does not compile");
    world.know("broken", "a", Script { build_fails: Some(no), ..Script::default() });
    world.know("waits", "a", Script { needs: &[("kv-store", "^1")], ..Script::default() });
    world.know("off", "a", Script::default());
    let server = world.start();
    let outcome = async |what: &str| install(&server, what, false).await.unwrap().outcome.await.unwrap();
    match outcome("broken:a").await {
        Err(Refused::Failed { failure, generation: 1, .. }) => assert_eq!(failure.reason, "it does not compile"),
        other => panic!("{other:?}"),
    }
    assert_eq!(outcome("waits:a").await.unwrap().plugin.state, Headline::Waiting);
    server.manager.end().await;
    let ending = install(&server, "off:a", false).await.unwrap_err();
    assert_eq!(ending, NotInstalled::Ending);

    let world = World::new();
    world.know("off", "a", Script::default());
    let server = world.start_with(Settings { new_enabled: false, ..settings() });
    let placement = install(&server, "off:a", false).await.unwrap();
    assert_eq!(placement.outcome.await.unwrap().unwrap().plugin.state, Headline::Disabled);
    server.manager.act("off", Act::Enable(true)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_away_at_once_is_said_to_be_gone() {
    let world = World::new();
    let server = world.start();
    let placement = install(&server, "hello:taken-away", false).await.unwrap();
    let refused = placement.outcome.await.unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "the entry of `hello` is gone from the plugins directory");
}
