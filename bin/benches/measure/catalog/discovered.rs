//! What looking at an organisation of 1,000 repositories asks of GitHub, as a forge counts it that speaks its API.

#[allow(dead_code, reason = "the tests of discovery ask more of it")]
#[path = "../../../../core/discovery/tests/discovery/github.rs"]
mod github;

use self::github::GitHub;
use crate::common::{
    host::serving_runtime,
    report::{Better, Row},
};
use camlock_discovery::{DiscoveryService, DiscoverySettings, HiddenText, MemoryRecords};
use camlock_policy::{Discovery, RepositoryHint, ScanOrder};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::runtime::Handle;

const REPOSITORIES: usize = 1_000;

pub fn rows() -> Vec<Row> {
    serving_runtime().block_on(async {
        let spoken = counted(true).await;
        let rest = counted(false).await;
        let row = |case, count: usize, must| Row::count(case, "", Better::Lower, count as f64).must(must, must);
        vec![
            row("GitHub, 1,000 repositories unchanged: GraphQL", spoken.0, 10.0),
            row("GitHub, one of 1,000 changed: GraphQL", spoken.1, 2.0),
            row("GitHub, 1,000 repositories unchanged: counted REST", rest.0, 0.0),
            row("GitHub, one of 1,000 changed: counted REST", rest.1, 2.0),
        ]
    })
}

/// How many requests of those that GitHub counts it takes to look at all when nothing has changed, and at one that a webhook names.
async fn counted(token: bool) -> (usize, usize) {
    let github = GitHub::start().await;
    let name = |number: usize| format!("repository-{number}");
    for number in 0..REPOSITORIES {
        github.good(&name(number), "v1.0.0");
    }
    let settings = DiscoverySettings {
        api: github.url.clone(),
        manifests: vec![".camlock.yaml".to_owned(), ".velox.yaml".to_owned()],
        token: token.then(|| HiddenText::new("secret-token").expect("a token")),
        pause: Duration::from_millis(1),
        ..DiscoverySettings::new("acme")
    };
    // Nothing is kept back of what may be asked: all of it is to be seen.
    github.world().limit = 1_000_000;
    github.world().remaining = 1_000_000;
    let service = DiscoveryService::new(settings, Arc::new(MemoryRecords), Arc::new(BTreeSet::new), Handle::current())
        .expect("a service");
    let scan = || service.scan(ScanOrder { force: true, ..ScanOrder::default() });
    let found = scan().await.expect("a scan");
    assert_eq!(found.plugins.len(), REPOSITORIES, "{:?}", found.failed.first());
    let counted = || github.asked().iter().filter(|(_, status)| *status != 304).count();
    counted();
    let again = scan().await.expect("a scan");
    assert_eq!(again.plugins.len(), REPOSITORIES);
    let unchanged = counted();
    github.good(&name(7), "v1.1.0");
    let hint = RepositoryHint { owner: "acme".to_owned(), name: name(7) };
    let told = service.hint(hint).await.expect("it is looked at");
    assert!(told.plugin.is_some_and(|plugin| plugin.version == "v1.1.0"));
    (unchanged, counted())
}
