//! Secrets of configurations as rows, and the word of a fleet's key.

use crate::world::*;
use camlock_policy::{
    MASK, SealedSecret, SealedSecrets,
    registry::{Decision, Newcomer, NotDecided},
};
use camlock_store::{Store, TroubleKind};
use camlock_testing::trial;
use serde_json::json;
use std::{
    fs,
    time::{Duration, Instant},
};

fn sealed(key: &str, bytes: &[u8]) -> SealedSecret {
    SealedSecret { key_id: key.to_owned(), bytes: bytes.to_vec() }
}

fn configured(config: serde_json::Value, secrets: &[(&str, SealedSecret)]) -> Decision {
    let secrets = secrets.iter().map(|(pointer, sealed)| ((*pointer).to_owned(), sealed.clone())).collect();
    Decision { config: Some(config), secrets, ..Decision::default() }
}

#[trial(with = crate::on_each_database)]
async fn they_are_part_of_a_record(world: World) {
    let node = world.open("one").await;
    node.store.key().propose(sealed("first", b"check")).await.unwrap();
    let before = node.register(&["alpha", "beta"]).await.remove(0);
    let (one, two) = (sealed("first", &[0, 255, 7]), sealed("first", b"two"));
    let masked = json!({"a": MASK, "b": [MASK], "c": 1});
    let after = node.decide("alpha", configured(masked.clone(), &[("/a", one.clone()), ("/b/0", two.clone())])).await;
    let expected: SealedSecrets = [("/a".to_owned(), one.clone()), ("/b/0".to_owned(), two)].into();
    assert_eq!((&after.config, &after.secrets), (&masked, &expected));
    assert!(after.revision > before.revision);
    assert_eq!(node.record("alpha").await, Some(after.clone()));
    assert_eq!(node.record("beta").await.unwrap().secrets, SealedSecrets::new());
    // What is as it was is no decision; where the mask stays, so does what it stands for.
    assert_eq!(node.decide("alpha", configured(masked, &[])).await, after);
    node.quiet().await;
    let other = sealed("first", b"other");
    let alone = node.decide("alpha", configured(json!({"a": MASK, "b": [], "c": 1}), &[("/a", other.clone())])).await;
    assert_eq!(alone.secrets, [("/a".to_owned(), other.clone())].into());
    node.until_told("alpha").await;
    assert_eq!(world.sql("SELECT count(*) FROM plugin_secrets"), "1");
    let noted = |what: &str| world.sql(&format!("SELECT count(*) FROM plugin_journal WHERE what = '{what}'"));
    assert_eq!((noted("secret-set"), noted("secret-removed")), ("3".to_owned(), "1".to_owned()));

    // A configuration that was written over by hand counts, and nothing comes back when somebody orders anew.
    world.sql("UPDATE plugins SET config = '{\"a\": 1}' WHERE name = 'alpha'");
    assert_eq!(node.record("alpha").await.unwrap().secrets, SealedSecrets::new());
    node.decide("alpha", configured(json!({"a": 2}), &[])).await;
    assert_eq!(world.sql("SELECT count(*) FROM plugin_secrets"), "0");

    // They go with their plugin, and when its record begins anew.
    node.decide("alpha", configured(json!({"a": MASK}), &[("/a", one.clone())])).await;
    node.decide("beta", configured(json!({"a": MASK}), &[("/a", one)])).await;
    world.sql("DELETE FROM plugins WHERE name = 'beta'");
    node.decide("alpha", Decision { remove: true, ..Decision::default() }).await;
    let again = node.registry.register(vec![Newcomer { ..newcomer("alpha") }]).await.unwrap().remove(0);
    assert_eq!((again.config, again.secrets), (json!({}), SealedSecrets::new()));
    assert_eq!(world.sql("SELECT count(*) FROM plugin_secrets"), "0");
}

