//! Scans: what is asked, what is kept, and what a forge's bad answers do not spoil.

use crate::github::{GitHub, Instead, manifest};
use camlock_discovery::{DiscoveryService, DiscoverySettings, FileRecords, HiddenText, MemoryRecords};
use camlock_policy::{Discovery, DiscoveryRecords, ScanOrder};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::runtime::Handle;

pub fn settings(github: &GitHub, token: bool) -> DiscoverySettings {
    DiscoverySettings {
        api: github.url.clone(),
        manifests: vec![".camlock.yaml".to_owned(), ".velox.yaml".to_owned()],
        token: token.then(|| HiddenText::new("secret-token").unwrap()),
        webhook_secret: HiddenText::new("hook"),
        official: BTreeSet::from(["logger".to_owned()]),
        pause: Duration::from_millis(1),
        ..DiscoverySettings::new("acme")
    }
}

pub fn service(settings: DiscoverySettings, records: impl DiscoveryRecords + 'static) -> DiscoveryService {
    DiscoveryService::new(settings, Arc::new(records), Arc::new(BTreeSet::new), Handle::current()).unwrap()
}

fn forced() -> ScanOrder {
    ScanOrder { force: true, ..ScanOrder::default() }
}

/// One of everything, by GraphQL and by REST alike.
#[tokio::test]
async fn what_is_found_is_the_same_whatever_is_spoken() {
    for token in [true, false] {
        let github = GitHub::start().await;
        github.world().page = 2;
        github.publish(
            "redis-cache",
            "v1.2.0",
            &manifest("redis-cache", "v1.2.0", "dependencies: [logger, base-kv]\n"),
        );
        github.good("base-kv", "v2.0.1");
        github.good("1-odd", "v1.0.0");
        github.publish(
            "nothing-said",
            "v1.0.0",
            "name: nothing-said\nversion: v1.0.0\nowner: acme\nrepository: nothing-said\ncategory: kv\n",
        );
        github.publish("broken", "v1.0.0", "name: [\n");
        github.publish("lonely", "v1.0.0", &manifest("lonely", "v1.0.0", "dependencies: [nobody]\n"));
        github.publish("leaning", "v1.0.0", &manifest("leaning", "v1.0.0", "dependencies: [lonely]\n"));
        github.publish(
            "squatter",
            "v1.0.0",
            &manifest("squatter", "v1.0.0", "").replace("name: squatter", "name: base-kv"),
        );
        github.publish_bytes("large", "v1.0.0", &vec![b'a'; 10 << 20]);
        github.good("unreleased", "v1.0.0");
        github.good("private", "v1.0.0");
        {
            let mut world = github.world();
            world.repositories.iter_mut().find(|there| there.name == "unreleased").unwrap().release = None;
            world.repositories.iter_mut().find(|there| there.name == "private").unwrap().private = true;
        }
        let service = service(settings(&github, token), MemoryRecords);
        let outcome = service.scan(forced()).await.unwrap();
        assert_eq!(outcome.status, "success");
        let names: Vec<_> =
            outcome.plugins.iter().map(|plugin| format!("{} {}", plugin.name, plugin.version)).collect();
        assert_eq!(names, ["1-odd v1.0.0", "base-kv v2.0.1", "redis-cache v1.2.0"], "{outcome:?}");
        let failed: Vec<_> = outcome
            .failed
            .iter()
            .map(|failed| format!("{}: {}", failed.repository, failed.errors[0].message))
            .collect();
        assert_eq!(failed.len(), 6, "{failed:#?}");
        for (told, expected) in failed.iter().zip([
            "broken: Invalid YAML syntax: ",
            "large: it has 10485760 bytes, and a manifest has 65536 at most",
            "leaning: 'dependencies' has `lonely`, and there is no plugin of that name",
            "lonely: 'dependencies' has `nobody`, and there is no plugin of that name",
            "nothing-said: Missing required field 'description'",
            "squatter: 'name' is `base-kv`, which is taken by acme/base-kv",
        ]) {
            assert!(told.starts_with(expected), "{told}");
        }
        let statistics = outcome.statistics;
        assert_eq!((statistics.repositories_scanned, statistics.manifests_scanned), (10, 9));
        assert_eq!((statistics.plugins_registered, statistics.plugins_failed), (3, 6));
        let listed = service.discovered().await.unwrap();
        assert_eq!((listed.meta.total, listed.meta.failed.len()), (3, 6));
        let odd = listed.data.iter().find(|plugin| plugin.name == "1-odd").unwrap();
        assert!(odd.cannot_be_installed.as_deref().unwrap().starts_with("cannot be installed: `1-odd` is no name"));
        assert_eq!((&*odd.source, odd.signed), ("community", false));
        let graphql = github.asked().iter().filter(|(path, _)| path == "/graphql").count();
        assert_eq!(graphql > 0, token);
        let expected = if token { "Bearer secret-token" } else { "" };
        assert!(github.world().tokens.iter().all(|shown| shown == expected));
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_asked_for_again() {
    let github = GitHub::start().await;
    for number in 0..130 {
        github.good(&format!("plugin-{number}"), "v1.0.0");
    }
    // By GraphQL two pages, and of what changed one text more.
    let spoken = service(settings(&github, true), MemoryRecords);
    assert_eq!(spoken.scan(forced()).await.unwrap().statistics.calls, 2 + 3);
    assert_eq!(spoken.scan(forced()).await.unwrap().statistics.calls, 2);
    github.good("plugin-7", "v1.0.1");
    let outcome = spoken.scan(forced()).await.unwrap();
    assert_eq!((outcome.statistics.calls, outcome.statistics.plugins_updated), (3, 1));
    // By REST every question is answered with "not modified", which is not counted.
    let without = service(settings(&github, false), MemoryRecords);
    assert_eq!(without.scan(forced()).await.unwrap().statistics.plugins_registered, 130);
    let before = github.world().remaining;
    let again = without.scan(forced()).await.unwrap();
    assert_eq!((github.world().remaining, again.statistics.not_modified), (before, again.statistics.calls));
    assert_eq!((again.statistics.plugins_registered, again.statistics.plugins_updated), (130, 0));
}

#[tokio::test]
async fn it_is_lazy_and_what_is_new_enough_is_not_scanned_again() {
    let github = GitHub::start().await;
    github.good("alpha", "v1.0.0");
    let kept = tempfile::tempdir().unwrap();
    let first = service(settings(&github, true), FileRecords::in_directory(kept.path()));
    assert!(github.asked().is_empty(), "nothing is asked before somebody wants to know");
    assert_eq!(first.discovered().await.unwrap().meta.total, 1);
    assert!(!github.asked().is_empty());
    assert_eq!(first.scan(ScanOrder::default()).await.unwrap().status, "cached");
    assert_eq!(first.discovered().await.unwrap().data[0].name, "alpha");
    // Another server, or the same one after a restart, knows it from the file.
    let second = service(settings(&github, true), FileRecords::in_directory(kept.path()));
    assert_eq!(second.discovered().await.unwrap().meta.total, 1);
    assert!(github.asked().is_empty());
    // A file that is damaged is as good as none.
    let file = std::fs::read_dir(kept.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, "}{").unwrap();
    let third = service(settings(&github, true), FileRecords::in_directory(kept.path()));
    assert_eq!(third.discovered().await.unwrap().meta.total, 1);
    assert!(!github.asked().is_empty());
    let cleared = ScanOrder { clear: true, ..ScanOrder::default() };
    assert_eq!(third.scan(cleared).await.unwrap().statistics.plugins_updated, 1);
}

#[tokio::test]
async fn one_that_fails_never_stops_the_others() {
    let github = GitHub::start().await;
    for name in ["alpha", "beta", "gamma"] {
        github.good(name, "v1.0.0");
    }
    let service = service(settings(&github, false), MemoryRecords);
    assert_eq!(service.scan(forced()).await.unwrap().statistics.plugins_registered, 3);
    for (instead, kind) in [
        (Instead::new(403, "{\"message\":\"Resource not accessible\"}"), "says 403 Forbidden: Resource not accessible"),
        (Instead::new(200, "<html>").with("content-type", "text/html"), "answers with text/html, and not JSON"),
        (Instead::new(200, "{\"other\":1}"), "answers with something else than was asked"),
        (Instead::new(301, "").with("location", "http://evil.example/x"), "sends to another server"),
        (Instead::new(401, "{}"), "is the token"),
    ] {
        github.instead("beta/releases", instead);
        let outcome = service.scan(forced()).await.unwrap();
        // What was known of it stays.
        assert_eq!((outcome.statistics.plugins_registered, outcome.failed.len()), (3, 1), "{outcome:?}");
        assert!(outcome.failed[0].errors[0].message.contains(kind), "{outcome:?}");
    }
    // What passes is tried again: 5xx, and a wait that is asked for.
    github.instead("beta/releases", Instead::new(502, "bad gateway"));
    github.instead("beta/releases", Instead::new(503, "{}"));
    github.instead("gamma/releases", Instead::new(429, "{}").with("retry-after", 0));
    assert_eq!(service.scan(forced()).await.unwrap().failed, []);
    // Deleted, it is gone.
    github.world().repositories.retain(|there| there.name != "alpha");
    assert_eq!(service.scan(forced()).await.unwrap().statistics.plugins_registered, 2);
}

/// However many ask while the forge does not answer, it is asked twice at most: by who came first, and for all who came meanwhile.
#[tokio::test]
async fn a_forge_that_is_down_is_not_asked_by_each() {
    let github = GitHub::start().await;
    let down = Instead { after: Duration::from_millis(50), ..Instead::new(500, "{}") };
    (0..20).for_each(|_| github.instead("/orgs/acme/repos", down.clone()));
    let mut settings = settings(&github, false);
    settings.attempts = 0;
    let service = service(settings, MemoryRecords);
    for outcome in futures_util::future::join_all((0..20).map(|_| service.discovered())).await {
        assert!(outcome.is_err());
    }
    let asked = github.asked().len();
    assert!((1..=2).contains(&asked), "{asked}");
    // Who asks later has it asked again.
    github.world().instead.clear();
    github.good("alpha", "v1.0.0");
    assert_eq!(service.discovered().await.unwrap().data.len(), 1);
}
