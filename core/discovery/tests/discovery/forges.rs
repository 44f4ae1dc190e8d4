//! Forges that answer badly: what is told of it, and that nothing that was known is lost.

use crate::{
    github::{GitHub, Instead},
    scans::{service, settings},
};
use camlock_discovery::{DiscoverySettings, MemoryRecords};
use camlock_policy::{Discovery, NotDiscoveredKind, ScanOrder};
use std::time::Duration;

fn forced() -> ScanOrder {
    ScanOrder { force: true, ..ScanOrder::default() }
}

#[tokio::test]
async fn a_list_that_cannot_be_read_leaves_what_was_known() {
    let github = GitHub::start().await;
    github.good("alpha", "v1.0.0");
    let settings = DiscoverySettings { attempts: 0, timeout: Duration::from_millis(300), ..settings(&github, false) };
    let service = service(settings, MemoryRecords);
    service.scan(forced()).await.unwrap();
    let slow = Instead { after: Duration::from_secs(3), ..Instead::new(200, "[]") };
    let circle = format!("<{}/orgs/acme/repos?per_page=100&limit=100>; rel=\"next\"", github.url);
    for (instead, kind, told) in [
        (Instead::new(500, "{}"), NotDiscoveredKind::Forge, "says 500"),
        (
            Instead::new(200, "<!doctype html>").with("content-type", "text/html"),
            NotDiscoveredKind::Forge,
            "is `discovery.api` right?",
        ),
        (slow, NotDiscoveredKind::Forge, "does not answer within 0.3 s"),
        (Instead::new(200, "[]").with("link", circle), NotDiscoveredKind::Forge, "pages in a circle"),
        (
            Instead::new(200, "[]").with("link", "<http://evil.example/>; rel=\"next\""),
            NotDiscoveredKind::Forge,
            "another server",
        ),
        (Instead::new(200, "{}"), NotDiscoveredKind::Forge, "something else than was asked"),
        (Instead::new(429, "{}").with("retry-after", 120), NotDiscoveredKind::Limited, "rate limit is reached"),
        (
            Instead::new(403, "{\"message\":\"API rate limit exceeded\"}"),
            NotDiscoveredKind::Limited,
            "API rate limit exceeded",
        ),
        (Instead::new(404, "{}"), NotDiscoveredKind::Missing, "there is no organisation `acme`"),
    ] {
        github.instead("/orgs/acme/repos", instead);
        let refused = service.scan(forced()).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{refused:?}");
        assert!(refused.reason.contains(told) && !refused.reason.contains("secret-token"), "{refused:?}");
        assert_eq!(service.discovered().await.unwrap().meta.total, 1, "it is still known");
    }
}

#[tokio::test]
async fn calls_are_kept_back_for_others() {
    let github = GitHub::start().await;
    for number in 0..30 {
        github.good(&format!("plugin-{number}"), "v1.0.0");
    }
    github.world().remaining = 1_010;
    let service = service(settings(&github, false), MemoryRecords);
    let outcome = service.scan(forced()).await.unwrap();
    assert_eq!(outcome.status, "incomplete");
    assert!(outcome.incomplete.unwrap().contains("kept back for others who use the token"));
    // Those that were being asked at that moment are answered; nothing is asked after that.
    let left = github.world().remaining;
    assert!((985..=1_000).contains(&left), "{left}");
    let refused = service.scan(forced()).await.unwrap_err();
    assert_eq!((refused.kind, github.world().remaining), (NotDiscoveredKind::Limited, left));
    assert!(refused.again.is_some());
}

#[tokio::test]
async fn a_forge_without_graphql_is_asked_without() {
    let github = GitHub::start().await;
    github.good("alpha", "v1.0.0");
    github.world().without_graphql = true;
    let service = service(settings(&github, true), MemoryRecords);
    for _ in 0..2 {
        assert_eq!(service.scan(forced()).await.unwrap().statistics.plugins_registered, 1);
    }
    assert_eq!(github.asked().iter().filter(|(path, _)| path == "/graphql").count(), 1, "it is remembered");
}

/// A tag that leads elsewhere after it was read: what was read first is what counts.
#[tokio::test]
async fn a_moved_tag_is_told() {
    for token in [true, false] {
        let github = GitHub::start().await;
        github.good("alpha", "v1.0.0");
        let service = service(settings(&github, token), MemoryRecords);
        service.scan(forced()).await.unwrap();
        github.publish("alpha", "v1.0.0", &crate::github::manifest("alpha", "v1.0.0", "license: MIT\n"));
        service.scan(forced()).await.unwrap();
        let listed = service.discovered().await.unwrap();
        let why = listed.data[0].cannot_be_installed.clone().unwrap();
        assert!(why.starts_with("cannot be installed: its tag `v1.0.0` was moved"), "{why}");
        assert_eq!(listed.data[0].license, None);
    }
}
