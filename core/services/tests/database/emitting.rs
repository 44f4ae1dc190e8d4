//! Events that a plugin's role emits by SQL: those topics alone that its version asks for and that are granted at that moment.

use crate::postgres::{HostIs, Registry, run};
use camlock_policy::SqlRights;
use tokio_postgres::Client;

fn emits(patterns: &[&str]) -> SqlRights {
    SqlRights { tasks: false, emits: patterns.iter().map(|pattern| (*pattern).to_owned()).collect() }
}

/// What became of it: a code of SQL, or nothing.
async fn emit(client: &Client, topic: &str) -> Option<String> {
    let emitted = client.query_one("SELECT camlock.emit($1, '{\"some\": 1}')", &[&topic]).await;
    emitted.err().map(|error| error.code().expect("PostgreSQL says so").code().to_owned())
}

const DENIED: Option<&str> = Some("42501");

const FAILED: Option<&str> = Some("40001");

/// As an operator's decision does: the plugin's record has another revision.
async fn decide(registry: &Registry, granted: &str) {
    let decision = format!(
        "BEGIN; DELETE FROM camlock.plugin_grants; INSERT INTO camlock.plugin_grants (plugin, granted) VALUES ('shop', '{granted}');
         UPDATE camlock.plugins SET version = version || '.' WHERE name = 'shop'; COMMIT"
    );
    registry.host.batch_execute(&decision).await.unwrap();
}

async fn count(registry: &Registry) -> i64 {
    registry.host.query_one("SELECT count(*) FROM camlock.events", &[]).await.unwrap().get(0)
}

#[test]
fn topics_that_a_version_asks_for() {
    run(async {
        let registry = Registry::new(HostIs::Owner).await;
        let client = registry.as_role(&registry.shop.run).await;
        assert_eq!(emit(&client, "plugin.shop.paid").await.as_deref(), DENIED, "nobody said that it may");
        for (pattern, good, bad) in [
            ("plugin.shop.paid", &["plugin.shop.paid"][..], &["plugin.shop.paid.x", "plugin.shop.Paid"][..]),
            ("plugin.shop.*", &["plugin.shop.a", "plugin.shop.b-c_1"], &["plugin.shop.a.b"]),
            ("plugin.*.order.*", &["plugin.shop.order.a"], &["plugin.shop.orders.a", "plugin.shop.order"]),
            ("plugin.shop.**", &["plugin.shop.a", "plugin.shop.a.b.c"], &["plugin.shop2.a", "plugin.shop"]),
            ("**", &["plugin.shop.a.b"], &["session.created", "camlock.plugin.shop.loaded", "plugin.other.a"]),
        ] {
            registry.let_by_sql(&emits(&[pattern])).await;
            for topic in good {
                assert_eq!(emit(&client, topic).await, None, "{pattern}: {topic}");
            }
            for topic in bad {
                assert_eq!(emit(&client, topic).await.as_deref(), DENIED, "{pattern}: {topic}");
            }
        }
        registry.let_by_sql(&emits(&["plugin.shop.a", "plugin.shop.b"])).await;
        // What a session sets changes nothing of it.
        let settings =
            "SET standard_conforming_strings = off; SET search_path = pg_temp; SET default_transaction_deferrable = on";
        client.batch_execute(settings).await.unwrap();
        for (topic, became) in [("plugin.shop.a", None), ("plugin.shop.c", DENIED), ("plugin.shopxa", DENIED)] {
            assert_eq!(emit(&client, topic).await.as_deref(), became, "{topic}");
        }
        for trick in [
            "SELECT * FROM camlock.event_emitters",
            "INSERT INTO camlock.event_emitters VALUES (session_user, 'shop', '**')",
            "SELECT camlock._check_emit('shop', 'plugin.shop.a')",
            "SELECT * FROM camlock.plugin_grants",
        ] {
            assert!(client.batch_execute(trick).await.is_err(), "{trick}");
        }
        registry.let_by_sql(&SqlRights::default()).await;
        assert_eq!(emit(&client, "plugin.shop.a").await.as_deref(), DENIED);
    });
}

#[test]
fn what_is_revoked_is_refused_at_once() {
    run(async {
        let registry = Registry::new(HostIs::Owner).await;
        registry.let_by_sql(&emits(&["plugin.shop.*"])).await;
        let client = registry.as_role(&registry.shop.run).await;
        for (granted, became) in [
            ("asked", None),
            ("", DENIED),
            ("database events:emit:plugin.shop.*", None),
            ("database events:emit:plugin.shop.paid", DENIED),
            ("events:emit:*", None),
            ("events:subscribe:*", DENIED),
            ("*", None),
        ] {
            decide(&registry, granted).await;
            assert_eq!(emit(&client, "plugin.shop.paid").await.as_deref(), became, "{granted}");
        }
        // What was granted to one that came from elsewhere says nothing of this one.
        decide(&registry, "database").await;
        registry.host.batch_execute("UPDATE camlock.plugin_grants SET source = 'upload'").await.unwrap();
        assert_eq!(emit(&client, "plugin.shop.paid").await, None);
        registry.host.batch_execute("UPDATE camlock.plugins SET removed = true WHERE name = 'shop'").await.unwrap();
        assert_eq!(emit(&client, "plugin.shop.paid").await.as_deref(), DENIED, "it was removed");
    });
}

/// A transaction that began before the revocation, of whichever kind, emits nothing after it, and what it has emitted holds up nobody.
#[test]
fn transactions_that_see_the_past() {
    run(async {
        let registry = Registry::new(HostIs::Owner).await;
        registry.let_by_sql(&emits(&["plugin.shop.*"])).await;
        let client = registry.as_role(&registry.shop.run).await;
        for (level, refused) in [("READ COMMITTED", DENIED), ("REPEATABLE READ", FAILED), ("SERIALIZABLE", FAILED)] {
            decide(&registry, "asked").await;
            let before = count(&registry).await;
            client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}")).await.unwrap();
            for topic in ["plugin.shop.a", "plugin.shop.b"] {
                assert_eq!(emit(&client, topic).await, None, "{level}");
            }
            // Nobody waits for its end.
            registry.host.batch_execute("SET lock_timeout = '60s'").await.unwrap();
            decide(&registry, "database").await;
            assert_eq!(emit(&client, "plugin.shop.c").await.as_deref(), refused, "{level}");
            client.batch_execute("ROLLBACK").await.unwrap();
            assert_eq!(emit(&client, "plugin.shop.c").await.as_deref(), DENIED, "{level}: once more");
            assert_eq!(count(&registry).await, before, "{level}");
        }
        // While somebody decides it does not wait, and is not let through.
        decide(&registry, "asked").await;
        registry
            .host
            .batch_execute("BEGIN; UPDATE camlock.plugins SET enabled = false WHERE name = 'shop'")
            .await
            .unwrap();
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        assert_eq!(emit(&client, "plugin.shop.a").await.as_deref(), FAILED);
        client.batch_execute("ROLLBACK").await.unwrap();
        registry.host.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(emit(&client, "plugin.shop.a").await, None);
    });
}
