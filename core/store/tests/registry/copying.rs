//! A registry that moves into the other database, or into another one of the same kind.

use crate::world::*;
use camlock_policy::{
    Digest, Endpoint, Fingerprint, Grants, Kept, MASK, PluginSource, SealedSecret,
    registry::{Decision, EventId, EventQuery, Happened, NewToken, Role, Served},
};
use camlock_store::{Copied, Store, Trouble, TroubleKind};
use camlock_testing::trial;
use serde_json::json;
use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};

/// All that is copied, and how each database is asked for it in the same words. Times are milliseconds.
const CONTENTS: &[(&str, &str)] = &[
    (
        "plugins",
        "name, enabled, version, kind, source_path, artifact_digest, fingerprint, config, reloads, removed, source, purge, revision, \
         registered, @created_at, @updated_at",
    ),
    ("plugin_grants", "plugin, source, granted, @at"),
    ("plugin_secrets", "plugin, pointer, key_id, #sealed, @at"),
    ("secrets_key", "key_id, #sealed, @at"),
    ("plugin_quarantine", "plugin, digest, reason, @at"),
    ("plugin_endpoints", "plugin, method, path, source"),
    ("plugin_journal", "id, @at, node, plugin, generation, what, actor, detail"),
    ("artifacts", "number, digest, plugin, fingerprint, version, size, elsewhere, node, @created_at"),
    ("artifact_bytes", "digest, #bytes"),
    ("api_tokens", "id, name, role, hash, @created_at, @expires_at, @revoked_at"),
];

/// What a table holds, as text that does not tell which database it is in.
fn contents(world: &World, table: &str, columns: &str) -> String {
    let column = |column: &str| match (world.kind, column.split_at(1)) {
        (Kind::Sqlite, ("@", time)) => format!("CAST(round((julianday({time}) - 2440587.5) * 86400000) AS INTEGER)"),
        (Kind::Postgres, ("@", time)) => format!("CAST(round(extract(epoch FROM {time}) * 1000) AS BIGINT)"),
        (Kind::Sqlite, ("#", bytes)) => format!("lower(hex({bytes}))"),
        (Kind::Postgres, ("#", bytes)) => format!("encode({bytes}, 'hex')"),
        // As SQLite shows flags, and with documents in one notation.
        (Kind::Postgres, _) if ["enabled", "removed", "purge", "elsewhere"].contains(&column) => {
            format!("CAST({column} AS INT)")
        }
        (Kind::Postgres, _) if ["config", "detail"].contains(&column) => format!("CAST({column} AS TEXT)"),
        _ => column.to_owned(),
    };
    let columns: Vec<_> = columns.split(", ").map(|name| column(name.trim())).collect();
    let rows = world.sql(&format!("SELECT {} FROM {table} ORDER BY 1, 2", columns.join(", ")));
    let mut lines: Vec<String> = rows.lines().map(|line| line.replace(": ", ":").replace(", ", ",")).collect();
    lines.sort();
    lines.join("\n")
}

fn all(world: &World) -> Vec<String> {
    CONTENTS.iter().map(|(table, columns)| format!("{table}\n{}", contents(world, table, columns))).collect()
}

fn other(kind: Kind) -> Kind {
    if kind == Kind::Sqlite { Kind::Postgres } else { Kind::Sqlite }
}

async fn copy(from: &World, to: &World) -> Result<Copied, Trouble> {
    Store::copy(&from.url, &to.url, &from.options("copy")).await
}

async fn refused(from: &World, to: &World) -> String {
    let trouble = copy(from, to).await.unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Settings, "{trouble}");
    trouble.sentence
}

