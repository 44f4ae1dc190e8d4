//! Webhooks: hints that have one repository looked at, and no more.

use crate::{
    github::GitHub,
    scans::{service, settings},
};
use camlock_discovery::MemoryRecords;
use camlock_policy::{Discovery, RepositoryHint};

fn hint(owner: &str, name: &str) -> RepositoryHint {
    RepositoryHint { owner: owner.to_owned(), name: name.to_owned() }
}

#[tokio::test]
async fn one_repository_is_looked_at() {
    for token in [true, false] {
        let github = GitHub::start().await;
        github.good("alpha", "v1.0.0");
        github.good("beta", "v1.0.0");
        let service = service(settings(&github, token), MemoryRecords);
        service.discovered().await.unwrap();
        github.asked();
        github.good("alpha", "v1.1.0");
        let outcome = service.hint(hint("Acme", "alpha")).await.unwrap();
        let plugin = outcome.plugin.unwrap();
        assert_eq!(
            (&*outcome.status, &*plugin.name, &*plugin.version, plugin.updated),
            ("success", "alpha", "v1.1.0", true)
        );
        assert!(github.asked().iter().all(|(path, _)| path == "/graphql" || path.contains("/alpha")));
        assert_eq!(service.discovered().await.unwrap().data[0].version, "v1.1.0");
        // Deleted, it is gone.
        github.world().repositories.retain(|there| there.name != "beta");
        let outcome = service.hint(hint("acme", "beta")).await.unwrap();
        assert_eq!((outcome.plugin, outcome.detail.as_deref()), (None, Some("acme has no public repository `beta`")));
        assert_eq!(service.discovered().await.unwrap().meta.total, 1);
        for (owner, name) in [("other", "alpha"), ("acme", "../x"), ("acme", "")] {
            assert_eq!(service.hint(hint(owner, name)).await.unwrap().status, "ignored");
        }
    }
}

/// However many come, it is looked at once at once, and once more for all that came meanwhile.
#[tokio::test]
async fn many_hints_are_two_looks() {
    let github = GitHub::start().await;
    github.good("alpha", "v1.0.0");
    let mut settings = settings(&github, true);
    settings.hint_every = std::time::Duration::from_millis(200);
    let service = service(settings, MemoryRecords);
    service.discovered().await.unwrap();
    github.asked();
    service.hint(hint("acme", "alpha")).await.unwrap();
    let each = github.asked().len();
    let many = (0..20).map(|_| service.hint(hint("acme", "alpha")));
    for outcome in futures_util::future::join_all(many).await {
        assert!(!outcome.unwrap().plugin.unwrap().updated);
    }
    assert_eq!(github.asked().len(), each);
}

#[tokio::test]
async fn who_knows_the_secret_is_let_in() {
    let github = GitHub::start().await;
    let service_with = service(settings(&github, true), MemoryRecords);
    assert!(service_with.is_secret(b"hook") && !service_with.is_secret(b"hooks") && !service_with.is_secret(b""));
    let mut without = settings(&github, true);
    without.webhook_secret = None;
    let without = service(without, MemoryRecords);
    assert!(!without.is_secret(b"") && !without.is_signed(b"sha256=", b""));
}
