//! Whoever asks is answered, whatever happens meanwhile.

use super::world::{Script, Server, World, limits};
use camlock_policy::{Act, Done, Failure, Headline, Limits, Manager, Refused, Settings, Stage};
use std::time::Duration;
use tokio::time::timeout;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Nobody's health is asked: nothing happens but what is done here.
fn start(world: &World) -> Server {
    let limits = Limits { health: seconds(1_000_000), ..limits() };
    world.start_with(Settings { limits, ..Settings::default() })
}

async fn answer(manager: Manager, name: &str, act: Act) -> Result<Done, Refused> {
    let answer = timeout(seconds(3600), manager.act(name, act)).await;
    answer.unwrap_or_else(|_| panic!("no answer: {:#?}", manager.plugin(name)))
}

const RELOAD: Act = Act::Reload { force: false };

#[tokio::test(start_paused = true)]
async fn while_it_waits_for_others() {
    let world = World::new();
    world.put("app", "a", Script { needs: &[("kv-store", "^1")], ..Script::default() });
    let server = start(&world);
    server.until("app", |plugin| plugin.state == Headline::Waiting).await;
    for act in [RELOAD, Act::Enable(true)] {
        let refused = answer(server.manager.clone(), "app", act).await.unwrap_err();
        assert_eq!(refused.to_string(), "`app` waits: it needs `kv-store` ^1, and there is no such plugin");
    }
    world.put("kv-store", "a", Script::default());
    server.until("app", |plugin| plugin.state == Headline::Serving).await;
}

#[tokio::test(start_paused = true)]
async fn while_its_build_is_given_up_for_a_newer_one() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = start(&world);
    server.serves("hello", 1).await;
    world.put("hello", "b", Script { build: seconds(60), ..Script::default() });
    let first = tokio::spawn(answer(server.manager.clone(), "hello", RELOAD));
    world.logged("build hello:b").await;
    world.put("hello", "c", Script::default());
    let second = answer(server.manager.clone(), "hello", RELOAD).await.unwrap();
    let first = first.await.unwrap().unwrap();
    for done in [first, second] {
        assert!(done.plugin.serving.as_ref().unwrap().generation >= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_directory_cannot_be_read() {
    let world = World::new();
    let no = Failure::new(Stage::Build, "no");
    world.put("hello", "a", Script { build_fails: Some(no), ..Script::default() });
    let server = start(&world);
    server.until("hello", |plugin| plugin.state == Headline::Failed).await;
    world.trouble(Some("plugins cannot be read"));
    let refused = answer(server.manager.clone(), "hello", RELOAD).await.unwrap_err();
    assert_eq!(refused.to_string(), "build: no");
}

#[tokio::test(start_paused = true)]
async fn while_its_manifest_breaks_and_a_candidate_comes_up() {
    let world = World::new();
    world.put("hello", "a", Script { load: seconds(5), ..Script::default() });
    let server = start(&world);
    server.until("hello", |plugin| plugin.candidate.as_ref().is_some_and(|it| it.stage == "loading")).await;
    world.break_manifest("hello");
    let view = server.serves("hello", 1).await;
    let told = view.failed.as_ref().map(|failed| failed.to_string());
    assert_eq!(told.as_deref(), Some("manifest: it is broken"));
    let refused = answer(server.manager.clone(), "hello", RELOAD).await.unwrap_err();
    assert_eq!(refused.to_string(), "manifest: it is broken");
}

#[tokio::test(start_paused = true)]
async fn while_it_is_removed_or_the_server_ends() {
    let slow = seconds(5);
    for script in [
        Script { build: slow, ..Script::default() },
        Script { load: slow, ..Script::default() },
        Script { start_hangs: true, ..Script::default() },
    ] {
        for ends in [false, true] {
            let world = World::new();
            world.put("hello", "a", Script::default());
            let server = start(&world);
            server.serves("hello", 1).await;
            world.put("hello", "b", script.clone());
            let first = tokio::spawn(answer(server.manager.clone(), "hello", RELOAD));
            server.until("hello", |plugin| plugin.candidate.is_some()).await;
            let second = tokio::spawn(answer(server.manager.clone(), "hello", RELOAD));
            if ends {
                server.manager.end().await;
            } else {
                world.remove("hello");
                server.until("hello", |plugin| plugin.state == Headline::Missing).await;
            }
            assert!(first.await.unwrap().is_err());
            assert!(second.await.unwrap().is_err());
        }
    }
}