/// What a fleet of two leaves behind that has decided all there is to decide.
async fn lived_in(world: &World) {
    let (one, two) = (world.open("one").await, world.open("two").await);
    one.register(&["alpha", "beta", "gamma", "delta"]).await;
    for (plugin, sources, version) in [("alpha", "a1", "1.0.0"), ("alpha", "a2", "1.1.0"), ("beta", "b1", "0.1.0")] {
        let file = world.directory.path().join(sources);
        // No text: every byte there is.
        let salt = sources.bytes().fold(0_u8, |salt, byte| salt.wrapping_mul(3).wrapping_add(byte));
        let bytes: Vec<u8> = (0..70_000_u32).map(|number| (number % 256) as u8 ^ salt).collect();
        fs::write(&file, &bytes).unwrap();
        let kept = Kept {
            name: plugin.to_owned(),
            version: version.to_owned(),
            fingerprint: Fingerprint(sources.to_owned()),
            digest: Digest::of(&bytes),
            at: SystemTime::now(),
        };
        one.store.exchange().offer(&kept, Some(file)).await.unwrap();
    }
    let kept = Kept {
        name: "gamma".to_owned(),
        version: "2.0.0".to_owned(),
        fingerprint: Fingerprint("elsewhere".to_owned()),
        digest: Digest::of(b"elsewhere"),
        at: SystemTime::now(),
    };
    two.store.exchange().offer(&kept, None).await.unwrap();
    // An operator's word, which agrees on what is known.
    world.sql("UPDATE plugins SET version = '1.0.0' WHERE name = 'alpha'");
    let decide = |name: &'static str, decision| one.decide(name, decision);
    let config = json!({ "most": 7, "text": "ü \"quoted\" \\ |\n", "list": [1, 2.5, null] });
    decide("alpha", Decision { config: Some(config), reload: true, ..Decision::default() }).await;
    decide("beta", Decision { enabled: Some(false), ..Decision::default() }).await;
    let quarantine = Some((Digest::of(b"bad"), "it \"panicked\" | twice".to_owned()));
    decide("beta", Decision { quarantine, ..Decision::default() }).await;
    let storage = Grants::these(["storage", "network:*"]).ok();
    decide("alpha", Decision { arrival: Some((PluginSource::Upload, storage)), ..Decision::default() }).await;
    decide("gamma", Decision { remove: true, ..Decision::default() }).await;
    let sealed = |bytes: &[u8]| SealedSecret { key_id: "the key".to_owned(), bytes: bytes.to_vec() };
    one.store.key().propose(sealed(b"check")).await.unwrap();
    let secrets = [("/password".to_owned(), sealed(&[0, 1, 254, 255]))].into();
    let config = Some(json!({ "password": MASK }));
    decide("beta", Decision { config, secrets, ..Decision::default() }).await;
    // The greatest revision is that of what is no more.
    world.sql("DELETE FROM plugins WHERE name = 'delta'");
    let endpoint = |path: &str| Endpoint { method: "GET".to_owned(), path: path.to_owned(), source: "openapi".into() };
    let endpoints = Some(vec![endpoint("/hello"), endpoint("/hello/{name}")]);
    one.registry.report(vec![Served { endpoints, ..serving("alpha", "a1") }]).await.unwrap();
    let tokens = one.store.tokens();
    for (name, role, expires) in
        [("ci", Role::Operator, Some(3_600)), ("look", Role::Viewer, None), ("old", Role::Admin, None)]
    {
        let hash = Digest::of(name.as_bytes());
        let expires = expires.map(|seconds| SystemTime::now() + Duration::from_secs(seconds));
        let new = NewToken { name: name.to_owned(), role, hash, expires };
        let made = tokens.create(new, "tester".into()).await.unwrap().unwrap();
        if name == "old" {
            assert!(tokens.revoke(made.id, "tester".into()).await.unwrap());
        }
    }
    for number in 0..3 {
        one.registry.note(Happened {
            plugin: Some("alpha".to_owned()),
            generation: Some(number),
            what: "serving",
            by: "filesystem".into(),
            detail: json!({ "stages": { "build": 1_234 } }),
            // What is old is pruned by whoever opens the registry.
            at: SystemTime::now() - Duration::from_millis(3_600_123 - number),
        });
    }
    one.store.end().await;
    two.store.end().await;
    // Longer than is read at once.
    let many = match world.kind {
        Kind::Sqlite => {
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) \
             INSERT INTO plugin_journal (what, actor, detail) SELECT 'many', 'tester', '{\"n\":' || i || '}' FROM n"
        }
        Kind::Postgres => {
            "INSERT INTO plugin_journal (what, actor, detail) \
             SELECT 'many', 'tester', jsonb_build_object('n', i) FROM generate_series(1, 2500) AS i"
        }
    };
    world.sql(many);
}

