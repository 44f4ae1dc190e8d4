//! What is kept of plugins in organisations' repositories: all of it or nothing, and known to every server of a fleet.

use crate::world::*;
use camlock_policy::{DiscoveryRecord, DiscoveryRecords, RepositoryDocument};
use camlock_testing::trial;
use std::collections::BTreeMap;

fn kept(plugin: Option<&str>, document: &str) -> RepositoryDocument {
    RepositoryDocument {
        plugin: plugin.map(str::to_owned),
        version: plugin.map(|_| "v1.0.0".to_owned()),
        document: document.to_owned(),
    }
}

fn organization(name: &str, repositories: &[(&str, RepositoryDocument)]) -> DiscoveryRecord {
    DiscoveryRecord {
        organization: name.to_owned(),
        revision: 0,
        scan: "{\"at\":1}".to_owned(),
        repositories: repositories.iter().map(|(name, kept)| ((*name).to_owned(), kept.clone())).collect(),
    }
}

#[trial(with = crate::on_each_database)]
async fn what_one_server_discovered_others_know(world: World) {
    let (one, two) = (world.open("one").await, world.open("two").await);
    let (here, there) = (one.store.discovery(), two.store.discovery());
    let load = async |known| there.load("acme".to_owned(), known).await.unwrap();
    assert_eq!(load(0).await, None, "nothing is known yet");

    let alpha = ("alpha", kept(Some("alpha"), "{\"commit\":\"1\"}"));
    let first = organization("acme", &[alpha.clone(), ("notes", kept(None, "{}"))]);
    let revision = here.save(first.clone()).await.unwrap();
    here.save(organization("others", std::slice::from_ref(&alpha))).await.unwrap();
    let found = load(0).await.unwrap();
    assert_eq!(found, DiscoveryRecord { revision, ..first });
    assert_eq!(load(revision).await, None, "it is what is known already");
    assert_eq!(world.sql("SELECT name FROM discovered_plugins WHERE organization = 'acme'"), "alpha");

    // What is gone is gone, what has changed is as it is now, and nothing else is touched.
    let changed_at =
        "SELECT changed_at FROM discovery_repositories WHERE organization = 'acme' AND repository = 'alpha'";
    let before = world.sql(changed_at);
    let second = organization("acme", &[alpha.clone(), ("beta", kept(Some("beta"), "it's \"new\""))]);
    let later = there.save(DiscoveryRecord { revision, ..second.clone() }).await.unwrap();
    assert!(later > revision);
    let found = here.load("acme".to_owned(), revision).await.unwrap().unwrap();
    assert_eq!(found, DiscoveryRecord { revision: later, ..second });
    assert_eq!(world.sql(changed_at), before);

    // Who comes with an old revision brings none back.
    let newest = here.save(organization("acme", &[])).await.unwrap();
    assert!(newest > later);

    // What was cleared is not known any more, to nobody, and what is found then is new to all.
    here.save(organization("acme", std::slice::from_ref(&alpha))).await.unwrap();
    here.clear("acme".to_owned()).await.unwrap();
    here.clear("nobody".to_owned()).await.unwrap();
    let cleared = load(newest).await.unwrap();
    assert_eq!((&*cleared.scan, cleared.repositories), ("", BTreeMap::new()));
    let anew = here.save(organization("acme", &[alpha])).await.unwrap();
    assert!(anew > cleared.revision);
    assert_eq!(world.sql("SELECT count(*) FROM discovered_plugins"), "2", "that of others is as it was");
}

/// As many as a large organisation has.
#[trial(with = crate::on_each_database)]
async fn thousands_of_repositories_are_kept(world: World) {
    let node = world.open("one").await;
    let records = node.store.discovery();
    let names: Vec<String> = (0..2_000).map(|number| format!("repository-{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), kept(Some(name), "{}"))).collect();
    let all = organization("acme", &many);
    records.save(all.clone()).await.unwrap();
    let found = records.load("acme".to_owned(), 0).await.unwrap().unwrap();
    assert_eq!(found.repositories, all.repositories);
}
