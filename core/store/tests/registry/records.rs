//! Records: made, decided about, read; and each decision noted once.

use crate::world::*;
use camlock_policy::registry::RegistryChange;
use camlock_policy::{
    Digest, Endpoint, Grants, PluginSource,
    registry::{Decision, EventQuery, NewToken, Newcomer, NotDecided, Pardon, Reading, Record, Role},
};
use camlock_testing::trial;
use serde_json::json;
use std::time::{Duration, Instant};

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
    let before = node.register(&["alpha"]).await.remove(0);
    let off =
        Decision { enabled: Some(false), config: Some(json!({"x": [1, "ü"]})), reload: true, ..Decision::default() };
    let after = node.decide("alpha", off.clone()).await;
    assert!(!after.enabled && after.config == json!({"x": [1, "ü"]}) && after.reloads == 1);
    assert!(after.revision > before.revision);
    // What is as it was is no decision.
    let same = Decision { reload: false, ..off };
    assert_eq!(node.decide("alpha", same).await, after);

    let decide = |revision| {
        let decision = Decision { enabled: Some(true), ..Decision::default() };
        node.registry.decide("alpha", decision, "tester".into(), revision)
    };
    assert_eq!(decide(Some(before.revision)).await, Err(NotDecided::Outdated(after.revision)));
    assert!(decide(Some(after.revision)).await.unwrap().enabled);
    let nobody = node.registry.decide("beta", Decision::default(), "tester".into(), None).await;
    assert_eq!(nobody, Err(NotDecided::Unknown("beta".to_owned())));
}

#[trial(with = crate::on_each_database)]
async fn quarantine(world: World) {
    let node = world.open("one").await;
    let before = node.register(&["alpha", "beta"]).await.remove(0);
    let (bad, worse) = (Digest::of(b"bad"), Digest::of(b"worse"));
    let put = |digest, why: &str| Decision { quarantine: Some((digest, why.to_owned())), ..Decision::default() };
    let after = node.decide("alpha", put(bad, "it \"panicked\"\nat once")).await;
    assert!(after.revision > before.revision);
    assert_eq!(after.quarantine, [(bad, "it \"panicked\"\nat once".to_owned())].into());
    assert_eq!(node.record("alpha").await, Some(after));
    node.decide("alpha", put(worse, "so did this")).await;
    let pardon = |pardon| Decision { pardon: Some(pardon), ..Decision::default() };
    let after = node.decide("alpha", pardon(Pardon::One(bad))).await;
    assert_eq!(after.quarantine.keys().collect::<Vec<_>>(), [&worse]);
    node.quiet().await;
    // An operator may do the same.
    world.sql("DELETE FROM plugin_quarantine WHERE plugin = 'alpha'");
    node.until_told("alpha").await;
    let pardoned = node.record("alpha").await.unwrap();
    assert!(pardoned.quarantine.is_empty() && pardoned.revision > after.revision);
}

#[trial(with = crate::on_each_database)]
async fn grants(world: World) {
    let node = world.open("one").await;
    let first = node.register(&["alpha", "beta"]).await.remove(0);
    assert_eq!((first.source.clone(), first.grants.clone()), (PluginSource::Directory, None));
    let these = |list: &[&str]| Grants::these(list.iter().copied()).unwrap();
    let grant = |grants: Grants| Decision { grants: Some(grants), ..Decision::default() };
    let after = node.decide("alpha", grant(these(&["storage", "network:api.example.com"]))).await;
    assert_eq!(after.grants, Some(these(&["network:api.example.com", "storage"])));
    assert!(after.revision > first.revision);
    assert_eq!(node.record("alpha").await, Some(after.clone()));
    // What is as it was is no decision.
    assert_eq!(node.decide("alpha", grant(these(&["storage", "network:api.example.com"]))).await, after);
    assert_eq!(node.record("beta").await.unwrap().grants, None);

    // From elsewhere it begins without, and has again what it had when it came from there before.
    let arrives = |source, grants| Decision { arrival: Some((source, grants)), ..Decision::default() };
    let uploaded = node.decide("alpha", arrives(PluginSource::Upload, None)).await;
    assert_eq!((uploaded.source, uploaded.grants), (PluginSource::Upload, None));
    let uploaded = node.decide("alpha", arrives(PluginSource::Upload, Some(Grants::Asked))).await;
    assert_eq!(uploaded.grants, Some(Grants::Asked));
    let catalog = PluginSource::Catalog("main".to_owned());
    assert_eq!(node.decide("alpha", arrives(catalog.clone(), None)).await.source, catalog);
    let back = node.decide("alpha", arrives(PluginSource::Directory, None)).await;
    assert_eq!(back.grants, Some(these(&["network:api.example.com", "storage"])));
    let granted = "SELECT count(*) FROM plugin_journal WHERE plugin = 'alpha' AND what = 'granted'";
    assert_eq!(world.sql(granted), "2");

    // It comes with its first record, and goes with the last.
    let newcomer = Newcomer { source: PluginSource::Upload, grants: Some(these(&["tasks"])), ..newcomer("gamma") };
    let gamma = node.registry.register(vec![newcomer]).await.unwrap().remove(0);
    assert_eq!((gamma.source, gamma.grants), (PluginSource::Upload, Some(these(&["tasks"]))));
    world.sql("DELETE FROM plugins WHERE name = 'gamma'");
    assert_eq!(world.sql("SELECT count(*) FROM plugin_grants WHERE plugin = 'gamma'"), "0");
}

