//! The registry's database: `camlock migrate`, and what `camlock doctor` finds of it.

use crate::{Ended, command, end, site};
use camlock_testing::{Fixtures, Postgres, Site, files_of, single};
use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
};

/// A command with this database.
fn with(site: &Site, url: &str, arguments: &[&str]) -> Ended {
    let mut command = command(site, arguments);
    command.env("CAMLOCK_DATABASE_URL", url);
    end(command)
}

fn sqlite(site: &Site, name: &str) -> String {
    format!("sqlite://{}", site.path(name).display())
}

/// What the `sqlite3` shell prints.
fn sqlite3(site: &Site, name: &str, sql: &str) -> String {
    let output = Command::new("sqlite3")
        .args(["-cmd", ".timeout 60000"])
        .arg(site.path(name))
        .arg(sql)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What is found of the registry: how bad it is, what, and the remedy.
fn found(site: &Site, url: &str) -> (String, String, String) {
    let ended = with(site, url, &["doctor", "--json", "--listen", "127.0.0.1:0"]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["about"] == "registry").unwrap();
    assert_eq!(ended.code, i32::from(finding["level"] == "wrong"), "{report:#}");
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    (text("level"), text("found"), text("remedy"))
}

#[track_caller]
fn is(found: (String, String, String), level: &str, what: &str, remedy: &str) {
    assert!(found.0 == level && found.1.contains(what) && found.2.contains(remedy), "{found:#?}");
}

#[test]
fn the_schema_is_looked_at_and_brought_up_to_date() {
    let site = site();
    let server = Postgres::shared();
    for url in [sqlite(&site, "registry.db"), server.database()] {
        let shown = if url.starts_with("sqlite") {
            "the registry's file "
        } else {
            "schema `camlock` of the PostgreSQL database `"
        };
        let before = files_of(&site.path("."));
        let told = with(&site, &url, &["migrate", "--check"]).refused(1);
        assert!(
            told.starts_with(&format!("there is no registry in {shown}")) && told.contains("`camlock migrate` now"),
            "{told}"
        );
        is(found(&site, &url), "good", "(its tables are made when they are needed)", "");
        assert_eq!(files_of(&site.path(".")), before, "nothing is made by looking");

        let told = with(&site, &url, &["migrate"]).done();
        assert!(
            told.starts_with(shown) && told.ends_with(" was empty: the registry's tables were made there\n"),
            "{told}"
        );
        let told = with(&site, &url, &["migrate"]).done();
        assert!(told.ends_with(" is up to date: there was nothing to do\n"), "{told}");
        assert!(with(&site, &url, &["migrate", "--check"]).done().ends_with(" is up to date\n"));
        let standing = with(&site, &url, &["migrate", "--check", "--json"]).json();
        assert_eq!((&standing["schema"], &standing["lacking"]), (&"current".into(), &0.into()), "{standing}");
        assert_eq!(with(&site, &url, &["migrate", "--json"]).json()["before"], standing);
        is(found(&site, &url), "good", shown, "");
        // No server came of it.
        let nodes = "SELECT count(*) FROM nodes";
        let nodes = match url.strip_prefix("sqlite://") {
            Some(_) => sqlite3(&site, "registry.db", nodes),
            None => server.sql(&url, &nodes.replace("nodes", "camlock.nodes")),
        };
        assert_eq!(nodes, "0");
    }
    // Without a word it is the one in the data directory.
    let told = end(command(&site, &["migrate", "--check"])).refused(1);
    assert!(told.contains(".camlock/registry.db yet: "), "{told}");
    assert!(!site.path(".camlock").exists());
    assert!(end(command(&site, &["migrate"])).done().contains(".camlock/registry.db was empty"));
    end(command(&site, &["migrate", "--check"])).done();
}

#[test]
fn databases_that_are_not_as_they_should_be() {
    let site = site();
    let server = Postgres::shared();
    let refused = |url: &str, code: i32| {
        let told = with(&site, url, &["migrate", "--check"]).refused(code);
        assert_eq!(with(&site, url, &["migrate"]).refused(code), told);
        assert!(!told.contains("s3cret"), "{told}");
        told
    };
    // Not there, or it does not let one in.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = format!("postgres://me:s3cret@127.0.0.1:{port}/x");
    assert!(refused(&away, 1).contains("cannot be reached"));
    is(found(&site, &away), "wrong", "cannot be reached (Connection refused", "connect by themselves when they can");
    let locked = server.guarded_url("postgres", "s3cret");
    assert!(refused(&locked, 1).ends_with("refuses the password"));
    is(found(&site, &locked), "wrong", "refuses the password", "mend that, or name another one with --database-url");
    is(found(&site, &server.url("nowhere")), "wrong", "`createdb` makes it", "mend that");
    is(found(&site, &sqlite(&site, "no/registry.db")), "wrong", "see whether its directory is there", "mend that");
    assert!(refused("mysql://me:s3cret@x", 64).starts_with("the database's URL begins with"));
    is(found(&site, "mysql://me:s3cret@x"), "wrong", "the database's URL begins with", "set `database.url`");

    // Older, newer, somebody else's, damaged.
    let (file, database) = (sqlite(&site, "registry.db"), server.database());
    for url in [&file, &database] {
        with(&site, url, &["migrate"]).done();
        let sql = |sql: &str| match url.starts_with("sqlite") {
            true => sqlite3(&site, "registry.db", sql),
            false => server.sql(&format!("{url}?options=-csearch_path%3Dcamlock"), sql),
        };
        let last = sql("SELECT max(version) FROM __diesel_schema_migrations");
        sql(&format!("DELETE FROM __diesel_schema_migrations WHERE version = '{last}'"));
        let told = with(&site, url, &["migrate", "--check"]).refused(1);
        assert!(told.contains(" lacks 1 migration: the next server that starts brings it up to date"), "{told}");
        is(found(&site, url), "warning", "was written by an older Camlock", "make a backup; then");
        sql(&format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{last}'), ('99990101000001')"));
        assert!(refused(url, 1).contains("was brought up to date by a newer Camlock (it has 99990101000001)"));
        is(found(&site, url), "wrong", "by a newer Camlock", "install that version here too, or put the backup back");
    }
    let theirs = server.database();
    server.sql(&theirs, "CREATE SCHEMA camlock; CREATE TABLE camlock.theirs (x int)");
    assert!(refused(&theirs, 1).contains("holds tables that are not Camlock's, `theirs` for one; nothing was changed"));
    is(found(&site, &theirs), "wrong", "not Camlock's, `theirs` for one", "let that be, and name an empty place");
    let notes = "These are my notes, and by no means a database. ".repeat(50);
    site.write("notes.txt", &notes);
    assert!(refused(&sqlite(&site, "notes.txt"), 1).contains("is no SQLite database"));
    is(found(&site, &sqlite(&site, "notes.txt")), "wrong", "is no SQLite database", "put a backup in its place");
    assert_eq!(fs::read_to_string(site.path("notes.txt")).unwrap(), notes);
}

/// From the file of one server into PostgreSQL: the same plugins serve, in the same states, and nothing is built for it.
#[test]
fn a_server_moves_to_postgresql() {
    let site = site();
    for name in ["hello", "other", "third"] {
        site.write(&format!("plugins/{name}.rs"), &single("one"));
    }
    let server = site.start();
    for name in ["hello", "other", "third"] {
        server.until_text(&format!("/api/v1/p/{name}/"), "one");
    }
    site.write("plugins/hello.rs", &single("two"));
    server.until_text("/api/v1/p/hello/", "two");
    // What serves is no longer what lies in the directory.
    end(command(&site, &["rollback", "hello"])).done();
    server.until_text("/api/v1/p/hello/", "one");
    end(command(&site, &["disable", "other"])).done();
    sqlite3(&site, ".camlock/registry.db", "UPDATE plugins SET config = '{\"limit\": 7}' WHERE name = 'third'");
    let token = end(command(&site, &["token", "create", "ci", "--role", "operator"])).done();
    let made = end(command(&site, &["token", "create", "gone", "--role", "viewer", "--json"])).json();
    end(command(&site, &["token", "revoke", &made["id"].to_string()])).done();
    let states = || {
        let list = end(command(&site, &["list", "--json"])).json();
        let of = |plugin: &Value| ["name", "state", "enabled", "urls"].map(|key| plugin[key].to_string());
        list["items"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let tokens = || end(command(&site, &["token", "list", "--json"])).json();
    let events = |count: &str| {
        let lines = end(command(&site, &["events", "--json", "-n", count])).done();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    server.until_plugin("other", |plugin| plugin["state"] == "disabled");
    let before = (states(), tokens());
    server.end();

    let (from, to) = (sqlite(&site, ".camlock/registry.db"), Postgres::shared().database());
    let original = sqlite3(&site, ".camlock/registry.db", ".dump");
    let moved = end(command(&site, &["migrate", "--from", &from, "--to", &to])).done();
    assert!(moved.contains("/.camlock/registry.db to schema `camlock` of the PostgreSQL database `"), "{moved}");
    // `about` is compiled in. Of `hello` there are two artifacts; nobody else was there to share their bytes with.
    for line in ["  4 plugins, ", "\n  4 artifacts, 0 with bytes\n", " entries of the journal\n  2 tokens\n"] {
        assert!(moved.contains(line), "{line}\n{moved}");
    }
    assert_eq!(sqlite3(&site, ".camlock/registry.db", ".dump"), original);
    let told = end(command(&site, &["migrate", "--from", &from, "--to", &to])).refused(1);
    assert!(told.ends_with(
        "is in use: there is something in `plugins`. Nothing was copied, nothing changed: name an empty one"
    ));
    let entries: usize = sqlite3(&site, ".camlock/registry.db", "SELECT count(*) FROM plugin_journal").parse().unwrap();

    // Where there is no compiler nothing can be built.
    let nothing = site.path("nothing");
    fs::create_dir(&nothing).unwrap();
    let server = site.start_with(|command| {
        command.env("CAMLOCK_DATABASE_URL", &to).env("PATH", &nothing);
    });
    server.until_text("/api/v1/p/hello/", "one");
    server.until_text("/api/v1/p/third/", "one");
    server.until_status("/api/v1/p/other/", 503);
    server.until(|_| states(), |states| *states == before.0);
    assert_eq!(tokens(), before.1);
    let mut as_ci = command(&site, &["enable", "other"]);
    as_ci.env("CAMLOCK_SERVER", format!("http://{}", server.address)).env("CAMLOCK_TOKEN", token.trim());
    end(as_ci).done();
    server.until_text("/api/v1/p/other/", "one");
    let config = "SELECT config FROM camlock.plugins WHERE name = 'third'";
    assert_eq!(Postgres::shared().sql(&to, config), "{\"limit\": 7}");
    // The journal goes on where it was.
    let events = events("500");
    assert!(events.len() > entries, "{} {entries}", events.len());
    assert_eq!(events[0]["what"], "registered");
    assert!(events[entries..].iter().any(|event| event["what"] == "enabled" && event["by"] == "ci"), "{events:#?}");
    // A change in the registry is heard of.
    Postgres::shared().sql(&to, "UPDATE camlock.plugins SET enabled = false WHERE name = 'third'");
    server.until_status("/api/v1/p/third/", 503);
    server.end();

    // And back.
    let back = sqlite(&site, "back.db");
    let copied = end(command(&site, &["migrate", "--from", &to, "--to", &back, "--json"])).json();
    assert_eq!((&copied["plugins"], &copied["tokens"]), (&4.into(), &2.into()), "{copied}");
    let plugins = sqlite3(&site, "back.db", "SELECT name, enabled FROM plugins ORDER BY registered");
    let mut plugins: Vec<_> = plugins.lines().collect();
    plugins.sort_unstable();
    assert_eq!(plugins, ["about|1", "hello|1", "other|1", "third|0"]);
}

/// What plugins keep goes along, there and back, with its revisions.
#[test]
fn what_plugins_keep_moves_along() {
    let site = site();
    fs::create_dir_all(site.path("plugins")).unwrap();
    fs::copy(Fixtures::quick().library("keeping"), site.path("plugins/keeping.so")).unwrap();
    let server = site.start();
    server.until_serving("keeping");
    for value in [&["put", "a", "1"][..], &["put", "b", "2"], &["put", "b", "22"], &["delete", "a"]] {
        end(command(&site, &[&["storage", "keeping"], value].concat())).done();
    }
    let before = end(command(&site, &["storage", "keeping", "list", "--json"])).json();
    server.end();

    let (from, to) = (sqlite(&site, ".camlock/registry.db"), Postgres::shared().database());
    let moved = end(command(&site, &["migrate", "--from", &from, "--to", &to])).done();
    assert!(moved.contains("\n  1 kept value\n"), "{moved}");
    let server = site.start_with(|command| _ = command.env("CAMLOCK_DATABASE_URL", &to));
    server.until_serving("keeping");
    assert_eq!(end(command(&site, &["storage", "keeping", "list", "--json"])).json(), before);
    // Revisions go on where they were.
    let told = end(command(&site, &["storage", "keeping", "put", "c", "3"])).done();
    assert_eq!(told, "c is kept, at revision 5\n");
    server.end();

    fs::create_dir(site.path("back")).unwrap();
    let back = sqlite(&site, "back/registry.db");
    let arguments = ["migrate", "--data", "back", "--from", &to, "--to", &back, "--json"];
    assert_eq!(end(command(&site, &arguments)).json()["values"], 2);
    let kept =
        sqlite3(&site, "back/plugins.db", "SELECT key, revision, value FROM plugin_storage WHERE value IS NOT NULL");
    assert_eq!(kept, "b|3|22\nc|5|3");
}

/// A plugin's own tables go along, there and back: it finds its rows in the other database.
#[test]
fn tables_of_plugins_move_along() {
    let site = site();
    fs::create_dir_all(site.path("plugins")).unwrap();
    fs::copy(Fixtures::quick().library("tables"), site.path("plugins/tables.so")).unwrap();
    let server = site.start();
    server.until_serving("tables");
    for word in ["one", "%C3%BCber", "three"] {
        assert_eq!(server.get(&format!("/api/v1/p/tables/add/{word}")).text, "1");
    }
    let words = server.get("/api/v1/p/tables/words").text;
    assert!(words.contains(r#"{"word":"über","length":5,"is_known":false}"#), "{words}");
    server.end();

    let (from, to) = (sqlite(&site, ".camlock/registry.db"), Postgres::shared().database());
    // What a plugin made while it ran cannot be said in PostgreSQL's words; it may be left behind.
    sqlite3(&site, ".camlock/plugins.db", "CREATE TABLE p_tables__more (word TEXT)");
    let told = end(command(&site, &["migrate", "--from", &from, "--to", &to])).refused(1);
    assert!(told.contains("no migration made `p_tables__more`, but a plugin while it ran"), "{told}");
    assert!(told.ends_with(". Nothing was copied"), "{told}");
    let elsewhere = Postgres::shared().database();
    let arguments = ["migrate", "--from", &from, "--to", &elsewhere, "--leave", "tables", "--json"];
    let left = end(command(&site, &arguments)).json();
    assert_eq!((&left["plugins"], &left["tables"], &left["rows"]), (&2.into(), &0.into(), &0.into()), "{left}");
    sqlite3(&site, ".camlock/plugins.db", "DROP TABLE p_tables__more");

    let moved = end(command(&site, &["migrate", "--from", &from, "--to", &to])).done();
    assert!(moved.contains("\n  100003 rows of 2 tables of plugins\n"), "{moved}");
    let server = site.start_with(|command| _ = command.env("CAMLOCK_DATABASE_URL", &to));
    server.until_serving("tables");
    assert_eq!(server.get("/api/v1/p/tables/words").text, words);
    // It is the plugin's own role that reads and writes there.
    assert_eq!(server.get("/api/v1/p/tables/add/four").text, "1");
    let words = server.get("/api/v1/p/tables/words").text;
    server.end();

    // Back, where nothing is kept any more.
    fs::rename(site.path(".camlock/plugins.db"), site.path("old.db")).unwrap();
    let back = sqlite(&site, "back.db");
    let copied = end(command(&site, &["migrate", "--from", &to, "--to", &back, "--json"])).json();
    assert_eq!((&copied["tables"], &copied["rows"]), (&2.into(), &100_004.into()), "{copied}");
    let server = site.start_with(|command| _ = command.env("CAMLOCK_DATABASE_URL", &back));
    server.until_serving("tables");
    assert_eq!(server.get("/api/v1/p/tables/words").text, words);
    server.end();
}
