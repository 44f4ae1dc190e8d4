//! The database goes while a server runs, and comes back: killed, cut off, standing still, or talking nonsense.

use crate::world::*;
use camlock_testing::{Server, single};
use std::{
    thread,
    time::{Duration, Instant},
};

const HELLO: &str = "/api/v1/p/hello/";

/// A server with a plugin to toggle, on a PostgreSQL that may be killed.
fn begin() -> (World, Server) {
    let world = World::apart();
    world.site.write("plugins/hello.rs", &single("hello"));
    let server = world.serve();
    server.until_text(HELLO, "hello");
    (world, server)
}

/// It hears of what is decided.
fn obeys(world: &World, server: &Server) {
    server.until_status("/_/ready", 200);
    world.sql("UPDATE plugins SET enabled = false WHERE name = 'hello'");
    server.until_status(HELLO, 503);
    world.sql("UPDATE plugins SET enabled = true WHERE name = 'hello'");
    server.until_text(HELLO, "hello");
}

#[test]
fn killed_and_restarted() {
    let (world, server) = begin();
    under_load(&server, &[STEADY], || {
        for _ in 0..3 {
            world.server().kill();
            until_not_ready(&server, "the PostgreSQL database `test_0` at 127.0.0.1:");
            assert_eq!(server.get("/plugins").status, 200);
            // Decided before anybody could be told.
            world.server().start_again();
            obeys(&world, &server);
        }
    });
    assert_eq!(server.generation("steady"), 1);
    let (status, printed) = server.end();
    assert!(status.success());
    let times = |line: &str| printed.matches(line).count();
    assert_eq!(times("the registry can be used again\n"), 3, "{printed}");
    assert_eq!(times("the registry cannot be used: "), 3, "{printed}");
}

/// What is decided while nobody listens is found when somebody does.
#[test]
fn connections_are_cut() {
    let (world, server) = begin();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    under_load(&server, &[STEADY], || {
        for _ in 0..3 {
            // In one transaction: nobody can have listened.
            world.sql(&format!("UPDATE plugins SET enabled = false WHERE name = 'hello'; {cut}"));
            server.until_status(HELLO, 503);
            world.sql(&format!("{cut}; UPDATE plugins SET enabled = true WHERE name = 'hello'"));
            server.until_text(HELLO, "hello");
        }
        obeys(&world, &server);
    });
    assert_eq!(server.generation("steady"), 1);
}

/// All connections stay open, and nobody answers.
#[test]
fn paused_for_half_a_minute() {
    let (world, server) = begin();
    under_load(&server, &[STEADY], || {
        let began = Instant::now();
        world.server().pause();
        let asked = Instant::now();
        let answer = server.act("POST", "/api/v1/plugins/hello/disable");
        assert!(asked.elapsed() < Duration::from_secs(25), "it took {:?} to be refused", asked.elapsed());
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(detail(&answer).contains("does not answer in time"), "{answer:?}");
        until_not_ready(&server, "does not answer in time");
        // Now that it is known nobody waits for it.
        let asked = Instant::now();
        assert_eq!(server.act("POST", "/api/v1/plugins/hello/disable").status, 503);
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        world.site.write("plugins/hello.rs", &single("hello again"));
        until_it_waits(&server, "hello");
        let elsewhere = thread::scope(|threads| {
            // An operator whose client waits too.
            let sql = threads.spawn(|| world.sql("UPDATE plugins SET reloads = reloads + 1 WHERE name = 'steady'"));
            thread::sleep(Duration::from_secs(30).saturating_sub(began.elapsed()));
            assert_eq!((server.get(HELLO).text.as_str(), server.get("/plugins").status), ("hello", 200));
            world.server().resume();
            sql.join().unwrap()
        });
        assert_eq!(elsewhere, "");
        server.until_text(HELLO, "hello again");
        server.until(|server| server.generation("steady"), |generation| *generation == 2);
        server.until_status("/_/ready", 200);
    });
}

/// A candidate is ready, and cannot be agreed on.
pub(crate) fn until_it_waits(server: &Server, name: &str) {
    server.until_plugin(name, |plugin| {
        plugin["candidate"]["doing"].as_str().is_some_and(|doing| doing.starts_with("it is ready, and waits for the"))
    });
}

/// Anybody may say anything on a channel.
#[test]
fn words_that_are_not_ours() {
    let (world, server) = begin();
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(7_900));
    let payloads = ["", "hello", "{\"name\":", "{\"name\": 7}", "[]", "null", "{\"name\": \"nobody\"}", &long];
    under_load(&server, &[STEADY, HELLO], || {
        for channel in ["plugin_changes", "camlock_fleet", "camlock_journal", "camlock_tokens", "another"] {
            for payload in payloads {
                world.sql(&format!("SELECT pg_notify('{channel}', '{payload}')"));
            }
        }
        thread::sleep(Duration::from_millis(300));
    });
    assert_eq!((server.generation("hello"), server.generation("steady")), (1, 1));
    obeys(&world, &server);
}

#[test]
fn ten_thousand_changes_in_a_second() {
    let (world, server) = begin();
    world.sql("INSERT INTO plugins (name) SELECT 'plugin-' || number FROM generate_series(1, 10000) AS number");
    server.until_plugin("plugin-10000", |plugin| plugin["state"] == "missing");
    under_load(&server, &[STEADY], || {
        // Each is a statement, and a word to everybody, of its own; a hundred are a transaction.
        let change = "DO $$ BEGIN FOR number IN 1..10000 LOOP \
             UPDATE plugins SET enabled = false WHERE name = 'plugin-' || number; \
             IF number % 100 = 0 THEN COMMIT; END IF; END LOOP; END $$";
        let began = Instant::now();
        world.sql(change);
        println!("10,000 changes in {:?}", began.elapsed());
        server.until_plugin("plugin-10000", |plugin| plugin["enabled"] == false);
        let wanted = "SELECT count(*) FROM plugins WHERE NOT enabled";
        assert_eq!(world.sql(wanted), "10000");
        for number in (1..=10_000).step_by(97) {
            server.until_plugin(&format!("plugin-{number}"), |plugin| plugin["enabled"] == false);
        }
        // All of one row: what it ends with counts.
        let storm = "DO $$ BEGIN FOR number IN 1..2000 LOOP \
             UPDATE plugins SET enabled = NOT enabled WHERE name = 'hello'; COMMIT; END LOOP; \
             UPDATE plugins SET enabled = false WHERE name = 'hello'; END $$";
        world.sql(storm);
        server.until_plugin("hello", |plugin| plugin["state"] == "disabled" && at_rest(plugin));
        obeys(&world, &server);
    });
    assert_eq!(server.generation("steady"), 1);
}