#[trial(with = crate::on_each_database)]
async fn everything(world: World) {
    lived_in(&world).await;
    for kind in [other(world.kind), world.kind] {
        let target = World::new(kind);
        let before = all(&world);
        let copied = copy(&world, &target).await.unwrap();
        assert_eq!(all(&world), before, "the source is only read");
        for (copy, original) in all(&target).into_iter().zip(before) {
            assert_eq!(copy, original);
            assert!(copy.lines().count() > 1, "{copy}");
        }
        let events: usize = world.sql("SELECT count(*) FROM plugin_journal").parse().unwrap();
        assert!(events > 2_500);
        let expected = Copied {
            plugins: 3,
            granted: 1,
            secrets: 1,
            quarantined: 1,
            endpoints: 2,
            events,
            artifacts: 4,
            shared: 3,
            tokens: 3,
        };
        assert_eq!(copied, expected);
        let nothing = "SELECT (SELECT count(*) FROM nodes) + (SELECT count(*) FROM node_plugins) \
             + (SELECT count(*) FROM rollouts) + (SELECT count(*) FROM build_rights)";
        assert_eq!(target.sql(nothing), "0");
        as_good_as_any(&world, &target).await;
    }
}

/// Servers read from the copy what they read from the original, and what is decided from now on comes after it.
async fn as_good_as_any(world: &World, copy: &World) {
    let (old, new) = (world.open("old").await, copy.open("new").await);
    assert_eq!(new.read().await.records, old.read().await.records);
    assert_eq!(new.store.tokens().known(), old.store.tokens().known());
    let digest = old.record("alpha").await.unwrap().agreed.unwrap().digest;
    let fetched = async |node: &Node| fs::read(node.store.exchange().fetch(digest).await.unwrap().unwrap()).unwrap();
    assert!(fetched(&new).await == fetched(&old).await);
    assert_eq!(Digest::of(&fetched(&new).await), digest);
    let query = EventQuery { after: Some(EventId::default()), limit: 1_000, ..EventQuery::default() };
    let events = async |node: &Node| {
        let mut page = node.store.archive().events(query.clone()).await.unwrap();
        page.events.iter_mut().for_each(|event| event.id.transaction = 0);
        page.events
    };
    assert_eq!(events(&new).await, events(&old).await);

    let greatest =
        |table: &str, column: &str| -> u64 { copy.sql(&format!("SELECT max({column}) FROM {table}")).parse().unwrap() };
    let revision = new.read().await.records.iter().map(|record| record.revision).max().unwrap();
    let (event, token) = (greatest("plugin_journal", "id"), greatest("api_tokens", "id"));
    new.quiet().await;
    copy.sql("UPDATE plugins SET enabled = true WHERE name = 'beta'");
    new.until_told("beta").await;
    let after = new.record("beta").await.unwrap();
    assert!(after.enabled && after.revision > revision + 1, "one was deleted: {} {revision}", after.revision);
    let query =
        EventQuery { after: Some(EventId { transaction: 0, number: event }), limit: 9, ..EventQuery::default() };
    let began = Instant::now();
    let page = loop {
        let page = new.store.archive().events(query.clone()).await.unwrap();
        if !page.events.is_empty() {
            break page;
        }
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!((page.events.len(), page.events[0].what.as_str()), (1, "enabled"), "{page:?}");
    assert!(page.events[0].id.number > event);
    let new_token = NewToken { name: "new".to_owned(), role: Role::Admin, hash: Digest::of(b"new"), expires: None };
    let made = new.store.tokens().create(new_token, "tester".into()).await.unwrap().unwrap();
    assert!(made.id > token);
    new.register(&["epsilon"]).await;
    let registered = new.record("epsilon").await.unwrap();
    assert!(registered.revision > after.revision && registered.registered == registered.revision);
    // Its triggers are those of any other.
    let triggers = match copy.kind {
        Kind::Sqlite => "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
        Kind::Postgres => {
            "SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgname NOT LIKE 'RI_%' ORDER BY 1, 2"
        }
    };
    let fresh = World::new(copy.kind);
    fresh.open("fresh").await.store.end().await;
    assert_eq!(copy.sql(triggers), fresh.sql(triggers));
    old.store.end().await;
    new.store.end().await;
}

/// In PostgreSQL the order is that of transactions. A number out of that order is given anew; the others stay.
#[trial(with = crate::on_postgres)]
async fn the_order_of_transactions() {
    let world = World::new(Kind::Postgres);
    world.open("one").await.store.end().await;
    for (id, what) in [(10, "first"), (30, "second"), (20, "third"), (21, "fourth"), (40, "fifth")] {
        world.sql(&format!("INSERT INTO plugin_journal (id, what, actor) VALUES ({id}, '{what}', 'tester')"));
    }
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let target = World::new(kind);
        assert_eq!(copy(&world, &target).await.unwrap().events, 5);
        let entries = target.sql("SELECT id, what FROM plugin_journal ORDER BY id");
        assert_eq!(entries, "10|first\n30|second\n31|third\n32|fourth\n40|fifth");
    }
}

