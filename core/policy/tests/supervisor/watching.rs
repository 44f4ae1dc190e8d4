//! Drains, state across reloads, probation, quarantine, health.

use super::world::{Script, World, kept};
use camlock_policy::Headline;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_drain_has_a_deadline_and_a_farewell() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    let (request, mut farewell) = (world.request("hello"), world.farewell("hello"));
    server.reload("hello").await.unwrap();
    let view = server.until("hello", |plugin| plugin.draining.len() == 1).await;
    assert_eq!(view.now().draining[0].in_flight, 1);
    let began = tokio::time::Instant::now();
    farewell.wait_for(|end| *end).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 30);
    // It does not end even then: it stays until it does.
    let view = server.until("hello", |plugin| plugin.pinned.len() == 1).await;
    assert_eq!(view.pinned[0].reason, "a request is still being handled");
    world.logged("shutdown hello:a 1").await;
    drop(request);
    world.logged("gone hello:a 1").await;
    server.until("hello", |plugin| plugin.pinned.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_shut_down_while_a_request_is_handled() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    let request = world.request("hello");
    server.reload("hello").await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!world.taken().iter().any(|line| line.starts_with("shutdown")));
    drop(request);
    world.logged("gone hello:a 1").await;
}

#[tokio::test(start_paused = true)]
async fn state_is_handed_over() {
    let world = World::new();
    world.put("hello", "a", Script { saves: Some("seven"), version: "1.0.0", ..Script::default() });
    let server = world.start();
    server.serves("hello", 1).await;
    world.put("hello", "b", Script::default());
    server.serves("hello", 2).await;
    let log = world.taken();
    let place = |line: &str| log.iter().position(|logged| logged == line).unwrap_or_else(|| panic!("{line}: {log:#?}"));
    assert!(place("restore seven of 1.0.0 into hello:b 2") < place("start hello:b 2"));
}

#[tokio::test(start_paused = true)]
async fn quiesce_holds_requests_while_state_is_handed_over() {
    let world = World::new();
    let quiet = || Script { saves: Some("seven"), quiesce: true, ..Script::default() };
    world.put("hello", "a", quiet());
    let server = world.start();
    server.serves("hello", 1).await;
    let request = world.request("hello");
    world.put("hello", "b", quiet());
    server.until("hello", |plugin| plugin.candidate.as_ref().is_some_and(|it| it.stage == "starting")).await;
    while world.leads_to("hello") != "held" {
        tokio::task::yield_now().await;
    }
    assert!(!world.taken().iter().any(|line| line.starts_with("restore")));
    drop(request);
    server.serves("hello", 2).await;
    assert_eq!(world.leads_to("hello"), "generation 2");

    // A request that does not end in time: what serves goes on, and says why.
    let _request = world.request("hello");
    world.put("hello", "c", quiet());
    let view = server.until("hello", |plugin| plugin.failed.is_some()).await;
    let reason = &view.failed.as_ref().unwrap().reason;
    assert!(reason.contains("requests were held for 5 s, and still a request"), "{reason}");
    assert_eq!(world.leads_to("hello"), "generation 2");
}

#[tokio::test(start_paused = true)]
async fn panics_on_probation_lead_back() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.put("hello", "b", Script::default());
    server.serves("hello", 2).await;
    world.rewrite("hello", "b", |script| script.panics = 3);
    let view = server.serves("hello", 3).await;
    assert_eq!(view.serving.as_ref().unwrap().artifact, Some(kept("hello", "a").digest));
    let reason = &view.failed.as_ref().unwrap().reason;
    assert!(reason.starts_with("it panicked 3 times soon after it began to serve; sha256:"), "{reason}");
    assert!(reason.ends_with("is under quarantine, and what served before it comes back"), "{reason}");

    // An operator may try it again all the same.
    world.rewrite("hello", "b", |script| script.panics = 0);
    let done = server.reload("hello").await.unwrap();
    assert_eq!(done.plugin.serving.as_ref().unwrap().artifact, Some(kept("hello", "b").digest));
}

