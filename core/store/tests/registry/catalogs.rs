//! What is on record of catalogs: no server brings another one back, installs are all or nothing, who began an install finds it again.

use crate::world::*;
use camlock_store::{AdvisedPlugin, CatalogInstall, CatalogName, CatalogRecord};
use camlock_testing::trial;
use std::{collections::BTreeMap, time::SystemTime};

fn main_catalog() -> CatalogRecord {
    CatalogRecord {
        name: "main".to_owned(),
        url: "https://plugins.example.org".to_owned(),
        root: "{\"signed\":1}".to_owned(),
        priority: 7,
        names: vec!["web-*".to_owned()],
        publishers: vec!["RWQ".to_owned()],
        attested_by: vec!["acme/web".to_owned()],
        pins: vec!["web-one@1.0.0=00".to_owned()],
        unsigned: true,
        ..CatalogRecord::default()
    }
}

#[trial(with = crate::on_each_database)]
async fn catalogs_are_kept_and_never_go_back(world: World) {
    let node = world.open("one").await;
    let records = node.store.catalogs();
    assert!(records.add(main_catalog(), "tester".into()).await.unwrap());
    let other = CatalogRecord { url: "file:///elsewhere".to_owned(), ..main_catalog() };
    assert!(!records.add(other, "tester".into()).await.unwrap(), "there is one of that name");
    assert_eq!(records.catalogs().await.unwrap(), [main_catalog()]);
    let files = |text: &str| BTreeMap::from([("timestamp.json".to_owned(), text.to_owned())]);
    records.prove("main", files("new"), (9, 8)).await.unwrap();
    // A server that was asleep comes with what it knew.
    world.open("two").await.store.catalogs().prove("main", files("old"), (7, 6)).await.unwrap();
    let proved = CatalogRecord { metadata: files("new"), proved: 9, version: 8, ..main_catalog() };
    assert_eq!(records.catalogs().await.unwrap(), [proved]);
    assert!(records.remove("main", "tester".into()).await.unwrap());
    assert!(!records.remove("main", "tester".into()).await.unwrap());
    let noted =
        "SELECT count(*) FROM plugin_journal WHERE what IN ('catalog-added', 'catalog-removed') AND actor = 'tester'";
    assert_eq!(world.sql(noted), "2");
}

#[trial(with = crate::on_each_database)]
async fn installs_are_whole_and_intents_are_found_again(world: World) {
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    let records = node.store.catalogs();
    let id = records.begin("{\"steps\":[]}".to_owned(), "tester".into()).await.unwrap();
    records.advance(id, "placed", None).await.unwrap();
    let unfinished = records.unfinished().await.unwrap();
    assert_eq!((unfinished[0].id, &*unfinished[0].state, &*unfinished[0].actor), (id, "placed", "tester"));
    assert!(world.open("two").await.store.catalogs().unfinished().await.unwrap().is_empty(), "it is another server's");
    let install = CatalogInstall {
        plugin: "alpha".to_owned(),
        catalog: "main".to_owned(),
        version: "1.2.0".to_owned(),
        digest: "00".to_owned(),
        wanted: "^1".to_owned(),
        dependencies: BTreeMap::from([("beta".to_owned(), "*".to_owned())]),
    };
    records.complete(id, vec![(install.clone(), "RWQ".to_owned())], "tester".into()).await.unwrap();
    assert_eq!(records.installs().await.unwrap(), std::slice::from_ref(&install));
    let bound = CatalogName { plugin: "alpha".to_owned(), catalog: "main".to_owned(), publisher: "RWQ".to_owned() };
    assert_eq!(records.names().await.unwrap(), [bound]);
    assert!(records.unfinished().await.unwrap().is_empty());
    let later = CatalogInstall { version: "1.3.0".to_owned(), ..install };
    let id = records.begin("{}".to_owned(), "tester".into()).await.unwrap();
    records.complete(id, vec![(later, "RWQ".to_owned())], "tester".into()).await.unwrap();
    assert_eq!(world.sql("SELECT version FROM installed_plugins WHERE name = 'alpha'"), "1.3.0");
    let id = records.begin("{}".to_owned(), "tester".into()).await.unwrap();
    records.advance(id, "undone", Some("the disk is full".to_owned())).await.unwrap();
    assert_eq!(world.sql("SELECT reason FROM catalog_intents WHERE state = 'undone'"), "the disk is full");
}

#[trial(with = crate::on_each_database)]
async fn what_policies_did_is_done_once(world: World) {
    let one = world.open("one").await.store.catalogs();
    let two = world.open("two").await.store.catalogs();
    let advised = |disabled| AdvisedPlugin {
        plugin: "alpha".to_owned(),
        version: "1.0.0".to_owned(),
        advisory: "CAM-2026-0001".to_owned(),
        disabled,
        at: SystemTime::now(),
    };
    let tell = async |records: &camlock_store::CatalogRecords, disabled| {
        records.advise(advised(disabled), "it leaks".to_owned(), "catalog:main".into()).await.unwrap()
    };
    assert!(tell(&one, false).await);
    assert!(!tell(&two, false).await, "it was told");
    assert!(tell(&two, true).await, "then somebody had it disabled");
    assert!(!tell(&one, true).await && !tell(&one, false).await);
    let there = one.advised().await.unwrap();
    assert_eq!((there.len(), there[0].disabled, &*there[0].advisory), (1, true, "CAM-2026-0001"));
    let noted =
        "SELECT count(*) FROM plugin_journal WHERE what IN ('advisory', 'advisory-disabled') AND plugin = 'alpha'";
    assert_eq!(world.sql(noted), "2");
    assert!(one.try_update("alpha", "1.1.0").await.unwrap());
    assert!(!two.try_update("alpha", "1.1.0").await.unwrap(), "another one tries it");
    assert!(two.try_update("alpha", "1.2.0").await.unwrap());
}
