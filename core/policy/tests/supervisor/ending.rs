//! The server ends, in the middle of whatever is going on.

use super::world::{Script, World};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn in_reverse_order_of_dependencies() {
    let world = World::new();
    world.put("base", "a", Script::default());
    world.put("middle", "a", Script { needs: &[("base", "^1")], ..Script::default() });
    world.put("top", "a", Script { needs: &[("middle", "^1"), ("base", "^1")], ..Script::default() });
    let server = world.start();
    server.serves("top", 1).await;
    world.taken();
    server.manager.end().await;
    let ends: Vec<_> = world.taken().into_iter().filter(|line| line.starts_with("shutdown")).collect();
    assert_eq!(ends, ["shutdown top:a 1", "shutdown middle:a 1", "shutdown base:a 1"]);
    assert!(server.reload("top").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn in_the_middle_of_each_state() {
    let slow = Duration::from_secs(5);
    for (script, stage) in [
        (Script { build: slow, ..Script::default() }, "building"),
        (Script { verify: slow, ..Script::default() }, "verifying"),
        (Script { load: slow, ..Script::default() }, "loading"),
        (Script { start_hangs: true, ..Script::default() }, "starting"),
        (Script { needs: &[("nobody", "^1")], ..Script::default() }, "waiting"),
    ] {
        let world = World::new();
        world.put("other", "a", Script::default());
        world.put("hello", "a", script);
        let server = world.start();
        server.serves("other", 1).await;
        server.until("hello", |plugin| plugin.candidate.as_ref().is_some_and(|it| it.stage == stage)).await;
        server.manager.end().await;
        let log = world.taken();
        let loads = log.iter().filter(|line| line.starts_with("load ")).count();
        let gone = log.iter().filter(|line| line.starts_with("gone ")).count();
        assert_eq!(loads, gone, "{stage}: {log:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_may_end_first() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    let request = world.request("hello");
    let manager = server.manager.clone();
    let ending = tokio::spawn(async move { manager.end().await });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_ne!(world.leads_to("hello"), "generation 1");
    assert!(!world.taken().iter().any(|line| line.starts_with("shutdown")));
    drop(request);
    ending.await.unwrap();
    world.logged("gone hello:a 1").await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_leave_does_not_keep_the_server() {
    let world = World::new();
    world.put("hello", "a", Script { pins: true, ..Script::default() });
    let server = world.start();
    server.serves("hello", 1).await;
    let _request = world.request("hello");
    server.manager.end().await;
}