/// While somebody decides, the copy is of one moment.
#[trial(with = crate::on_each_database)]
async fn while_it_is_used(world: World) {
    lived_in(&world).await;
    let busy = world.open("busy").await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let deciding = tokio::spawn(async move {
        let mut number = 0;
        while stopped.try_recv().is_err() {
            busy.register(&[&format!("busy-{number}")]).await;
            number += 1;
        }
        (busy, number)
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let target = World::new(other(world.kind));
    let copied = copy(&world, &target).await.unwrap();
    stop.send(()).unwrap();
    let (busy, decided) = deciding.await.unwrap();
    // Each has its entry, in the same transaction.
    let entries = "SELECT count(*) FROM plugin_journal WHERE what = 'registered' AND plugin LIKE 'busy-%'";
    let plugins = "SELECT count(*) FROM plugins WHERE name LIKE 'busy-%'";
    assert_eq!(target.sql(entries), target.sql(plugins));
    assert!(copied.plugins > 3 && copied.plugins < 3 + decided, "{} of {decided}", copied.plugins);
    assert_eq!(busy.store.trouble(), None);
}

#[trial(with = crate::on_each_database)]
async fn what_is_refused(world: World) {
    // Nothing to copy: and nothing is made by looking for it.
    let (empty, target) = (World::new(world.kind), World::new(other(world.kind)));
    let told = refused(&empty, &target).await;
    assert!(told.starts_with("there is no registry in ") && told.ends_with("; nothing was copied"), "{told}");
    assert!(!empty.file().exists() && !target.file().exists());

    // Itself, and one that is in use.
    lived_in(&world).await;
    assert!(refused(&world, &world).await.contains(" is in use: there is something in `plugins`. Nothing was copied"));
    let node = target.open("one").await;
    let told = refused(&world, &target).await;
    assert!(told.contains(&format!("the server {} runs on it, end it first", node.store.node())), "{told}");
    node.register(&["theirs"]).await;
    node.store.end().await;
    let before = all(&target);
    let told = refused(&world, &target).await;
    assert!(told.ends_with(
        "is in use: there is something in `plugins`. Nothing was copied, nothing changed: name an empty one"
    ));
    assert_eq!(all(&target), before);
    // One that had a server, and never anything else, is as good as none.
    let target = World::new(other(world.kind));
    target.open("one").await.store.end().await;
    target.sql("DELETE FROM plugin_journal");
    copy(&world, &target).await.unwrap();

    // Older ones.
    let older = World::new(world.kind);
    older.open("one").await.store.end().await;
    Store::take_down(&older.url, &older.options("one"), 1).await.unwrap();
    let told = refused(&older, &World::new(Kind::Sqlite)).await;
    assert!(
        told.contains("was written by an older Camlock; nothing was copied: `camlock migrate` with that"),
        "{told}"
    );
    let told = refused(&world, &older).await;
    assert!(told.contains("is in use: it was written by an older Camlock. Nothing was copied"), "{told}");
    let nowhere = Store::copy(&world.url, "mysql://x", &world.options("copy")).await.unwrap_err();
    assert_eq!(nowhere.kind, TroubleKind::Settings);
}

/// What an operator wrote with a shell that checks nothing.
#[trial(with = crate::on_sqlite)]
async fn what_is_odd() {
    let world = World::new(Kind::Sqlite);
    lived_in(&world).await;
    world.sql("UPDATE plugins SET config = '[1]' WHERE name = 'beta'");
    let target = World::new(Kind::Postgres);
    let told = refused(&world, &target).await;
    let expected = "the configuration of plugin `beta` is no JSON object; nothing was copied: mend that row first";
    assert_eq!(told, expected);
    let digest = format!("sha256:{}", "x".repeat(64));
    world.sql(&format!("UPDATE plugins SET config = '{{}}', artifact_digest = '{digest}' WHERE name = 'beta'"));
    let told = refused(&world, &target).await;
    assert!(told.starts_with("the record of plugin `beta` names the artifact \"sha256:xxx"), "{told}");
    // Nothing is left of that.
    for (table, _) in CONTENTS {
        assert_eq!(target.sql(&format!("SELECT count(*) FROM {table}")), "0", "{table}");
    }
    world.sql("UPDATE plugins SET artifact_digest = NULL WHERE name = 'beta'");
    world.sql("INSERT INTO plugin_endpoints VALUES ('nobody', 'GET', '/', 'mount')");
    world.sql(
        "INSERT INTO plugin_journal (at, what, actor, detail) VALUES ('some day', 'odd', 'tester', 'no document')",
    );
    world.sql(r#"INSERT INTO plugin_journal (what, actor, detail) VALUES ('nul', 'tester', '{"a":"b\u0000c"}')"#);
    assert_eq!(copy(&world, &target).await.unwrap().endpoints, 2);
    let odd =
        "SELECT detail, at > now() - interval '1 minute' FROM plugin_journal WHERE what IN ('odd', 'nul') ORDER BY id";
    assert_eq!(target.sql(odd), "{\"text\": \"no document\"}|t\n{\"a\": \"bc\"}|t");
}

/// A target that breaks off in the middle is as empty as it was.
#[trial(with = crate::on_sqlite)]
async fn it_breaks_off() {
    let world = World::new(Kind::Sqlite);
    lived_in(&world).await;
    let target = World::new(Kind::Postgres);
    target.open("one").await.store.end().await;
    target.sql("DELETE FROM plugin_journal");
    target.sql("ALTER TABLE artifact_bytes ADD CONSTRAINT disk_is_full CHECK (digest = 'none')");
    let trouble = copy(&world, &target).await.unwrap_err();
    assert!(trouble.sentence.contains("disk_is_full"), "{trouble}");
    for (table, _) in CONTENTS {
        assert_eq!(target.sql(&format!("SELECT count(*) FROM {table}")), "0", "{table}");
    }
    assert_eq!(target.sql("SELECT count(*) FROM pg_trigger WHERE tgenabled <> 'O'"), "0");
    target.sql("ALTER TABLE artifact_bytes DROP CONSTRAINT disk_is_full");
    copy(&world, &target).await.unwrap();

    // The other way round: its triggers are there again, too.
    let back = World::new(Kind::Sqlite);
    back.open("one").await.store.end().await;
    back.sql("DELETE FROM plugin_journal");
    let triggers = "SELECT sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name";
    let before = back.sql(triggers);
    back.sql("CREATE TABLE other (x)");
    back.sql("CREATE UNIQUE INDEX full ON artifact_bytes (1)");
    let trouble = copy(&target, &back).await.unwrap_err();
    assert!(trouble.sentence.contains("UNIQUE constraint failed"), "{trouble}");
    assert_eq!(back.sql(triggers), before);
    assert_eq!(back.sql("SELECT (SELECT count(*) FROM plugins) + (SELECT count(*) FROM plugin_journal)"), "0");
}
