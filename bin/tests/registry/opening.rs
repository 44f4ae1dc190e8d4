//! What a server finds when it starts: nobody there, no way in, or something that it must not touch.

use crate::world::*;
use camlock_store::{Store, StoreOptions};
use camlock_testing::single;
use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

const HELLO: &str = "/api/v1/p/hello/";

/// Runs a server that is not to come up: its exit code, and what it said on stderr.
fn refused(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = world.site.command();
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments).env("CAMLOCK_LOG", "off");
    if !matches!(world.place, Place::Sqlite) {
        command.args(["--database-url", world.url()]);
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(300) {
            child.kill().unwrap();
            panic!("it came up");
        }
        thread::sleep(Duration::from_millis(10));
    }
    let done = child.wait_with_output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

/// Everything in the database, as its own programs tell it.
fn dump(world: &World) -> String {
    match &world.place {
        Place::Sqlite => world.sql(".dump"),
        _ => world.sql(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'camlock' \
             ORDER BY 1, 2; SELECT query_to_xml(format('SELECT * FROM camlock.%I', relname), true, true, '') FROM pg_class \
             JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = 'camlock' AND relkind = 'r' ORDER BY relname",
        ),
    }
}

/// PostgreSQL is not there when the server starts again.
#[test]
fn what_was_last_known_is_served() {
    let world = World::apart();
    world.site.write("plugins/hello.rs", &single("hello"));
    world.site.write("plugins/off.rs", &single("off"));
    let server = world.serve();
    server.until_text(HELLO, "hello");
    assert_eq!(server.act("POST", "/api/v1/plugins/off/disable").status, 200);
    assert!(server.end().0.success());
    // This it cannot know.
    world.sql("UPDATE plugins SET enabled = false WHERE name = 'hello'");
    world.server().kill();
    // This it finds by itself, and it waits.
    world.site.write("plugins/edited.rs", &single("new"));

    let server = world.start();
    server.until_text(STEADY, "steady");
    under_load(&server, &[STEADY], || {
        server.until_text(HELLO, "hello");
        assert_eq!(server.plugin("off")["state"], "disabled");
        until_not_ready(&server, "cannot be reached");
        server.until(|server| server.printed(), |printed| printed.contains("what was last known holds"));
        assert_eq!(server.act("POST", "/api/v1/plugins/off/enable").status, 503);
        thread::sleep(Duration::from_secs(1));

        world.server().start_again();
        server.until_status(HELLO, 503);
        server.until_plugin("hello", |plugin| plugin["state"] == "disabled" && at_rest(plugin));
        server.until_text("/api/v1/p/edited/", "new");
        server.until_status("/_/ready", 200);
        assert_eq!(server.act("POST", "/api/v1/plugins/off/enable").status, 200);
    });
    assert_eq!(server.generation("steady"), 1);
}

#[test]
fn required() {
    let world = World::apart();
    world.server().kill();
    let (code, said) = refused(&world, &["--require-database"]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    assert!(said.contains("the registry cannot be used: the PostgreSQL database `test_0` at 127.0.0.1:"), "{said}");
    assert!(said.contains("cannot be reached"), "{said}");
}

/// Nothing is known from before.
#[test]
fn the_first_start_ever() {
    let world = World::apart();
    world.server().kill();
    let server = world.start();
    let reason = until_not_ready(&server, "cannot be reached");
    assert!(reason.contains("nothing is known from before"), "{reason}");
    server.until_plugin("steady", |plugin| !plugin.is_null());
    assert_eq!(server.get("/plugins").status, 200);
    assert_eq!(server.get(STEADY).status, 503);
    let answer = server.act("POST", "/api/v1/plugins/steady/enable");
    assert_eq!(answer.status, 503, "{answer:?}");
    world.server().start_again();
    server.until_text(STEADY, "steady");
    server.until_status("/_/ready", 200);
}

#[test]
fn the_password_is_refused() {
    let world = World::apart();
    let name = world.url().rsplit('/').next().unwrap();
    let url = world.server().guarded_url(name, "s3cret");
    world.server().sql(world.url(), &format!("GRANT CREATE ON DATABASE {name} TO guarded"));
    let server = world.site.start_with(|command| {
        let log = fs::File::create(world.site.path("log")).unwrap();
        command.env("CAMLOCK_DATABASE_URL", url).env("CAMLOCK_LOG", "debug").stderr(log);
    });
    until_not_ready(&server, "refuses the password");
    server.until(|server| server.printed(), |printed| printed.contains("refuses the password"));
    // Somebody mends it over there.
    world.server().sql(world.url(), "ALTER USER guarded PASSWORD 's3cret'");
    server.until_text(STEADY, "steady");
    server.until_status("/_/ready", 200);
    let (_, printed) = server.end();
    assert!(!printed.contains("s3cret") && !world.log().contains("s3cret"), "the password is told");
}

#[test]
fn there_is_no_such_database() {
    let world = World::apart();
    let url = world.server().url("nowhere");
    let log = fs::File::create(world.site.path("log")).unwrap();
    let server = world.site.start_with(|command| _ = command.args(["--database-url", &url]).stderr(log));
    let reason = until_not_ready(&server, "database \"nowhere\" does not exist");
    assert!(reason.contains("`createdb` makes it"), "{reason}");
    world.server().sql(world.url(), "CREATE DATABASE nowhere");
    server.until_text(STEADY, "steady");
    server.until_status("/_/ready", 200);
}

pub(crate) fn a_newer_schema(world: &World) {
    assert!(world.serve().end().0.success());
    world.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000001')");
    let before = dump(world);
    let (code, said) = refused(world, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("was brought up to date by a newer Camlock (it has 99990101000001)"), "{said}");
    assert!(said.contains("nothing was changed: start that version or a later one here"), "{said}");
    assert_eq!(dump(world), before);
}

pub(crate) fn an_older_schema(world: &World) {
    world.site.write("plugins/hello.rs", &single("hello"));
    let server = world.serve();
    server.until_text(HELLO, "hello");
    assert_eq!(server.act("POST", "/api/v1/plugins/hello/disable").status, 200);
    assert!(server.end().0.success());
    let url = match &world.place {
        Place::Sqlite => format!("sqlite://{}", world.file().display()),
        _ => world.url().to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(Store::take_down(&url, &StoreOptions::new(world.site.path(".camlock")), 1)).unwrap();
    let server = world.serve();
    server.until_plugin("hello", |plugin| plugin["state"] == "disabled");
    under_load(&server, &[STEADY], || {
        world.sql("UPDATE plugins SET enabled = true WHERE name = 'hello'");
        server.until_text(HELLO, "hello");
    });
}

pub(crate) fn somebody_elses(world: &World) {
    match &world.place {
        Place::Sqlite => {
            fs::create_dir_all(world.site.path(".camlock")).unwrap();
            world.sql("CREATE TABLE plugins (theirs TEXT); INSERT INTO plugins VALUES ('precious')");
        }
        _ => {
            world.sql("CREATE SCHEMA camlock; CREATE TABLE camlock.plugins (theirs TEXT)");
            world.sql("INSERT INTO plugins VALUES ('precious')");
        }
    }
    let before = dump(world);
    let (code, said) = refused(world, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("holds tables that are not Camlock's, `plugins` for one; nothing was changed"), "{said}");
    assert_eq!(dump(world), before);
    if !matches!(world.place, Place::Sqlite) {
        assert!(said.contains("name another schema in `database.schema`"), "{said}");
        world.site.configure("database.schema = \"ours\"");
        world.start().until_text(STEADY, "steady");
        assert_eq!(dump(world), before);
    }
}