#[trial(with = crate::on_each_database)]
async fn removed_and_back(world: World) {
    let node = world.open("one").await;
    let first = node.register(&["alpha"]).await.remove(0);
    node.registry.propose(proposal("alpha", "sources")).await.unwrap();
    node.decide("alpha", Decision { config: Some(json!({"x": 1})), ..Decision::default() }).await;
    let removed = node.decide("alpha", Decision { remove: true, ..Decision::default() }).await;
    assert!(removed.removed);
    let unknown = node.registry.propose(proposal("alpha", "other sources")).await.unwrap();
    assert_eq!(unknown, camlock_policy::registry::Proposed::Unknown);
    let back = node.register(&["alpha"]).await.remove(0);
    assert!(back.registered > first.registered && back.revision > removed.revision);
    assert_eq!(back, Record::of(&newcomer("alpha"), back.revision, back.registered));
    // Over delete and insert too.
    world.sql("DELETE FROM plugins WHERE name = 'alpha'");
    assert_eq!(node.record("alpha").await, None);
    assert!(node.register(&["alpha"]).await[0].revision > back.revision);
}

#[trial(with = crate::on_each_database)]
async fn reports(world: World) {
    let node = world.open("one").await;
    let before = node.register(&["alpha"]).await.remove(0);
    node.quiet().await;
    let endpoint = Endpoint { method: "GET".to_owned(), path: "/hello".to_owned(), source: "manifest".into() };
    let served = camlock_policy::registry::Served { endpoints: Some(vec![endpoint]), ..serving("alpha", "sources") };
    node.registry.report(vec![served.clone(), serving("unknown", "x")]).await.unwrap();
    assert_eq!(world.sql("SELECT plugin, method, path, source FROM plugin_endpoints"), "alpha|GET|/hello|manifest");
    // What nodes report is no decision, and nobody is told.
    assert_eq!(node.record("alpha").await, Some(before));
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
    assert_eq!(world.sql("SELECT state, reason FROM plugin_status WHERE name = 'alpha'"), "serving|why");
    // What it saw is kept, and only its own is read.
    let other = world.open("two").await;
    assert_eq!(node.read().await.seen["alpha"].0, "sources");
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

/// As when a whole directory of plugins is dropped in: nobody is told that the database is somebody else's for now, for it is
/// this very server that writes.
#[trial(with = crate::on_each_database)]
async fn everything_at_once(world: World) {
    let (node, beside) = (world.open("one").await, world.open("two").await);
    let names: Vec<_> = (0..30).map(|index| format!("plugin-{index}")).collect();
    let mut going_on = tokio::task::JoinSet::new();
    for (name, registry) in names.iter().flat_map(|name| [&node, &beside].map(|node| (name, &node.registry))) {
        let (name, registry) = (name.clone(), registry.clone());
        going_on.spawn(async move {
            registry.register(vec![newcomer(&name)]).await.map_err(|away| away.to_string())?;
            for round in 0..5 {
                let sources = format!("{name} {round}");
                registry.propose(proposal(&name, &sources)).await.map_err(|away| away.to_string())?;
                registry.report(vec![serving(&name, &sources)]).await.map_err(|away| away.to_string())?;
                let decision = Decision { config: Some(json!({ "round": round })), ..Decision::default() };
                let decided = registry.decide(&name, decision, "tester".into(), None).await;
                decided.map_err(|refused| format!("{refused:?}"))?;
            }
            Ok::<_, String>(())
        });
    }
    while let Some(outcome) = going_on.join_next().await {
        assert_eq!(outcome.unwrap(), Ok(()));
    }
    assert_eq!((node.store.trouble(), beside.store.trouble()), (None, None));
    let records = node.read().await.records;
    assert_eq!(records.len(), names.len());
    assert!(records.iter().all(|record| record.config == json!({ "round": 4 })), "{records:?}");
}

/// Names that no plugin can have do not get in, whoever writes them.
#[trial(with = crate::on_each_database)]
async fn names_that_break_the_rules(world: World) {
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    for name in
        ["", "ab", "Alpha", "al_pha", "al--pha", "alpha-", "-alpha", "1alpha", "al pha", "älpha", &"a".repeat(51)]
    {
        let refused = world.try_sql(&format!("INSERT INTO plugins (name) VALUES ('{name}')"));
        assert!(refused.is_err_and(|error| error.contains("a_name_for_a_plugin")), "{name:?}");
    }
    if world.kind == Kind::Sqlite {
        // What comes after a NUL counts too.
        let refused = world.try_sql("INSERT INTO plugins (name) VALUES (CAST(x'616263' || x'00ff' AS TEXT))");
        assert!(refused.is_err_and(|error| error.contains("a_name_for_a_plugin")));
    }
    for name in ["abc", "al-pha", "a1-2b"] {
        world.sql(&format!("INSERT INTO plugins (name) VALUES ('{name}')"));
    }
    assert_eq!(node.read().await.records.len(), 4);
}

/// A row with bytes that are no UTF-8 concerns itself alone: what is on record of others is obeyed, now and after a restart.
#[trial(with = crate::on_sqlite)]
async fn a_row_that_is_no_text() {
    let world = World::new(Kind::Sqlite);
    let node = world.open("one").await;
    node.register(&["alpha", "beta", "gamma"]).await;
    let token = NewToken { name: "ci".to_owned(), role: Role::Viewer, hash: Digest::of(b"secret"), expires: None };
    let token = node.store.tokens().create(token, "tester".into()).await.unwrap().unwrap();
    node.quiet().await;
    // Each kind of row that is read has one that is damaged.
    world.sql("UPDATE plugins SET source_path = CAST(x'ff' AS TEXT), fingerprint = CAST(x'ff' AS TEXT), config = CAST(x'7b2261223a22ff227d' AS TEXT) WHERE name = 'beta'");
    world.sql("INSERT INTO plugin_quarantine (plugin, digest, reason) VALUES ('beta', CAST(x'fe' AS TEXT), CAST(x'ff' AS TEXT))");
    world.sql("INSERT INTO plugin_journal (what, actor, detail) VALUES (CAST(x'ff' AS TEXT), CAST(x'ff' AS TEXT), CAST(x'ff' AS TEXT))");
    world.sql("INSERT INTO api_tokens (name, role, hash, expires_at) VALUES (CAST(x'ff' AS TEXT), 'admin', CAST(x'ff' AS TEXT), 'never')");
    world.sql("UPDATE nodes SET version = CAST(x'ff' AS TEXT), started_at = 'once'");
    node.quiet().await;

    world.sql("UPDATE plugins SET enabled = false WHERE name = 'alpha'");
    node.until_heard(|change| matches!(change, RegistryChange::Plugins(names) if names.contains("alpha"))).await;
    assert!(!node.record("alpha").await.unwrap().enabled);
    world.sql(&format!("UPDATE api_tokens SET revoked_at = 'just now' WHERE id = {}", token.id));
    node.until_heard(|change| *change == RegistryChange::Tokens).await;
    assert!(node.store.tokens().known().iter().all(|token| token.revoked.is_some()));
    assert_eq!(node.store.trouble(), None);

    // The damaged one keeps the configuration that it had, and that is in the journal.
    assert_eq!(node.record("beta").await.unwrap().config, json!({}));
    let query = EventQuery { limit: 100, ..EventQuery::default() };
    let reason = "the configuration of beta in the registry is not used, for it is no UTF-8; the last one goes on";
    let deadline = Instant::now() + PATIENCE;
    while !node
        .store
        .archive()
        .events(query.clone())
        .await
        .unwrap()
        .events
        .iter()
        .any(|event| event.detail["reason"] == reason)
    {
        assert!(Instant::now() < deadline, "it is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(node.store.archive().nodes().await.unwrap().len(), 1);
    node.store.end().await;

    let again = world.open("one").await;
    assert_eq!(again.store.trouble(), None);
    assert_eq!(again.read().await.records.len(), 3);
    assert!(!again.record("alpha").await.unwrap().enabled);
}
