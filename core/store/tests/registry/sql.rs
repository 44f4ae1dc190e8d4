//! What an operator does with SQL, from a client that knows nothing of us.

use crate::world::*;
use camlock_policy::registry::RegistryChange;
use camlock_policy::{Digest, Fingerprint, Grants, Kept, registry::Record};
use camlock_testing::trial;
use serde_json::json;
use std::time::SystemTime;

#[trial(with = crate::on_each_database)]
async fn toggle(world: World) {
    let node = world.open("one").await;
    let before = node.register(&["alpha", "beta"]).await.remove(0);
    node.quiet().await;
    world.sql("UPDATE plugins SET enabled = false WHERE name = 'alpha'");
    node.until_told("alpha").await;
    let after = node.record("alpha").await.unwrap();
    assert!(!after.enabled && after.revision > before.revision);
    node.quiet().await;
    // The same again is nothing new.
    world.sql("UPDATE plugins SET enabled = false, updated_at = updated_at WHERE name = 'alpha'");
    assert_eq!(node.record("alpha").await, Some(after));
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(node.heard(), []);
}

#[trial(with = crate::on_each_database)]
async fn config(world: World) {
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    world.sql(r#"UPDATE plugins SET config = '{"limit": 7}' WHERE name = 'alpha'"#);
    assert_eq!(node.record("alpha").await.unwrap().config, json!({"limit": 7}));
    for bad in ["[1]", "7", "{"] {
        let refused = world.try_sql(&format!("UPDATE plugins SET config = '{bad}' WHERE name = 'alpha'"));
        // SQLite cannot check it there; the last one goes on.
        assert_eq!(refused.is_err(), world.kind == Kind::Postgres, "{bad}");
        assert_eq!(node.record("alpha").await.unwrap().config, json!({"limit": 7}), "{bad}");
    }
    world.sql("UPDATE plugins SET config = '{}' WHERE name = 'alpha'");
    assert_eq!(node.record("alpha").await.unwrap().config, json!({}));
}

#[trial(with = crate::on_each_database)]
async fn grants(world: World) {
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    node.quiet().await;
    world.sql("INSERT INTO plugin_grants (plugin, granted) VALUES ('alpha', 'storage  tasks')");
    node.until_told("alpha").await;
    let granted = node.record("alpha").await.unwrap().grants;
    assert_eq!(granted, Grants::these(["storage", "tasks"]).ok());
    // What is no permission grants nothing, and that is told.
    world.sql("UPDATE plugin_grants SET granted = 'storage root' WHERE plugin = 'alpha'");
    assert_eq!(node.record("alpha").await.unwrap().grants, Grants::these(["storage"]).ok());
    let told = "SELECT count(*) FROM plugin_journal WHERE what = 'grants-refused'";
    let began = std::time::Instant::now();
    while world.sql(told) != "1" {
        assert!(began.elapsed() < PATIENCE, "it is told once");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.sql("UPDATE plugin_grants SET granted = 'asked' WHERE plugin = 'alpha'");
    assert_eq!(node.record("alpha").await.unwrap().grants, Some(Grants::Asked));
    world.sql("DELETE FROM plugin_grants");
    assert_eq!(node.record("alpha").await.unwrap().grants, None);
    for bad in ["\"quoted\"", "back\\slash", "two\nlines"] {
        let insert = format!("INSERT INTO plugin_grants (plugin, granted) VALUES ('alpha', '{bad}')");
        assert!(world.try_sql(&insert).is_err(), "{bad}");
    }
    let source = "UPDATE plugins SET source = 'elsewhere' WHERE name = 'alpha'";
    assert!(world.try_sql(source).is_err());
}

#[trial(with = crate::on_each_database)]
async fn delete_and_insert(world: World) {
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    node.registry.report(vec![serving("alpha", "x")]).await.unwrap();
    node.quiet().await;
    world.sql("DELETE FROM plugins WHERE name = 'alpha'");
    node.until_told("alpha").await;
    assert_eq!(node.record("alpha").await, None);
    assert!(node.read().await.seen.is_empty(), "it begins anew");
    world.sql("INSERT INTO plugins (name, enabled) VALUES ('beta', false)");
    node.until_told("beta").await;
    let record = node.record("beta").await.unwrap();
    let newcomer = camlock_policy::registry::Newcomer { enabled: false, ..newcomer("beta") };
    assert_eq!(record, Record::of(&newcomer, record.revision, record.registered));
    assert!(record.revision > 1);
    let refused = world.try_sql("UPDATE plugins SET name = 'c' WHERE name = 'beta'").unwrap_err();
    assert!(refused.contains("cannot be changed: it is the name of its package"), "{refused}");
}

#[trial(with = crate::on_each_database)]
async fn artifact_and_version(world: World) {
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    let exchange = node.store.exchange();
    for version in ["1.0.0", "2.0.0"] {
        let file = world.directory.path().join(version);
        std::fs::write(&file, version).unwrap();
        let kept = Kept {
            name: "alpha".to_owned(),
            version: version.to_owned(),
            fingerprint: Fingerprint(format!("sources of {version}")),
            digest: Digest::of(version.as_bytes()),
            at: SystemTime::now(),
        };
        exchange.offer(&kept, Some(file)).await.unwrap();
    }
    let (one, two) = (Digest::of(b"1.0.0"), Digest::of(b"2.0.0"));
    world.sql("UPDATE plugins SET version = '2.0.0' WHERE name = 'alpha'");
    let agreed = node.record("alpha").await.unwrap().agreed.unwrap();
    assert_eq!((agreed.digest, agreed.fingerprint), (two, Some(Fingerprint("sources of 2.0.0".to_owned()))));
    world.sql(&format!("UPDATE plugins SET artifact_digest = '{one}' WHERE name = 'alpha'"));
    let agreed = node.record("alpha").await.unwrap().agreed.unwrap();
    assert_eq!((agreed.digest, agreed.fingerprint, agreed.version.as_str()), (one, None, "1.0.0"));
    let unknown = Digest::of(b"somewhere else");
    world.sql(&format!("UPDATE plugins SET artifact_digest = '{unknown}' WHERE name = 'alpha'"));
    let agreed = node.record("alpha").await.unwrap().agreed.unwrap();
    assert_eq!((agreed.digest, agreed.version.as_str()), (unknown, "1.0.0"));
    let refused = world.try_sql("UPDATE plugins SET version = '9.9.9' WHERE name = 'alpha'").unwrap_err();
    assert!(refused.contains("there is no artifact of "), "{refused}");
    assert!(world.try_sql("UPDATE plugins SET artifact_digest = 'abc' WHERE name = 'alpha'").is_err());
    assert_eq!(node.record("alpha").await.unwrap().agreed, Some(agreed));
}

/// Thousands of rows in one statement are heard of in a few words.
#[trial(with = crate::on_each_database)]
async fn in_bulk(world: World) {
    let node = world.open("one").await;
    let names: Vec<_> = (0..5_000).map(|number| newcomer(&format!("plugin-{number}"))).collect();
    node.registry.register(names).await.unwrap();
    node.quiet().await;
    world.sql("UPDATE plugins SET enabled = false");
    let mut told = std::collections::BTreeSet::new();
    let mut times = 0;
    let began = std::time::Instant::now();
    while told.len() < 5_000 {
        assert!(began.elapsed() < PATIENCE, "{} were told of", told.len());
        for change in node.heard() {
            if let RegistryChange::Plugins(names) = change {
                times += 1;
                told.extend(names);
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert!(times <= 20, "{times} times");
    assert!(node.read().await.records.iter().all(|record| !record.enabled));
}