#[tokio::test(start_paused = true)]
async fn bad_health_on_probation_leads_back() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.put("hello", "b", Script::default());
    server.serves("hello", 2).await;
    world.rewrite("hello", "b", |script| script.unwell = true);
    let view = server.serves("hello", 3).await;
    assert_eq!(view.serving.as_ref().unwrap().artifact, Some(kept("hello", "a").digest));
    let reason = &view.failed.as_ref().unwrap().reason;
    assert!(reason.starts_with("`health` failed 3 times one after the other, at last: not well; sha256:"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn quarantine_is_by_digest() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.put("hello", "b", Script { panics: 3, ..Script::default() });
    server.serves("hello", 3).await;
    // What lies there is what serves again, and there is nothing left to tell.
    world.put("hello", "a", Script::default());
    let view = server.until("hello", |plugin| plugin.failed.is_none()).await;
    assert_eq!(view.serving.as_ref().unwrap().generation, 3);
    // The bad bytes come back: they are not let in. Others are.
    world.put("hello", "b", Script { panics: 3, ..Script::default() });
    let view = server
        .until("hello", |plugin| {
            plugin.failed.as_ref().is_some_and(|failed| failed.reason.contains("these bytes are under quarantine"))
        })
        .await;
    assert_eq!(view.state, Headline::Serving);
    world.put("hello", "c", Script::default());
    server
        .until("hello", |plugin| {
            plugin.serving.as_ref().is_some_and(|it| it.artifact == Some(kept("hello", "c").digest))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn panics_after_probation_are_only_counted() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.put("hello", "b", Script::default());
    server.serves("hello", 2).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    world.rewrite("hello", "b", |script| script.panics = 1000);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let view = server.serves("hello", 2).await;
    assert!(view.failed.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_unwell_are_restarted_three_times_an_hour() {
    let world = World::new();
    world.put("hello", "a", Script { load: Duration::from_secs(1), ..Script::default() });
    let server = world.start();
    server.serves("hello", 1).await;
    world.rewrite("hello", "a", |script| script.unwell = true);
    let enough = "it was started anew 3 times within an hour, and goes on as it is";
    server.until("hello", |plugin| plugin.failed.as_ref().is_some_and(|failed| failed.reason.ends_with(enough))).await;
    let loads = world.taken().iter().filter(|line| line.starts_with("load ")).count();
    assert_eq!(loads, 4, "the first, and three that were no better");
    assert_eq!(world.leads_to("hello"), "generation 1");
    // An hour later it is tried again, and is well.
    world.rewrite("hello", "a", |script| script.unwell = false);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    world.rewrite("hello", "a", |script| script.unwell = true);
    world.logged("load hello:a as 5").await;
    world.rewrite("hello", "a", |script| script.unwell = false);
    server.serves("hello", 5).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_saved_meanwhile_is_not_lost_with_a_bad_one() {
    for fails in [false, true] {
        let world = World::new();
        world.put("hello", "a", Script::default());
        let server = world.start();
        server.serves("hello", 1).await;
        world.put("hello", "b", Script::default());
        server.serves("hello", 2).await;
        let build_fails = fails.then(|| camlock_policy::Failure::new(camlock_policy::Stage::Build, "no"));
        world.put("hello", "c", Script { build: Duration::from_secs(20), build_fails, ..Script::default() });
        server.until("hello", |plugin| plugin.candidate.is_some()).await;
        world.rewrite("hello", "b", |script| script.panics = 3);
        // The mended one serves; if it is none, what was well before does.
        let expected = kept("hello", if fails { "a" } else { "c" }).digest;
        server
            .until("hello", |plugin| {
                plugin.serving.as_ref().is_some_and(|it| it.artifact == Some(expected)) && plugin.candidate.is_none()
            })
            .await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let view = server.manager.plugin("hello").unwrap();
        assert_eq!(view.serving.as_ref().unwrap().artifact, Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn health_that_never_answers_is_asked_once_a_generation() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.taken();
    world.rewrite("hello", "a", |script| script.health_hangs = true);
    let enough = "goes on as it is";
    server.until("hello", |plugin| plugin.failed.as_ref().is_some_and(|failed| failed.reason.ends_with(enough))).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let log = world.taken();
    let asked = log.iter().filter(|line| *line == "health of hello:a 1 hangs").count();
    assert_eq!(asked, 1, "{log:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_never_ends_is_given_up_and_leaves() {
    let world = World::new();
    world.put("hello", "a", Script { start_hangs: true, ..Script::default() });
    let server = world.start();
    server.until("hello", |plugin| plugin.failed.is_some()).await;
    world.logged("gone hello:a 1").await;
    let view = server.manager.plugin("hello").unwrap();
    assert!(view.pinned.is_empty(), "{view:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_pin_has_a_reason_also_when_nothing_holds_it() {
    let world = World::new();
    world.put("hello", "a", Script { lingers: true, ..Script::default() });
    let server = world.start();
    server.serves("hello", 1).await;
    world.put("hello", "b", Script::default());
    let view = server.until("hello", |plugin| !plugin.pinned.is_empty()).await;
    assert_eq!(view.pinned[0].reason, "nothing of it is in use any more, and its library is being unloaded");
    world.unpin();
    server.until("hello", |plugin| plugin.pinned.is_empty()).await;
}
