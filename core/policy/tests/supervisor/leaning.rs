//! Plugins that depend on each other.

use super::world::{Script, World, limits};
use camlock_policy::{Act, Headline, Limits, Settings, Stage};
use std::time::Duration;

fn needs(needs: &'static [(&'static str, &'static str)]) -> Script {
    Script { needs, ..Script::default() }
}

#[tokio::test(start_paused = true)]
async fn loaded_in_order() {
    let world = World::new();
    world.put("app", "a", needs(&[("kv-store", "^1")]));
    world.put("kv-store", "a", Script { build: Duration::from_secs(5), ..Script::default() });
    let server = world.start();
    let view = server.until("app", |plugin| plugin.state == Headline::Waiting).await;
    assert_eq!(view.reason.as_deref(), Some("it needs `kv-store` ^1, which is starting"));
    server.serves("app", 1).await;
    let log = world.taken();
    let place = |line: &str| log.iter().position(|logged| logged == line);
    assert!(place("start kv-store:a 1") < place("load app:a as 1"), "{log:#?}");
}

#[tokio::test(start_paused = true)]
async fn missing_wrong_and_in_a_circle() {
    let world = World::new();
    world.put("alone", "a", needs(&[("kv-store", "^1")]));
    world.put("one", "a", needs(&[("two", "^1")]));
    world.put("two", "a", needs(&[("one", "^1")]));
    world.put("odd", "a", needs(&[("one", "first")]));
    let server = world.start();
    let view = server.until("alone", |plugin| plugin.state == Headline::Waiting).await;
    assert_eq!(view.reason.as_deref(), Some("it needs `kv-store` ^1, and there is no such plugin"));
    for name in ["one", "two"] {
        let view = server.until(name, |plugin| plugin.state == Headline::Failed).await;
        let reason = view.reason.clone().unwrap();
        assert!(reason.starts_with("dependencies: plugins depend on each other in a circle: "), "{reason}");
    }
    let view = server.until("odd", |plugin| plugin.state == Headline::Failed).await;
    let reason = view.reason.clone().unwrap();
    assert_eq!(reason, "dependencies: `first` is no range of versions of `one` (`^1.2`, say)");
    assert!(server.manager.overview().ready);

    world.put("kv-store", "a", Script { version: "2.0.0", ..Script::default() });
    let wrong = "it needs `kv-store` ^1, and 2.0.0 serves";
    server.until("alone", |plugin| plugin.reason.as_deref() == Some(wrong)).await;
    world.put("kv-store", "b", Script { version: "1.9.0", ..Script::default() });
    server.serves("alone", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_renews_those_who_depend_on_it_in_order() {
    let world = World::new();
    world.put("base", "a", Script::default());
    world.put("middle", "a", needs(&[("base", "^1")]));
    world.put("top", "a", needs(&[("middle", "^1")]));
    let server = world.start();
    server.serves("top", 1).await;
    world.taken();
    world.put("base", "b", Script { version: "1.5.0", ..Script::default() });
    server.serves("top", 2).await;
    let starts: Vec<_> = world.taken().into_iter().filter(|line| line.starts_with("start ")).collect();
    assert_eq!(starts, ["start base:b 2", "start middle:a 2", "start top:a 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_would_leave_others_behind_is_refused() {
    let world = World::new();
    world.put("base", "a", Script::default());
    world.put("app", "a", needs(&[("base", "^1")]));
    let server = world.start();
    server.serves("app", 1).await;
    world.put("base", "b", Script { version: "2.0.0", ..Script::default() });
    let view = server.until("base", |plugin| plugin.failed.is_some()).await;
    assert_eq!(
        view.failed.as_ref().unwrap().to_string(),
        "dependencies: version 2.0.0 would leave others without what they need: `app` needs ^1; change or remove them first"
    );
    assert_eq!((world.leads_to("base"), world.leads_to("app")), ("generation 1".into(), "generation 1".into()));
    let refused = server.manager.act("base", Act::Enable(false)).await.unwrap_err();
    assert_eq!(refused.to_string(), "`app` would be left without `base`: disable them first");
}

#[tokio::test(start_paused = true)]
async fn when_it_goes_they_go_first_and_come_back_with_it() {
    let world = World::new();
    world.put("base", "a", Script::default());
    world.put("app", "a", needs(&[("base", "^1")]));
    let server = world.start();
    server.serves("app", 1).await;
    world.taken();
    world.remove("base");
    let view = server.until("app", |plugin| plugin.state == Headline::Waiting).await;
    assert_eq!(view.reason.as_deref(), Some("it needs `base` ^1, which is missing"));
    world.logged("gone base:a 1").await;
    let ends: Vec<_> = world.taken().into_iter().filter(|line| line.starts_with("shutdown")).collect();
    assert_eq!(ends, ["shutdown app:a 1", "shutdown base:a 1"]);
    world.put("base", "a", Script::default());
    server.until("app", |plugin| plugin.state == Headline::Serving).await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_version_that_waits_hears_of_what_it_waits_for() {
    let world = World::new();
    world.put("app", "a", Script::default());
    let limits = Limits { health: Duration::from_secs(1_000_000), ..limits() };
    let server = world.start_with(Settings { limits, ..Settings::default() });
    server.serves("app", 1).await;
    world.put("app", "b", needs(&[("kv-store", "^1")]));
    let view = server.until("app", |plugin| plugin.candidate.as_ref().is_some_and(|it| it.stage == "waiting")).await;
    assert_eq!(view.state, Headline::Serving);
    world.put("kv-store", "a", Script::default());
    let began = tokio::time::Instant::now();
    server.serves("app", 2).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_circle_that_another_one_opens() {
    let world = World::new();
    world.put("one", "a", needs(&[("two", "^1")]));
    world.put("two", "a", needs(&[("one", "^1")]));
    let server = world.start();
    for name in ["one", "two"] {
        server.until(name, |plugin| plugin.state == Headline::Failed).await;
    }
    world.put("two", "b", Script::default());
    let view = server.until("one", |plugin| plugin.state == Headline::Serving).await;
    assert!(view.failed.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_new_major_version_comes_with_those_who_ask_for_it() {
    let world = World::new();
    world.put("base", "a", Script::default());
    world.put("app", "a", needs(&[("base", "^1")]));
    let server = world.start();
    server.serves("app", 1).await;
    world.put("base", "b", Script { version: "2.0.0", ..Script::default() });
    let view = server.until("base", |plugin| plugin.failed.is_some()).await;
    assert_eq!(view.failed.as_ref().unwrap().stage, Stage::Dependencies);
    world.put("app", "b", needs(&[("base", "^2")]));
    let view = server.until("app", |plugin| plugin.serving.as_ref().is_some_and(|it| it.generation == 2)).await;
    assert!(view.failed.is_none());
    let base = server.manager.plugin("base").unwrap();
    assert_eq!((base.version.as_str(), base.failed.is_none()), ("2.0.0", true));
}
