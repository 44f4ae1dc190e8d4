//! Plugins' own tables, from a first version to the one that takes something away, in both databases.

use crate::world::*;
use camlock_testing::{Fixtures, Server, rounds};
use serde_json::{Value, json};
use std::{fs, process::Command, thread, time::Duration};

const SHOP: &str = "/api/v1/p/shop";
const TABLES: &str = "/api/v1/p/tables";

/// A plugin that does what it is told with SQL; `word` tells its versions apart.
fn shop(world: &World, word: &str, migrations: &[(&str, &str)]) {
    let manifest = camlock_testing::manifest("shop");
    let permissions = "\n[package.metadata.camlock]\npermissions = [\"database\", \"database:direct\"]\n";
    for (name, text) in migrations {
        world.site.write(&format!("plugins/shop/migrations/{name}"), text);
    }
    world.site.write("plugins/shop/src/lib.rs", &camlock_testing::with_tables(word));
    // Last: it is what makes a plugin of the folder.
    world.site.write("plugins/shop/Cargo.toml", &format!("{manifest}{permissions}"));
}

fn sql(server: &Server, sql: &str) -> String {
    camlock_testing::request_with(server.address, "POST", &format!("{SHOP}/sql"), &[], sql).unwrap().text
}

/// What operators see of what it has: its tables with their rows, and the numbers of migrations, those that contract negative.
fn kept(server: &Server) -> (Vec<(String, u64)>, Vec<i64>) {
    let answer = server.get_as_admin("/api/v1/plugins/shop/tables");
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tables = told["tables"].as_array().unwrap().iter();
    let tables = tables.map(|table| (text(&table["name"]), table["rows"].as_u64().unwrap())).collect();
    let number = |ran: &Value| ran["number"].as_i64().unwrap() * if ran["contracts"] == true { -1 } else { 1 };
    (tables, told["migrations"].as_array().unwrap().iter().map(number).collect())
}

fn until_failed(server: &Server, told: &str) {
    server.until_plugin("shop", |plugin| {
        plugin["failed"]["stage"] == "migrate"
            && plugin["failed"]["reason"].as_str().is_some_and(|reason| reason.contains(told))
    });
}

/// Tables that its users make.
fn while_it_runs(server: &Server) {
    let define = |sql: &str| {
        camlock_testing::request_with(server.address, "POST", &format!("{SHOP}/define"), &[], sql).unwrap().text
    };
    let both = "CREATE TABLE p_shop__made (id INTEGER PRIMARY KEY); INSERT INTO p_shop__made (id) VALUES (7);";
    assert_eq!(define(both), "done");
    assert_eq!(sql(server, "SELECT id FROM p_shop__made"), "Integer(7)");
    // All of it or nothing, and nothing of others.
    let told = define("INSERT INTO p_shop__made (id) VALUES (8); CREATE TABLE p_shop__made (id INTEGER)");
    assert!(told.starts_with("Invalid: the change failed: "), "{told}");
    assert_eq!(sql(server, "SELECT id FROM p_shop__made"), "Integer(7)");
    for foreign in
        ["CREATE TABLE made (id INTEGER)", "DROP TABLE plugins", "ATTACH 'x' AS y", "SET ROLE postgres", "nonsense"]
    {
        let told = define(foreign);
        assert!(told.starts_with("Invalid: line 1: "), "{foreign}: {told}");
    }
    assert_eq!(define("DROP TABLE p_shop__made"), "done");
}

/// A client that the plugin brings.
fn of_its_own(world: &World, server: &Server) {
    let url = server.get(&format!("{SHOP}/url")).text;
    if matches!(world.place, Place::Sqlite) {
        assert!(url.starts_with("Unavailable: plugins' tables are in SQLite here"), "{url}");
        return;
    }
    let psql = |sql: &str| {
        let output = Command::new("psql").args([&url, "-tAc", sql]).output().unwrap();
        String::from_utf8(if output.status.success() { output.stdout } else { output.stderr }).unwrap()
    };
    assert_eq!(psql("SELECT note FROM p_shop__orders").trim(), "none");
    assert_eq!(psql("SELECT name, enabled FROM camlock_plugins WHERE name = 'shop'").trim(), "shop|t");
    for foreign in ["SELECT 1 FROM plugins", "SELECT 1 FROM _plugin_role_key", "CREATE TABLE p_shop__x (id INTEGER)"] {
        let told = psql(foreign);
        assert!(told.contains("permission denied"), "{foreign}: {told}");
    }
    let grants = "/api/v1/plugins/shop/grants";
    let granted = serde_json::json!({ "granted": ["database"] });
    assert_eq!(server.act_with("PUT", grants, &granted).status, 200);
    let url = server.get(&format!("{SHOP}/url")).text;
    assert!(url.starts_with("Denied: `database:direct` is not granted to `shop`"), "{url}");
    let granted = serde_json::json!({ "granted": ["database", "database:direct"] });
    assert_eq!(server.act_with("PUT", grants, &granted).status, 200);
}

