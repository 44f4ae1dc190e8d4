//! Entries come, change and go; candidates replace each other or fail.

use super::world::{Script, World, kept, limits};
use camlock_policy::{Act, Failure, Headline, LivePlugin, Refused, Settings, Stage};
use camlock_testing::MemoryRegistry;
use std::time::Duration;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_plugin_comes_changes_and_goes() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    let view = server.serves("hello", 1).await;
    assert_eq!(view.state, Headline::Serving);
    assert_eq!(world.leads_to("hello"), "generation 1");

    world.put("hello", "b", Script { version: "1.1.0", ..Script::default() });
    let view = server.serves("hello", 2).await;
    assert_eq!(view.version, "1.1.0");
    world.logged("gone hello:a 1").await;

    world.remove("hello");
    server.until("hello", |plugin| plugin.state == Headline::Missing).await;
    assert_eq!(world.leads_to("hello"), "nothing");
    world.logged("gone hello:b 2").await;
    assert_eq!(
        world.taken(),
        [
            "build hello:a",
            "verify hello:a",
            "load hello:a as 1",
            "start hello:a 1",
            "build hello:b",
            "verify hello:b",
            "load hello:b as 2",
            "start hello:b 2",
            "shutdown hello:a 1",
            "gone hello:a 1",
            "shutdown hello:b 2",
            "gone hello:b 2"
        ]
    );

    // What was built before is not built again.
    world.put("hello", "a", Script::default());
    server.serves("hello", 3).await;
    assert_eq!(world.taken(), ["verify hello:a", "load hello:a as 3", "start hello:a 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_touch_changes_nothing() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.taken();
    for _ in 0..100 {
        server.serves("hello", 1).await;
    }
    assert_eq!(world.taken(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_fails_leaves_the_old_one_serving() {
    let broken = |script: Script, stage: Stage| (script, stage);
    let no = || Failure::new(Stage::Build, "1 error: src/lib.rs:7: no");
    let cases = [
        broken(Script { build_fails: Some(no()), ..Script::default() }, Stage::Build),
        broken(Script { load_fails: true, ..Script::default() }, Stage::Load),
        broken(Script { start_fails: true, ..Script::default() }, Stage::Start),
        broken(Script { start_hangs: true, ..Script::default() }, Stage::Start),
        broken(Script { unwell: true, ..Script::default() }, Stage::Health),
    ];
    for (script, stage) in cases {
        let world = World::new();
        world.put("hello", "a", Script::default());
        let server = world.start();
        server.serves("hello", 1).await;
        world.put("hello", "b", script.clone());
        let view = server.until("hello", |plugin| plugin.failed.is_some()).await;
        assert_eq!(view.state, Headline::Serving);
        let failed = view.failed.clone().unwrap();
        assert_eq!((failed.generation, failed.stage), (2, stage), "{}", failed.reason);
        assert_eq!(world.leads_to("hello"), "generation 1");
        // Mended: a new generation, and the failure is forgotten.
        world.put("hello", "c", Script::default());
        let view = server.until("hello", |plugin| plugin.serving.as_ref().is_some_and(|it| it.generation > 1)).await;
        assert!(view.failed.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_has_failed() {
    for (script, stage) in [
        (Script { build_panics: true, ..Script::default() }, Stage::Build),
        (Script { load_panics: true, ..Script::default() }, Stage::Load),
    ] {
        let world = World::new();
        world.put("hello", "a", script);
        let server = world.start();
        let view = server.until("hello", |plugin| plugin.state == Headline::Failed).await;
        assert_eq!(view.failed.as_ref().unwrap().stage, stage);
        // It may pass, and does.
        world.rewrite("hello", "a", |script| (script.build_panics, script.load_panics) = (false, false));
        server.until("hello", |plugin| plugin.state == Headline::Serving).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_one_fails_and_is_mended() {
    let world = World::new();
    let failure = Failure::new(Stage::Build, "no");
    world.put("hello", "a", Script { build_fails: Some(failure), ..Script::default() });
    let server = world.start();
    let view = server.until("hello", |plugin| plugin.state == Headline::Failed).await;
    assert_eq!(view.reason.as_deref(), Some("build: no"));
    assert_eq!(world.leads_to("hello"), "failed");
    assert!(server.manager.overview().ready);
    world.put("hello", "b", Script::default());
    server.serves("hello", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_manifest_breaks_and_is_mended() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.break_manifest("hello");
    let view = server.until("hello", |plugin| plugin.failed.is_some()).await;
    assert_eq!(view.state, Headline::Serving);
    let refused = server.reload("hello").await.unwrap_err();
    assert_eq!(refused.to_string(), "manifest: it is broken");
    // As it was before: nothing has to be done.
    world.put("hello", "a", Script::default());
    let view = server.until("hello", |plugin| plugin.failed.is_none()).await;
    assert_eq!(view.serving.as_ref().unwrap().generation, 1);
}

#[tokio::test(start_paused = true)]
async fn newer_sources_cancel_a_build() {
    let world = World::new();
    world.put("hello", "a", Script { build: seconds(60), ..Script::default() });
    let server = world.start();
    world.logged("build hello:a").await;
    world.put("hello", "b", Script::default());
    server.serves("hello", 2).await;
    world.logged("cancelled hello:a").await;
}

#[tokio::test(start_paused = true)]
async fn saved_without_end_it_still_gets_through() {
    let world = World::new();
    let slow = || Script { build: seconds(60), ..Script::default() };
    world.put("hello", "0", slow());
    let server = world.start();
    world.logged("build hello:0").await;
    for save in 1..4 {
        world.put("hello", &save.to_string(), slow());
        server.until("hello", |plugin| plugin.candidate.as_ref().is_some_and(|it| it.generation == save + 1)).await;
        // What is given up before its build began is no build that was cancelled.
        world.logged(&format!("build hello:{save}")).await;
    }
    world.put("hello", "4", slow());
    // The fourth build is let through, although it is outdated; then the newest is built.
    server.serves("hello", 4).await;
    server.serves("hello", 5).await;
    let log = world.taken();
    assert_eq!(log.iter().filter(|line| line.starts_with("cancelled")).count(), 3, "{log:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_later_and_later() {
    let world = World::new();
    let failure = Failure::transient(Stage::Build, "the network is down");
    world.put("hello", "a", Script { build_fails: Some(failure), ..Script::default() });
    let server = world.start();
    let began = tokio::time::Instant::now();
    server.until("hello", |plugin| plugin.failed.as_ref().is_some_and(|failed| failed.generation == 4)).await;
    let waited = began.elapsed().as_secs();
    assert!((2 + 4 + 8..=16).contains(&waited), "{waited}");
    world.rewrite("hello", "a", |script| script.build_fails = None);
    server.serves("hello", 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_of_unchanged_code_is_a_new_generation() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.taken();
    let done = server.reload("hello").await.unwrap();
    assert_eq!(done.plugin.serving.as_ref().unwrap().generation, 2);
    let stages: Vec<_> = done.stages.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(stages, ["build", "verify", "load", "start", "swap"]);
    world.logged("gone hello:a 1").await;
    assert!(!world.taken().iter().any(|line| line.starts_with("build")));
    assert!(matches!(server.reload("nobody").await, Err(Refused::Unknown(_))));
}

#[tokio::test(start_paused = true)]
async fn an_act_that_fails_says_so() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.rewrite("hello", "a", |script| script.start_fails = true);
    match server.reload("hello").await {
        Err(Refused::Failed { failure, generation, plugin }) => {
            assert_eq!((failure.stage, generation), (Stage::Start, 2));
            assert_eq!(plugin.serving.as_ref().unwrap().generation, 1);
        }
        other => panic!("{other:?}"),
    }
    world.logged("gone hello:a 2").await;
}

#[tokio::test(start_paused = true)]
async fn rolled_back_until_the_entry_changes() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.put("hello", "b", Script::default());
    server.serves("hello", 2).await;

    let back = server.manager.act("hello", Act::Rollback { to: None, force: false }).await.unwrap();
    assert_eq!(back.plugin.serving.as_ref().unwrap().artifact, Some(kept("hello", "a").digest));
    // A look changes nothing, and neither does a touch.
    server.serves("hello", 3).await;
    let unknown =
        server.manager.act("hello", Act::Rollback { to: Some(kept("hello", "z").digest), force: false }).await;
    assert!(unknown.unwrap_err().to_string().contains("is not among the kept artifacts of `hello`: sha256:"));
    let forth =
        server.manager.act("hello", Act::Rollback { to: Some(kept("hello", "b").digest), force: false }).await.unwrap();
    assert_eq!(forth.plugin.serving.as_ref().unwrap().artifact, Some(kept("hello", "b").digest));
    world.put("hello", "c", Script::default());
    let view = server.serves("hello", 5).await;
    assert_eq!(view.serving.as_ref().unwrap().artifact, Some(kept("hello", "c").digest));
}

#[tokio::test(start_paused = true)]
async fn disabled_and_enabled() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    world.keep("hello", "a");
    let server = world.start_with(Settings { new_enabled: false, limits: limits(), ..Settings::default() });
    server.until("hello", |plugin| plugin.state == Headline::Disabled).await;
    assert_eq!(world.leads_to("hello"), "disabled");
    assert!(server.reload("hello").await.unwrap_err().to_string().contains("is disabled: enable it"));
    let done = server.manager.act("hello", Act::Enable(true)).await.unwrap();
    assert_eq!(done.plugin.state, Headline::Serving);
    // One for its record, one because it was enabled, one because its artifact was agreed on.
    assert_eq!(done.plugin.revision, 3);
    let done = server.manager.act("hello", Act::Enable(true)).await.unwrap();
    assert_eq!(done.plugin.revision, 3);
    let done = server.manager.act("hello", Act::Enable(false)).await.unwrap();
    assert_eq!((done.plugin.state, done.plugin.revision), (Headline::Disabled, 4));
    assert_eq!(world.leads_to("hello"), "disabled");
    world.logged("gone hello:a 1").await;
}

#[tokio::test(start_paused = true)]
async fn disabled_in_the_middle_of_each_state() {
    let slow = seconds(5);
    for (script, stage) in [
        (Script { build: slow, ..Script::default() }, "building"),
        (Script { verify: slow, ..Script::default() }, "verifying"),
        (Script { load: slow, ..Script::default() }, "loading"),
        (Script { start_hangs: true, ..Script::default() }, "starting"),
    ] {
        let world = World::new();
        world.put("hello", "a", script);
        let server = world.start();
        server.until("hello", |plugin| plugin.candidate.as_ref().is_some_and(|it| it.stage == stage)).await;
        server.manager.act("hello", Act::Enable(false)).await.unwrap();
        server.until("hello", |plugin| plugin.state == Headline::Disabled && plugin.candidate.is_none()).await;
        server.until("hello", |plugin| plugin.draining.is_empty()).await;
        assert_eq!(world.leads_to("hello"), "disabled", "{stage}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_cannot_be_read_changes_nothing() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.trouble(Some("plugins cannot be read: permission denied"));
    world.remove("hello");
    server.serves("hello", 1).await;
    let mut overview = server.manager.watch();
    server.manager.look();
    overview.wait_for(|overview| overview.trouble.is_some()).await.unwrap();
    assert_eq!(world.leads_to("hello"), "generation 1");
    world.trouble(None);
    server.until("hello", |plugin| plugin.state == Headline::Missing).await;
}

#[tokio::test(start_paused = true)]
async fn two_claim_one_path() {
    let world = World::new();
    // The first one registered has it, although the other is built before.
    world.put("aaa", "a", Script { claims: &["/x/*"], build: seconds(1), ..Script::default() });
    world.put("bbb", "b", Script { claims: &["/x/y"], ..Script::default() });
    let server = world.start();
    server.serves("aaa", 1).await;
    let view = server.until("bbb", |plugin| plugin.state == Headline::Failed).await;
    let reason = view.reason.clone().unwrap();
    assert_eq!(reason, "routes: `bbb` claims `/x/y`, which `aaa` has already (`/x/*`): one of them must do without");
    // A disabled one keeps what it claims.
    server.manager.act("aaa", Act::Enable(false)).await.unwrap();
    assert!(server.reload("bbb").await.unwrap_err().to_string().starts_with("routes: "));
    // One that is gone does not.
    world.remove("aaa");
    server.until("aaa", |plugin| plugin.state == Headline::Missing).await;
    server.reload("bbb").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn some_claims_hold_with_the_operator_s_word_alone() {
    let world = World::new();
    let claims = &["/x", "/", "//shop.example.com"];
    world.put("aaa", "a", Script { claims, ..Script::default() });
    world.put("bbb", "b", Script { claims: &["/", "//shop.example.com"], build: seconds(1), ..Script::default() });
    let granted = ["/", "shop.example.com"].map(str::to_owned).to_vec();
    let claims = std::collections::BTreeMap::from([("bbb".to_owned(), granted)]);
    let server = world.start_with(Settings { limits: limits(), claims, ..Settings::default() });
    // What does not hold is in nobody's way, and leads nowhere.
    let first = server.serves("aaa", 1).await;
    let second = server.serves("bbb", 1).await;
    assert_eq!(first.urls, ["/api/v1/p/aaa/", "/x"]);
    assert_eq!(second.urls, ["/api/v1/p/bbb/", "/", "//shop.example.com"]);
    assert_eq!(world.claims("aaa"), ["/x"]);
    assert_eq!(world.claims("bbb"), ["/", "//shop.example.com"]);
}

#[tokio::test(start_paused = true)]
async fn too_many_pins_refuse_a_reload() {
    let world = World::new();
    world.put("hello", "a", Script { pins: true, ..Script::default() });
    let limits = camlock_policy::Limits { pinned: 2, ..limits() };
    let server = world.start_with(Settings { limits, ..Settings::default() });
    server.serves("hello", 1).await;
    for pinned in 1..=2 {
        server.reload("hello").await.unwrap();
        server.until("hello", |plugin| plugin.pinned.len() == pinned).await;
    }
    let refused = server.reload("hello").await.unwrap_err().to_string();
    assert!(refused.starts_with("load: 2 generations of it cannot leave the process"), "{refused}");
    server.manager.act("hello", Act::Reload { force: true }).await.unwrap();
    let view = server.until("hello", |plugin| plugin.pinned.len() == 3).await;
    assert_eq!(view.pinned[0].reason, "a thread of it still runs");
}

#[tokio::test(start_paused = true)]
async fn who_lost_a_claim_gets_it_when_it_is_free() {
    let world = World::new();
    world.put("aaa", "a", Script { claims: &["/x"], ..Script::default() });
    world.put("bbb", "a", Script { claims: &["/x"], build: seconds(1), ..Script::default() });
    let server = world.start();
    server.until("bbb", |plugin| plugin.state == Headline::Failed).await;
    world.put("aaa", "b", Script { claims: &["/y"], ..Script::default() });
    let view = server.until("bbb", |plugin| plugin.state == Headline::Serving).await;
    assert!(view.failed.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_leaves_the_one_before_it() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    for (fingerprint, generation) in [("b", 2), ("c", 3)] {
        world.put("hello", fingerprint, Script::default());
        server.serves("hello", generation).await;
    }
    let to = |fingerprint: &str| Act::Rollback { to: Some(kept("hello", fingerprint).digest), force: false };
    server.manager.act("hello", to("b")).await.unwrap();
    world.rewrite("hello", "a", |script| script.load_fails = true);
    server.manager.act("hello", to("a")).await.unwrap_err();
    for _ in 0..3 {
        let view = server.serves("hello", 4).await;
        assert!(view.candidate.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_was_a_plugin_is_forgotten() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    world.put("no name", "a", Script::default());
    world.break_manifest("no name");
    let server = world.start();
    server.until("no name", |plugin| plugin.state == Headline::Failed).await;
    server.serves("hello", 1).await;
    world.remove("no name");
    world.remove("hello");
    let view = server.until("hello", |plugin| plugin.state == Headline::Missing).await;
    assert!(view.urls.is_empty() && view.endpoints.is_empty());
    assert!(server.manager.plugin("no name").is_none());
    assert!(matches!(server.reload("no name").await, Err(Refused::Unknown(_))));
}

#[tokio::test(start_paused = true)]
async fn ready_is_who_could_look() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    world.trouble(Some("plugins cannot be read"));
    let server = world.start();
    let mut overview = server.manager.watch();
    overview.wait_for(|overview| overview.trouble.is_some()).await.unwrap();
    assert!(!server.manager.overview().ready);
    world.trouble(None);
    server.serves("hello", 1).await;
    assert!(server.manager.overview().ready);
}

#[tokio::test(start_paused = true)]
async fn what_pins_refused_is_tried_when_they_go() {
    let world = World::new();
    world.put("hello", "a", Script { pins: true, ..Script::default() });
    let limits = camlock_policy::Limits { pinned: 1, ..limits() };
    let server = world.start_with(Settings { limits, ..Settings::default() });
    server.serves("hello", 1).await;
    server.reload("hello").await.unwrap();
    server.until("hello", |plugin| plugin.pinned.len() == 1).await;
    let refused = |plugin: &LivePlugin| {
        let failed = plugin.failed.as_ref();
        failed.is_some_and(|failed| failed.reason.starts_with("1 generations of it cannot leave"))
    };
    // An edit.
    world.put("hello", "b", Script { pins: true, ..Script::default() });
    server.until("hello", refused).await;
    world.unpin();
    let serves = |fingerprint: &'static str| {
        move |plugin: &LivePlugin| {
            let serving = plugin.serving.as_ref();
            serving.is_some_and(|serving| serving.artifact == Some(kept("hello", fingerprint).digest))
        }
    };
    let view = server.until("hello", serves("b")).await;
    let generation = view.serving.as_ref().unwrap().generation;
    // A reload of what serves.
    server.until("hello", |plugin| plugin.pinned.len() == 1 && plugin.failed.is_none()).await;
    server.reload("hello").await.unwrap_err();
    world.unpin();
    let later = |plugin: &LivePlugin| plugin.serving.as_ref().is_some_and(|serving| serving.generation > generation);
    server.until("hello", later).await;
    // What was disabled and is enabled again.
    server.until("hello", |plugin| plugin.pinned.len() == 1 && plugin.failed.is_none()).await;
    server.manager.act("hello", Act::Enable(false)).await.unwrap();
    server.until("hello", |plugin| plugin.pinned.len() == 2).await;
    server.manager.act("hello", Act::Enable(true)).await.unwrap_err();
    world.unpin();
    server.until("hello", |plugin| plugin.state == Headline::Serving && plugin.failed.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn what_changes_by_itself_without_end_is_held_back_and_says_so() {
    let world = World::new();
    world.put("hello", "0", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    let mut change = 0;
    let view = loop {
        change += 1;
        world.put("hello", &change.to_string(), Script::default());
        let settled = |plugin: &LivePlugin| {
            let serving = plugin.serving.as_ref().and_then(|serving| serving.artifact);
            serving == Some(kept("hello", &change.to_string()).digest) || plugin.reason.is_some()
        };
        let view = server.until("hello", settled).await;
        if view.reason.is_some() {
            break view;
        }
        assert!(change < 200, "nothing holds it back");
    };
    assert_eq!(
        view.reason.as_deref(),
        Some(
            "it changed again and again, and nobody asked for that: changes wait for 2 s now; `camlock reload hello` \
             does not"
        )
    );
    let number = view.serving.as_ref().unwrap().generation;
    assert_eq!(number, 62, "60 in a minute are let through, and one shows that they are too many");
    world.put("hello", "later", Script::default());
    let began = tokio::time::Instant::now();
    let view = server.serves("hello", number + 1).await;
    assert!(began.elapsed() >= seconds(1), "{:?}", began.elapsed());
    assert!(view.reason.as_deref().unwrap().contains("changes wait for 4 s now"), "{:?}", view.reason);
    // Who asks does not wait, and it begins from nothing.
    world.put("hello", "asked", Script::default());
    let began = tokio::time::Instant::now();
    let done = server.reload("hello").await.unwrap();
    assert_eq!(done.plugin.serving.as_ref().unwrap().artifact, Some(kept("hello", "asked").digest));
    assert_eq!((began.elapsed().as_secs(), done.plugin.reason.clone()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn what_fails_by_itself_without_end_is_held_back_too() {
    let world = World::new();
    let no = || Script { build_fails: Some(Failure::new(Stage::Build, "no")), ..Script::default() };
    world.put("hello", "0", no());
    let server = world.start();
    server.until("hello", |plugin| plugin.failed.is_some()).await;
    let mut change = 0;
    let held = loop {
        change += 1;
        world.put("hello", &change.to_string(), no());
        let generation = change + 1;
        let settled = |plugin: &LivePlugin| {
            let held = plugin.reason.as_ref().is_some_and(|reason| reason.contains("changes wait"));
            held || plugin.failed.as_ref().is_some_and(|failed| failed.generation == generation)
        };
        let view = server.until("hello", settled).await;
        if let Some(reason) = view.reason.clone().filter(|reason| reason.contains("changes wait")) {
            break reason;
        }
        assert!(change < 200, "nothing holds it back");
    };
    assert!(held.starts_with("build: no; it changed again and again, and nobody asked for that: "), "{held}");
}

#[tokio::test(start_paused = true)]
async fn other_sources_of_the_same_bytes_are_no_new_generation() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.taken();
    // A comment was changed, say.
    world.put("hello", "b", Script { bytes_of: Some("a"), ..Script::default() });
    server.until("hello", |plugin| plugin.builds.len() == 2 && plugin.candidate.is_none()).await;
    tokio::time::sleep(seconds(600)).await;
    let view = server.serves("hello", 1).await;
    assert!(view.failed.is_none() && view.builds[0].failed.is_none());
    assert_eq!(world.taken(), ["build hello:b", "verify hello:b"]);
    // Who asks for one gets one, and one only.
    let done = server.reload("hello").await.unwrap();
    assert_eq!(done.plugin.serving.as_ref().unwrap().generation, 3);
    tokio::time::sleep(seconds(600)).await;
    server.serves("hello", 3).await;
    assert_eq!(world.taken().iter().filter(|line| line.starts_with("load ")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn other_sources_of_the_same_bytes_are_served_once_after_a_start() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", Script::default());
    let settings = || Settings { limits: limits(), ..Settings::default() };
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    server.manager.end().await;
    world.put("hello", "b", Script { bytes_of: Some("a"), ..Script::default() });
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    tokio::time::sleep(seconds(600)).await;
    server.serves("hello", 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_build_teaches_is_no_change() {
    let world = World::new();
    world.put("hello", "a", Script { build_teaches: Some("more"), ..Script::default() });
    let server = world.start();
    server.serves("hello", 1).await;
    server.manager.look();
    tokio::time::sleep(seconds(600)).await;
    server.serves("hello", 1).await;
    let loads: Vec<_> = world.taken().into_iter().filter(|line| line.starts_with("load hello")).collect();
    assert_eq!(loads.len(), 1, "one look after another finds nothing new: {loads:?}");
}

/// Its artifact was kept for two fingerprints, and agreed on under the first.
#[tokio::test(start_paused = true)]
async fn the_same_bytes_of_another_fingerprint_are_loaded_once() {
    let world = World::new();
    world.put("hello", "a", Script::default());
    let server = world.start();
    server.serves("hello", 1).await;
    world.keep_as("hello", "b", "a");
    world.put("hello", "b", Script::default());
    server.manager.look();
    server.until("hello", |plugin| plugin.builds.len() == 2 && plugin.candidate.is_none()).await;
    tokio::time::sleep(seconds(600)).await;
    server.serves("hello", 1).await;
    let loads: Vec<_> = world.taken().into_iter().filter(|line| line.starts_with("load hello")).collect();
    assert_eq!(loads.len(), 1, "{loads:?}");
}