#[trial(with = crate::on_each_database)]
async fn who_comes_first_names_the_key(world: World) {
    let (one, two) = (world.open("one").await, world.open("two").await);
    assert_eq!(one.store.key().check().await, Ok(None));
    let (mine, theirs) = (one.store.key(), two.store.key());
    let both = tokio::join!(mine.propose(sealed("first", b"1")), theirs.propose(sealed("second", b"2")));
    let (first, second) = (both.0.unwrap(), both.1.unwrap());
    assert_eq!(first, second);
    assert_eq!(two.store.key().check().await, Ok(Some(first.clone())));
    assert_eq!(world.sql("SELECT key_id FROM secrets_key"), first.key_id);
    // Nothing is put on record that was sealed with another.
    one.register(&["alpha"]).await;
    let wrong = configured(json!({"a": MASK}), &[("/a", sealed("third", b"x"))]);
    let refused = one.registry.decide("alpha", wrong, "tester".into(), None).await;
    assert!(matches!(&refused, Err(NotDecided::Unavailable(why)) if why.0.contains(&first.key_id)), "{refused:?}");
    assert_eq!(one.record("alpha").await.unwrap().config, json!({}));
    let looked = Store::secrets(&world.url, &world.options("look")).await.unwrap();
    assert_eq!((looked.check, looked.plugins.len()), (Some(first), 0));
}

#[trial(with = crate::on_each_database)]
async fn all_are_sealed_anew_or_none(world: World) {
    let node = world.open("one").await;
    node.store.key().propose(sealed("first", b"check")).await.unwrap();
    node.register(&["alpha", "beta"]).await;
    for name in ["alpha", "beta"] {
        let secret = sealed("first", name.as_bytes());
        node.decide(name, configured(json!({"a": MASK}), &[("/a", secret)])).await;
    }
    let before = node.read().await.records;
    let anew = async |from: &str, fails: &str| {
        let reseal = |plugin: &str, pointer: &str, secret: &SealedSecret| {
            assert_eq!((pointer, &secret.bytes[..]), ("/a", plugin.as_bytes()));
            if plugin == fails { Err("it is damaged".to_owned()) } else { Ok(sealed("second", b"anew")) }
        };
        Store::reseal(&world.url, &world.options("rotate"), (from, sealed("second", b"proof")), &reseal).await
    };
    for (from, fails, why) in [("first", "beta", "it is damaged"), ("other", "", "the key is first by now")] {
        let trouble = anew(from, fails).await.unwrap_err();
        assert_eq!((trouble.kind, trouble.sentence), (TroubleKind::Settings, format!("{why}; nothing was changed")));
        assert_eq!(node.read().await.records, before);
        assert_eq!(node.store.key().check().await, Ok(Some(sealed("first", b"check"))));
    }
    node.quiet().await;
    assert_eq!(anew("first", "").await, Ok(2));
    node.until_told("alpha").await;
    let after = node.read().await.records;
    assert!(after.iter().all(|record| record.secrets["/a"] == sealed("second", b"anew")), "{after:?}");
    assert!(after[0].revision > before[0].revision && after[0].config == before[0].config);
    assert_eq!(node.store.key().check().await, Ok(Some(sealed("second", b"proof"))));
    let noted = "SELECT what, actor, node IS NULL FROM plugin_journal WHERE what LIKE 'secret%' ORDER BY id";
    let noted = world.sql(noted).replace(['t', 'f'], "x");
    assert!(noted.ends_with("secrexs-roxaxed|admin|1") || noted.ends_with("secrexs-roxaxed|admin|x"), "{noted}");
    assert_eq!(noted.lines().count(), 3, "{noted}");
}

/// What lay in plain is neither in the file any more nor in its log.
#[trial(with = crate::on_sqlite)]
async fn what_lay_in_plain_is_gone_from_the_file() {
    let world = World::new(Kind::Sqlite);
    let node = world.open("one").await;
    node.store.key().propose(sealed("first", b"check")).await.unwrap();
    node.register(&["alpha"]).await;
    // Long enough for pages of its own.
    let secret = format!("open-sesame-{}", "x".repeat(9_000));
    world.sql(&format!("UPDATE plugins SET config = '{{\"a\": \"{secret}\"}}' WHERE name = 'alpha'"));
    let record = node.record("alpha").await.unwrap();
    assert_eq!(record.config["a"], secret.as_str());
    let there = || {
        let lies = |end: &str| {
            let bytes = fs::read(format!("{}{end}", world.file().display())).unwrap_or_default();
            bytes.windows(11).any(|window| window == b"open-sesame")
                || bytes.windows(64).any(|window| window == [b'x'; 64])
        };
        ["", "-wal"].iter().any(|end| lies(end))
    };
    assert!(there());
    node.decide("alpha", configured(json!({"a": MASK}), &[("/a", sealed("first", b"sealed"))])).await;
    let began = Instant::now();
    while there() {
        assert!(began.elapsed() < PATIENCE, "it is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