const FIRST: (&str, &str) =
    ("0001_first.sql", "CREATE TABLE p_shop__orders (id INTEGER PRIMARY KEY, note TEXT NOT NULL DEFAULT 'none');");
const TOTAL: (&str, &str) =
    ("0002_total.sql", "ALTER TABLE p_shop__orders ADD COLUMN total INTEGER NOT NULL DEFAULT 0;");
const NO_NOTE: (&str, &str) =
    ("0003_no_note.sql", "-- camlock: contract\nALTER TABLE p_shop__orders DROP COLUMN note;");

pub(crate) fn a_life(world: &World) {
    world.site.configure("limits.probation = \"2s\"");
    shop(world, "one", &[FIRST]);
    let server = world.serve();
    let home = format!("{SHOP}/");
    server.until_text(&home, "one");
    assert_eq!(sql(&server, "INSERT INTO p_shop__orders (id) VALUES (1) RETURNING note"), r#"Text("none")"#);
    let told = sql(&server, "CREATE TABLE p_shop__more (id INTEGER)");
    assert!(told.starts_with("Denied: "), "{told}");
    let told = sql(&server, "SELECT * FROM plugins");
    assert!(told.starts_with("Denied: ") || told.starts_with("Invalid: "), "{told}");

    assert_eq!(kept(&server), (vec![("p_shop__orders".to_owned(), 1)], vec![1]));

    while_it_runs(&server);
    let others = "SELECT name FROM camlock_plugins WHERE enabled ORDER BY name";
    let known = r#"Text("about") Text("shop") Text("steady")"#;
    server.until(|server| sql(server, others), |told| told == known);
    let told = sql(&server, "DELETE FROM camlock_plugins");
    assert!(told.starts_with("Denied: "), "{told}");
    of_its_own(world, &server);

    // What expands runs before, what contracts after: until then both versions would do.
    shop(world, "two", &[TOTAL, NO_NOTE]);
    server.until_text(&home, "two");
    assert_eq!(sql(&server, "SELECT note, total FROM p_shop__orders"), r#"Text("none") Integer(0)"#);
    server.until(|server| sql(server, "SELECT note FROM p_shop__orders"), |told| told.contains("note"));
    assert_eq!(sql(&server, "SELECT total FROM p_shop__orders"), "Integer(0)");
    let events = world.site.command().args(["events", "-n", "100", "--plugin", "shop"]).output().unwrap();
    let events = String::from_utf8(events.stdout).unwrap();
    for ran in ["0001_first.sql", "0002_total.sql", "0003_no_note.sql"] {
        assert!(events.contains("migrated") && events.contains(ran), "{events}");
    }

    // Back past that only by force.
    let back = server.post("/api/v1/plugins/shop/rollback");
    assert_eq!(back.status, 422, "{}", back.text);
    let sentence =
        "its migration 0003 (`no_note`) has run, which took away what that version needs, and cannot be undone";
    assert!(back.text.contains(sentence), "{}", back.text);
    assert_eq!(server.get(&home).text, "two");
    let back = world.site.command().args(["rollback", "shop", "--force"]).output().unwrap();
    assert!(back.status.success(), "{back:?}");
    server.until_text(&home, "one");

    // What has run stays as it was, and what is no plugin's own is refused before it runs.
    shop(world, "three", &[(FIRST.0, "CREATE TABLE p_shop__orders (id INTEGER PRIMARY KEY);")]);
    until_failed(&server, "`migrations/0001_first.sql` is not what has run as number 0001");
    shop(world, "three", &[FIRST, ("0004_more.sql", "CREATE TABLE more (id INTEGER);")]);
    until_failed(&server, "migrations/0004_more.sql:1: `more` is none of the plugin's own");
    assert_eq!(server.get(&home).text, "one");
    shop(world, "four", &[("0004_more.sql", "CREATE TABLE p_shop__more (id INTEGER);")]);
    server.until_text(&home, "four");
    let both = vec![("p_shop__more".to_owned(), 0), ("p_shop__orders".to_owned(), 1)];
    assert_eq!(kept(&server), (both, vec![1, 2, -3, 4]));
    assert_eq!(server.get_as_admin("/api/v1/plugins/steady/tables").json()["tables"], json!([]));

    // Removed, its tables stay; removed with what it kept, they do not.
    let all = [FIRST, TOTAL, NO_NOTE, ("0004_more.sql", "CREATE TABLE p_shop__more (id INTEGER);")];
    assert_eq!(server.act("DELETE", "/api/v1/plugins/shop").status, 200);
    shop(world, "five", &all);
    server.until_text(&home, "five");
    assert_eq!(sql(&server, "SELECT id FROM p_shop__orders"), "Integer(1)");
    assert_eq!(server.act("DELETE", "/api/v1/plugins/shop?purge=true").status, 200);
    shop(world, "six", &all);
    server.until_text(&home, "six");
    assert_eq!(sql(&server, "SELECT count(*) FROM p_shop__orders"), "Integer(0)");
    // All ran in order, what contracts too.
    let told = sql(&server, "SELECT note FROM p_shop__orders");
    assert!(told.contains("note"), "{told}");
}

/// Saved while the one before is on probation: it waits until that has taken away what it does not need, and goes on by itself.
pub(crate) fn a_version_comes_too_early(world: &World) {
    world.site.configure("limits.probation = \"3s\"");
    shop(world, "one", &[FIRST]);
    let server = world.serve();
    let home = format!("{SHOP}/");
    server.until_text(&home, "one");
    shop(world, "two", &[TOTAL, NO_NOTE]);
    server.until_text(&home, "two");
    shop(world, "three", &[("0004_more.sql", "CREATE TABLE p_shop__more (id INTEGER);")]);
    server.until_plugin("shop", |plugin| {
        let reason = plugin["reason"].as_str().unwrap_or_default();
        reason.starts_with("it waits until `migrations/0003_no_note.sql` has run")
            && plugin["candidate"]["stage"] == "waiting"
    });
    assert_eq!(server.get(&home).text, "two");
    server.until_text(&home, "three");
    assert_eq!(sql(&server, "SELECT count(*) FROM p_shop__more"), "Integer(0)");
    let told = sql(&server, "SELECT note FROM p_shop__orders");
    assert!(told.contains("note"), "{told}");
}

fn put_tables_there(world: &World) {
    fs::copy(Fixtures::quick().library("tables"), world.site.path("plugins/tables.so")).unwrap();
}

/// Has it begin without any table, and does something in the middle of its migrations.
fn in_the_middle(world: &World, server: &Server, round: u64, what: impl FnOnce()) {
    if server.get_as_admin("/api/v1/plugins/tables").status == 200 {
        assert_eq!(server.act("DELETE", "/api/v1/plugins/tables?purge=true").status, 200);
    }
    put_tables_there(world);
    server.until_plugin("tables", |plugin| plugin["candidate"]["stage"] == "migrating" || plugin["state"] == "serving");
    // Not always at the same place.
    thread::sleep(Duration::from_millis(29 * (round % 7)));
    what();
}

fn all_ran_once(server: &Server) {
    server.until_serving("tables");
    let numbers = server.get(&format!("{TABLES}/sql?sql=SELECT%20count(*)%20FROM%20p_tables__numbers"));
    assert_eq!(numbers.text, "[Integer(100000)]");
    assert_eq!(server.get(&format!("{TABLES}/add/one")).text, "1");
}

/// The server is killed in the middle of migrations: each has run as a whole and once.
pub(crate) fn killed_in_the_middle(world: &World) {
    let mut server = world.serve();
    for round in 0..rounds(10) {
        in_the_middle(world, &server, round as u64, || ());
        server.kill();
        server = world.serve();
        all_ran_once(&server);
    }
}

fn a_killed_database(world: &World) {
    let server = world.serve();
    for round in 0..rounds(3) {
        in_the_middle(world, &server, round as u64, || world.server().kill());
        thread::sleep(Duration::from_millis(500));
        world.server().start_again();
        all_ran_once(&server);
    }
}

#[test]
fn of_a_database_that_is_killed() {
    a_killed_database(&World::apart());
}
