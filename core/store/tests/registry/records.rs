//! Records: made, decided about, read; and each decision noted once.

use crate::world::*;
use camlock_policy::{
    Digest, Endpoint,
    registry::{Decision, Newcomer, NotDecided, Pardon, Reading, Record},
};
use camlock_testing::trial;
use serde_json::json;

#[trial(with = crate::on_each_database)]
async fn newcomers(world: World) {
    let node = world.open("one").await;
    assert_eq!(node.read().await, Default::default());
    let records = node.register(&["beta", "alpha"]).await;
    assert_eq!(records.iter().map(|record| record.name.as_str()).collect::<Vec<_>>(), ["alpha", "beta"]);
    let beta = &records[1];
    assert_eq!(*beta, Record::of(&newcomer("beta"), beta.revision, beta.registered));
    assert!(beta.registered < records[0].registered, "who came first");
    // Nothing happens to those that are there.
    let off = Newcomer { enabled: false, built_in: true, ..newcomer("alpha") };
    let again = node.registry.register(vec![off, newcomer("gamma")]).await.unwrap();
    assert_eq!(again[0], records[0]);
    assert_eq!(node.read().await.records.len(), 3);
    assert_eq!(node.record("nobody").await, None);
}

#[trial(with = crate::on_each_database)]
async fn decisions(world: World) {
    let node = world.open("one").await;
    let before = node.register(&["a"]).await.remove(0);
    let off =
        Decision { enabled: Some(false), config: Some(json!({"x": [1, "ü"]})), reload: true, ..Decision::default() };
    let after = node.decide("a", off.clone()).await;
    assert!(!after.enabled && after.config == json!({"x": [1, "ü"]}) && after.reloads == 1);
    assert!(after.revision > before.revision);
    // What is as it was is no decision.
    let same = Decision { reload: false, ..off };
    assert_eq!(node.decide("a", same).await, after);

    let decide = |revision| {
        let decision = Decision { enabled: Some(true), ..Decision::default() };
        node.registry.decide("a", decision, "tester".to_owned(), revision)
    };
    assert_eq!(decide(Some(before.revision)).await, Err(NotDecided::Outdated(after.revision)));
    assert!(decide(Some(after.revision)).await.unwrap().enabled);
    let nobody = node.registry.decide("b", Decision::default(), "tester".to_owned(), None).await;
    assert_eq!(nobody, Err(NotDecided::Unknown("b".to_owned())));
}

#[trial(with = crate::on_each_database)]
async fn quarantine(world: World) {
    let node = world.open("one").await;
    let before = node.register(&["a", "b"]).await.remove(0);
    let (bad, worse) = (Digest::of(b"bad"), Digest::of(b"worse"));
    let put = |digest, why: &str| Decision { quarantine: Some((digest, why.to_owned())), ..Decision::default() };
    let after = node.decide("a", put(bad, "it \"panicked\"\nat once")).await;
    assert!(after.revision > before.revision);
    assert_eq!(after.quarantine, [(bad, "it \"panicked\"\nat once".to_owned())].into());
    assert_eq!(node.record("a").await, Some(after));
    node.decide("a", put(worse, "so did this")).await;
    let pardon = |pardon| Decision { pardon: Some(pardon), ..Decision::default() };
    let after = node.decide("a", pardon(Pardon::One(bad))).await;
    assert_eq!(after.quarantine.keys().collect::<Vec<_>>(), [&worse]);
    node.quiet().await;
    // An operator may do the same.
    world.sql("DELETE FROM plugin_quarantine WHERE plugin = 'a'");
    node.until_told("a").await;
    let pardoned = node.record("a").await.unwrap();
    assert!(pardoned.quarantine.is_empty() && pardoned.revision > after.revision);
}

#[trial(with = crate::on_each_database)]
async fn removed_and_back(world: World) {
    let node = world.open("one").await;
    let first = node.register(&["a"]).await.remove(0);
    node.registry.propose(proposal("a", "sources")).await.unwrap();
    node.decide("a", Decision { config: Some(json!({"x": 1})), ..Decision::default() }).await;
    let removed = node.decide("a", Decision { remove: true, ..Decision::default() }).await;
    assert!(removed.removed);
    let unknown = node.registry.propose(proposal("a", "other sources")).await.unwrap();
    assert_eq!(unknown, camlock_policy::registry::Proposed::Unknown);
    let back = node.register(&["a"]).await.remove(0);
    assert!(back.registered > first.registered && back.revision > removed.revision);
    assert_eq!(back, Record::of(&newcomer("a"), back.revision, back.registered));
    // Over delete and insert too.
    world.sql("DELETE FROM plugins WHERE name = 'a'");
    assert_eq!(node.record("a").await, None);
    assert!(node.register(&["a"]).await[0].revision > back.revision);
}

#[trial(with = crate::on_each_database)]
async fn reports(world: World) {
    let node = world.open("one").await;
    let before = node.register(&["a"]).await.remove(0);
    node.quiet().await;
    let endpoint = Endpoint { method: "GET".to_owned(), path: "/hello".to_owned(), source: "manifest".into() };
    let served = camlock_policy::registry::Served { endpoints: Some(vec![endpoint]), ..serving("a", "sources") };
    node.registry.report(vec![served.clone(), serving("unknown", "x")]).await.unwrap();
    assert_eq!(world.sql("SELECT plugin, method, path, source FROM plugin_endpoints"), "a|GET|/hello|manifest");
    // What nodes report is no decision, and nobody is told.
    assert_eq!(node.record("a").await, Some(before));
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert_eq!(node.heard(), []);
    let nothing = camlock_policy::registry::Served {
        seen: None,
        endpoints: Some(vec![]),
        reason: Some("why".to_owned()),
        ..served
    };
    node.registry.report(vec![nothing]).await.unwrap();
    assert_eq!(world.sql("SELECT count(*) FROM plugin_endpoints"), "0");
    assert_eq!(world.sql("SELECT state, reason FROM plugin_status WHERE name = 'a'"), "serving|why");
    // What it saw is kept, and only its own is read.
    let other = world.open("two").await;
    assert_eq!(node.read().await.seen["a"].0, "sources");
    assert!(other.read().await.seen.is_empty());
}

#[trial(with = crate::on_each_database)]
async fn thousands(world: World) {
    let node = world.open("one").await;
    let names: Vec<String> = (0..2_000).map(|number| format!("plugin-{number}")).collect();
    let newcomers = names.iter().map(|name| newcomer(name)).collect();
    assert_eq!(node.registry.register(newcomers).await.unwrap().len(), 2_000);
    let some = names[..100].iter().cloned().collect();
    let reading = Reading { names: Some(some), ..Reading::default() };
    assert_eq!(node.registry.read(reading).await.unwrap().records.len(), 100);
    let nothing = Reading { names: Some(Default::default()), ..Reading::default() };
    assert_eq!(node.registry.read(nothing).await.unwrap().records, []);
}
