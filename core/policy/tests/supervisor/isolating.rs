//! Where plugins run, as operators decide it, and what follows when a process of theirs ends.

use super::world::{Script, World, limits};
use camlock_policy::{Act, Headline, Isolation, IsolationSettings, Settings};
use std::collections::BTreeMap;

fn set(isolation: Option<Isolation>) -> Act {
    Act::Set { enabled: None, config: None, isolation: Some(isolation) }
}

#[tokio::test(start_paused = true)]
async fn what_is_decided_is_done_by_a_new_generation() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let plugins = BTreeMap::from([("hello".to_owned(), Isolation::None)]);
    let isolation = IsolationSettings { usual: Some(Isolation::Process), plugins, ..IsolationSettings::default() };
    let server = world.start_with(Settings { limits: limits(), isolation, ..Settings::default() });
    server.serves("hello", 1).await;
    let done = server.manager.act("hello", set(Some(Isolation::Process))).await.unwrap();
    let serving = done.plugin.serving.as_ref().unwrap();
    assert_eq!((serving.generation, serving.isolation), (2, Isolation::Process));
    assert_eq!(done.plugin.isolation, Some(Isolation::Process));
    // Once more changes nothing.
    server.manager.act("hello", set(Some(Isolation::Process))).await.unwrap();
    server.manager.act("hello", set(None)).await.unwrap();
    server.serves("hello", 3).await;
    assert_eq!(world.isolations(), [(1, Isolation::None), (2, Isolation::Process), (3, Isolation::None)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_dies_is_started_anew_and_requests_wait_for_it() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let isolation = IsolationSettings { usual: Some(Isolation::Process), ..IsolationSettings::default() };
    let server = world.start_with(Settings { limits: limits(), isolation, ..Settings::default() });
    server.serves("hello", 1).await;
    world.kill(1);
    server.serves("hello", 2).await;
    assert!(!world.holds("hello"));
    // Later each time, and not for ever.
    for generation in 2..=3 {
        world.kill(generation);
        server.serves("hello", generation + 1).await;
    }
    world.kill(4);
    let reason = "its process ended: it was ended by a test; it was started anew 3 times within an hour, and serves no more until an hour is over";
    let is_told =
        |plugin: &camlock_policy::LivePlugin| plugin.failed.as_ref().is_some_and(|failed| failed.reason == reason);
    let view = server.until("hello", is_told).await;
    assert_eq!(
        (view.state, view.serving.is_none()),
        (Headline::Failed, true),
        "nobody is led to a process that is gone"
    );
    // When there may be another one, there is.
    server.serves("hello", 5).await;
}
