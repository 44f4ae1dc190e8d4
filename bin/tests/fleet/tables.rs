//! A plugin's tables are the fleet's: its migrations run once, wherever it starts first, and a new version expands, goes out to
//! all, and then takes away what nobody needs any more. So are configurations that have to fit a schema.

use crate::Fleet;
use camlock_testing::{Fixtures, Server, manifest, request_with, single, with_tables};
use std::fs;

const SHOP: &str = "/api/v1/p/shop/";

fn put_there(fleet: &Fleet, fixture: &str) {
    for node in &fleet.nodes {
        fs::create_dir_all(node.site.path("plugins")).unwrap();
        fs::copy(Fixtures::quick().library(fixture), node.site.path(&format!("plugins/{fixture}.so"))).unwrap();
    }
}

#[test]
fn migrations_run_once_for_all() {
    let fleet = Fleet::of(3, &[]);
    put_there(&fleet, "tables");
    for node in &fleet.nodes {
        node.server.until_serving("tables");
    }
    assert_eq!(fleet.sql("SELECT count(*) FROM camlock._plugin_migrations WHERE plugin = 'tables'"), "3");
    assert_eq!(fleet.sql("SELECT count(*) FROM camlock.p_tables__numbers"), "100000");
    let [one, two, three] = &fleet.nodes[..] else { panic!("there are three") };
    assert_eq!(one.server.get("/api/v1/p/tables/add/one").text, "1");
    let told = three.server.get("/api/v1/p/tables/words").text;
    assert!(told.contains(r#""word":"one""#), "{told}");
    // What is taken away by a row is gone everywhere.
    fleet.sql("INSERT INTO camlock.plugin_grants (plugin, granted) VALUES ('tables', '')");
    for node in &fleet.nodes {
        node.server.until(
            |server| server.get("/api/v1/p/tables/add/two").text,
            |told| told.starts_with("Denied: `database` is not granted"),
        );
    }
    // Removed by one with all that it kept, nothing is left: no table, no record, no role.
    assert_eq!(two.server.act("DELETE", "/api/v1/plugins/tables?purge=true").status, 200);
    two.server.until(
        |_| {
            fleet.sql(
                "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE 'p\\_tables\\_\\_%') \
                 + (SELECT count(*) FROM camlock._plugin_migrations) + (SELECT count(*) FROM camlock._plugin_roles) \
                 + (SELECT count(*) FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid AND r.rolname LIKE 'camlock%tables%' \
                    WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            )
        },
        |left| left == "0",
    );
}

fn sql(server: &Server, sql: &str) -> String {
    request_with(server.address, "POST", &format!("{SHOP}sql"), &[], sql).unwrap().text
}

#[test]
fn a_version_expands_goes_out_and_contracts() {
    let fleet = Fleet::of(3, &["limits.probation = \"2s\"".to_owned()]);
    let manifest = manifest("shop") + "\n[package.metadata.camlock]\npermissions = [\"database\"]\n";
    let first = "CREATE TABLE p_shop__orders (id INTEGER PRIMARY KEY, note TEXT NOT NULL DEFAULT 'none');";
    for node in 0..3 {
        fleet.write(node, "shop/migrations/0001_first.sql", first);
        fleet.write(node, "shop/src/lib.rs", &with_tables("one"));
        fleet.write(node, "shop/Cargo.toml", &manifest);
    }
    fleet.until_all(SHOP, "one");
    assert_eq!(sql(&fleet.nodes[0].server, "INSERT INTO p_shop__orders (id) VALUES (1) RETURNING id"), "Integer(1)");
    let loads: Vec<_> = fleet.nodes.iter().map(|node| node.server.load(SHOP)).collect();
    let total = "ALTER TABLE p_shop__orders ADD COLUMN total INTEGER NOT NULL DEFAULT 0;";
    let no_note = "-- camlock: contract\nALTER TABLE p_shop__orders DROP COLUMN note;";
    fleet.write(1, "shop/migrations/0002_total.sql", total);
    fleet.write(1, "shop/migrations/0003_no_note.sql", no_note);
    fleet.write(1, "shop/src/lib.rs", &with_tables("two"));
    fleet.until_all(SHOP, "two");
    for node in &fleet.nodes {
        assert_eq!(sql(&node.server, "SELECT id, total FROM p_shop__orders"), "Integer(1) Integer(0)");
    }
    let node = &fleet.nodes[2];
    node.server.until(|server| sql(server, "SELECT note FROM p_shop__orders"), |told| told.contains("note"));
    let ran =
        "SELECT string_agg(number::text, ' ' ORDER BY number) FROM camlock._plugin_migrations WHERE plugin = 'shop'";
    assert_eq!(fleet.sql(ran), "1 2 3");
    for load in loads {
        let (good, bad) = load.end();
        assert!(good > 0 && bad.is_empty(), "{good} {bad:#?}");
    }
    // None of them goes back past that.
    for node in &fleet.nodes {
        let back = node.server.post("/api/v1/plugins/shop/rollback");
        assert!(back.status == 422 && back.text.contains("cannot be undone"), "{} {}", back.status, back.text);
    }
}

#[test]
fn what_does_not_fit_a_schema_fits_nowhere() {
    let fleet = Fleet::of(3, &[]);
    let manifest = manifest("fitted") + "\n[package.metadata.camlock]\nconfig = \"config.schema.json\"\n";
    let schema = r#"{ "type": "object", "properties": { "port": { "type": "integer", "default": 80 } } }"#;
    for node in 0..3 {
        fleet.write(node, "fitted/config.schema.json", schema);
        fleet.write(node, "fitted/src/lib.rs", &single("fits"));
        fleet.write(node, "fitted/Cargo.toml", &manifest);
    }
    let path = "/api/v1/p/fitted/";
    fleet.until_all(path, "fits");
    fleet.sql(r#"UPDATE camlock.plugins SET config = '{"port": "many"}' WHERE name = 'fitted'"#);
    for node in &fleet.nodes {
        let failed = node.server.until_failed("fitted", "config");
        assert!(failed.contains("/port") && failed.contains("goes on with the one before"), "{failed}");
        assert_eq!(node.server.get(path).text, "fits");
    }
    fleet.sql(r#"UPDATE camlock.plugins SET config = '{"port": 81}' WHERE name = 'fitted'"#);
    for node in &fleet.nodes {
        node.server.until_plugin("fitted", |plugin| plugin["failed"].is_null() && plugin["state"] == "serving");
    }
}
