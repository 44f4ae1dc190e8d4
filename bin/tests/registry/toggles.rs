//! An operator changes rows with the database's own client; a running server obeys, and everybody else notices nothing.

use crate::world::*;
use camlock_testing::{Server, manifest, rounds, single};
use serde_json::Value;
use std::{fs, thread, time::Duration};

const HELLO: &str = "/api/v1/p/hello/";

/// Tells its greeting, which it takes while it serves.
const LIVE: &str = r#"use camlock_plugin::{Config, Taken, prelude::*};
use std::sync::Mutex;

struct Greeter(Mutex<String>);

fn greeting(config: &Config) -> Result<String> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Settings {
        greeting: String,
    }
    Ok(config.read::<Settings>()?.greeting)
}

impl Plugin for Greeter {
    async fn create(host: Host) -> Result<Self> {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Settings {
            greeting: String,
        }
        Ok(Greeter(Mutex::new(host.config::<Settings>()?.greeting)))
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/", get(async move || self.0.lock().unwrap().clone()))
    }

    async fn configure(&self, config: Config) -> Result<Taken> {
        let greeting = greeting(&config)?;
        if greeting == "nonsense" {
            return Err(Error::msg("nonsense is no greeting"));
        }
        *self.0.lock().unwrap() = greeting;
        Ok(Taken::Live)
    }
}

export!(Greeter);
"#;

/// The same, for which another greeting is another instance.
const ANEW: &str = r#"use camlock_plugin::prelude::*;

struct Greeter(String);

impl Plugin for Greeter {
    async fn create(host: Host) -> Result<Self> {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Settings {
            greeting: String,
        }
        Ok(Greeter(host.config::<Settings>()?.greeting))
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/", get(async move || self.0.clone()))
    }
}

export!(Greeter);
"#;

fn with_version(version: &str, text: &str) -> String {
    format!("---\n[package]\nversion = \"{version}\"\n---\n{}", single(text))
}

fn wanted(plugin: &Value) -> bool {
    plugin["state"] == "disabled" && at_rest(plugin)
}

pub(crate) fn enabled(world: &World) {
    world.site.write("plugins/hello.rs", &single("hello"));
    let server = world.serve();
    server.until_text(HELLO, "hello");
    let both = mapped(&server);
    under_load(&server, &[STEADY], || {
        for round in 0..rounds(3) as u64 {
            world.sql("UPDATE plugins SET enabled = false WHERE name = 'hello'");
            let answer = server.until_status(HELLO, 503);
            assert!(answer.text.contains("the registry says so"), "{answer:?}");
            server.until_plugin("hello", wanted);
            assert_eq!(mapped(&server), both - 1, "it left the process");
            world.sql("UPDATE plugins SET enabled = true WHERE name = 'hello'");
            server.until_text(HELLO, "hello");
            assert_eq!(server.generation("hello"), round + 2);
        }
        // A transaction that is taken back was nothing.
        world.sql("BEGIN; UPDATE plugins SET enabled = false; ROLLBACK");
        // What changes nothing is nothing either.
        let revision = world.sql("SELECT revision FROM plugins WHERE name = 'hello'");
        world.sql("UPDATE plugins SET enabled = true WHERE name = 'hello'");
        assert_eq!(world.sql("SELECT revision FROM plugins WHERE name = 'hello'"), revision);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(server.get(HELLO).text, "hello");
    });
    assert_eq!(server.generation("hello"), 4);
    assert_eq!(server.generation("steady"), 1, "nobody touched it");
    let entries = "SELECT count(*) FROM plugin_journal WHERE plugin = 'hello' AND actor = 'registry' \
         AND what IN ('enabled', 'disabled')";
    world.until_sql(entries, "6");
    // What is disabled stays so over a restart.
    world.sql("UPDATE plugins SET enabled = false WHERE name = 'hello'");
    server.until_plugin("hello", wanted);
    assert!(server.end().0.success());
    let server = world.serve();
    assert_eq!((server.get(HELLO).status, &server.plugin("hello")["state"]), (503, &Value::from("disabled")));
}

fn configure(world: &World, greeting: &str) {
    world.sql(&format!("UPDATE plugins SET config = '{{\"greeting\": \"{greeting}\"}}' WHERE name = 'hello'"));
}

pub(crate) fn config_taken_live(world: &World) {
    world.site.write("plugins/hello.rs", LIVE);
    let server = world.serve();
    server.until_text(HELLO, "");
    under_load(&server, &[STEADY, HELLO], || {
        for greeting in ["one", "two", "three"] {
            configure(world, greeting);
            server.until_text(HELLO, greeting);
        }
        assert_eq!(server.generation("hello"), 1, "it was taken while it served");
        // What it refuses is told, and it goes on as it was; what is no object never comes to it.
        configure(world, "nonsense");
        let reason = server.until_failed("hello", "start");
        assert!(reason.contains("its configuration was refused: nonsense is no greeting"), "{reason}");
        let written = world.try_sql("UPDATE plugins SET config = '[1, 2]' WHERE name = 'hello'");
        if matches!(world.place, Place::Sqlite) {
            world.until_sql("SELECT count(*) FROM plugin_journal WHERE what = 'config-refused'", "1");
        } else {
            assert!(written.unwrap_err().contains("plugins_config_check"));
        }
        assert_eq!((server.get(HELLO).text.as_str(), server.generation("hello")), ("three", 1));
        configure(world, "four");
        server.until_text(HELLO, "four");
    });
    assert_eq!(server.generation("hello"), 1);
    server.until_plugin("hello", |plugin| plugin["failed"].is_null());
    // It begins with it after a restart.
    server.kill();
    world.serve().until_text(HELLO, "four");
}

pub(crate) fn config_by_a_new_generation(world: &World) {
    world.site.write("plugins/hello.rs", ANEW);
    let server = world.serve();
    server.until_text(HELLO, "");
    under_load(&server, &[STEADY, HELLO], || {
        for (number, greeting) in ["one", "two", "three"].into_iter().enumerate() {
            configure(world, greeting);
            server.until_text(HELLO, greeting);
            assert_eq!(server.generation("hello"), number as u64 + 2);
        }
    });
    assert_eq!(server.generation("steady"), 1);
}

pub(crate) fn versions(world: &World) {
    world.site.write("plugins/hello.rs", &with_version("0.1.0", "one"));
    let server = world.serve();
    server.until_text(HELLO, "one");
    let digest = || server.plugin("hello")["serving"]["artifact"].as_str().unwrap().to_owned();
    let first = digest();
    under_load(&server, &[STEADY, HELLO], || {
        world.site.write("plugins/hello.rs", &with_version("0.2.0", "two"));
        server.until_text(HELLO, "two");
        let second = digest();
        world.until_sql("SELECT version FROM plugins WHERE name = 'hello'", "0.2.0");

        // Back by version: the artifact follows. It stays so, although something else lies there.
        world.sql("UPDATE plugins SET version = '0.1.0' WHERE name = 'hello'");
        server.until_text(HELLO, "one");
        assert_eq!(world.sql("SELECT artifact_digest FROM plugins WHERE name = 'hello'"), first);
        assert_eq!(server.act("POST", "/api/v1/reload").status, 202);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(server.get(HELLO).text, "one");

        // Forth by artifact: the version follows.
        world.sql(&format!("UPDATE plugins SET artifact_digest = '{second}' WHERE name = 'hello'"));
        server.until_text(HELLO, "two");
        assert_eq!(world.sql("SELECT version FROM plugins WHERE name = 'hello'"), "0.2.0");

        let refused = world.try_sql("UPDATE plugins SET version = '7.0.0' WHERE name = 'hello'").unwrap_err();
        assert!(refused.contains("there is no artifact of"), "{refused}");

        // Nobody has these bytes: said, and what serves goes on.
        let nothing = format!("sha256:{}", "0".repeat(64));
        world.sql(&format!("UPDATE plugins SET artifact_digest = '{nothing}' WHERE name = 'hello'"));
        let plugin = server.until_plugin("hello", |plugin| !plugin["failed"].is_null());
        assert!(plugin["failed"]["reason"].as_str().unwrap().contains(&nothing[..20]), "{plugin:#}");
        assert_eq!(server.get(HELLO).text, "two");

        world.sql("UPDATE plugins SET version = '0.1.0' WHERE name = 'hello'");
        server.until_text(HELLO, "one");
        // An edit is a new proposal.
        world.site.write("plugins/hello.rs", &with_version("0.3.0", "three"));
        server.until_text(HELLO, "three");
    });
    // Decided while the server is down.
    world.until_sql("SELECT version FROM plugins WHERE name = 'hello'", "0.3.0");
    assert!(server.end().0.success());
    world.sql("UPDATE plugins SET version = '0.2.0' WHERE name = 'hello'");
    world.serve().until_text(HELLO, "two");
}

pub(crate) fn deleted(world: &World) {
    world.site.write("plugins/hello.rs", ANEW);
    world.site.configure("plugins.new = \"disabled\"");
    let server = world.start();
    server.until_plugin("hello", |plugin| plugin["state"] == "disabled");
    server.until_plugin("steady", |plugin| plugin["state"] == "disabled");
    world.sql("UPDATE plugins SET enabled = true");
    server.until_text(STEADY, "steady");
    configure(world, "hi");
    server.until_text(HELLO, "hi");
    under_load(&server, &[STEADY], || {
        // Its entry is there: it is found anew, and new ones wait for an operator.
        world.sql("DELETE FROM plugins WHERE name = 'hello'");
        server.until_status(HELLO, 503);
        server.until_plugin("hello", wanted);
        world.until_sql("SELECT config FROM plugins WHERE name = 'hello' AND NOT enabled", "{}");
        world.sql("UPDATE plugins SET enabled = true WHERE name = 'hello'");
        server.until_text(HELLO, "");

        // Without an entry nothing is left of it.
        fs::remove_file(world.site.path("plugins/hello.rs")).unwrap();
        server.until_plugin("hello", |plugin| plugin["state"] == "missing");
        world.sql("DELETE FROM plugins WHERE name = 'hello'");
        server.until(|server| server.get("/plugins/hello").status, |status| *status == 404);
        assert_eq!(server.get(HELLO).status, 404);
    });
    assert_eq!(mapped(&server), 1);
}

pub(crate) fn gone_and_back(world: &World) {
    let serde = "serde = { version = \"1\", features = [\"derive\"] }\n";
    world.site.write("plugins/hello/Cargo.toml", &(manifest("hello") + serde));
    world.site.write("plugins/hello/src/lib.rs", ANEW);
    let server = world.serve();
    server.until_text(HELLO, "");
    configure(world, "hi");
    server.until_text(HELLO, "hi");
    under_load(&server, &[STEADY], || {
        for _ in 0..2 {
            fs::rename(world.site.path("plugins/hello"), world.site.path("elsewhere")).unwrap();
            server.until_status(HELLO, 404);
            server.until_plugin("hello", |plugin| plugin["state"] == "missing" && at_rest(plugin));
            let row = "SELECT count(*) FROM plugins WHERE name = 'hello' AND enabled AND NOT removed";
            assert_eq!(world.sql(row), "1", "the row stays");
            fs::rename(world.site.path("elsewhere"), world.site.path("plugins/hello")).unwrap();
            server.until_text(HELLO, "hi");
        }
        // What is decided while it is away holds when it comes back.
        fs::rename(world.site.path("plugins/hello"), world.site.path("elsewhere")).unwrap();
        server.until_plugin("hello", |plugin| plugin["state"] == "missing");
        configure(world, "welcome back");
        fs::rename(world.site.path("elsewhere"), world.site.path("plugins/hello")).unwrap();
        server.until_text(HELLO, "welcome back");
    });
    world.until_sql("SELECT state FROM plugin_status WHERE name = 'hello'", "serving");
}

/// How often servers read the record, by their log.
fn readings(world: &World) -> usize {
    world.log().matches("the record was read").count()
}

pub(crate) fn in_bulk(world: &World) {
    const MANY: usize = 5_000;
    world.site.write("plugins/hello.rs", &single("hello"));
    let server = world.serve();
    server.until_text(HELLO, "hello");
    let rows: Vec<_> = (0..MANY).map(|number| format!("('plugin-{number}')")).collect();
    let fill = format!("INSERT INTO plugins (name) VALUES {}", rows.join(", "));
    under_load(&server, &[STEADY], || {
        world.sql(&fill);
        server.until_plugin(&format!("plugin-{}", MANY - 1), |plugin| plugin["state"] == "missing");
        quiet(world);
        let before = readings(world);
        world.sql("UPDATE plugins SET enabled = false WHERE name <> 'steady'");
        server.until_plugin("hello", wanted);
        server.until_plugin(&format!("plugin-{}", MANY - 1), |plugin| plugin["enabled"] == false);
        quiet(world);
        let read = readings(world) - before;
        assert!(
            (1..=10).contains(&read),
            "{MANY} rows were changed by one statement, and the record was read {read} times"
        );
        world.sql("UPDATE plugins SET enabled = true");
        server.until_text(HELLO, "hello");
        world.sql("DELETE FROM plugins WHERE name LIKE 'plugin-%'");
        server.until(|server| server.plugin("plugin-7"), Value::is_null);
    });
    assert_eq!(server.generation("steady"), 1);
}

/// Waits until nothing is read any more.
fn quiet(world: &World) {
    let mut before = readings(world);
    loop {
        thread::sleep(Duration::from_millis(1_500));
        let now = readings(world);
        if now == before {
            return;
        }
        before = now;
    }
}

/// It is gone, and its entry is kept where it does not come back from.
fn until_removed(world: &World, server: &Server) {
    server.until_status(HELLO, 404);
    server.until(|_| world.site.path("plugins/hello.rs").exists(), |there| !there);
    server.until_plugin("hello", |plugin| plugin.is_null() || at_rest(plugin));
    let kept = fs::read_dir(world.site.path(".camlock/removed")).unwrap().flatten();
    assert!(kept.into_iter().any(|kept| kept.file_name().to_string_lossy().contains("hello")));
    assert_eq!(server.act("POST", "/api/v1/reload").status, 202);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(server.get(HELLO).status, 404, "it does not come back by itself");
}

pub(crate) fn removed_by_sql(world: &World) {
    world.site.write("plugins/hello.rs", &single("one"));
    let server = world.serve();
    server.until_text(HELLO, "one");
    under_load(&server, &[STEADY], || {
        world.sql("UPDATE plugins SET removed = true WHERE name = 'hello'");
        until_removed(world, &server);
        // Put there anew, it is a newcomer.
        world.site.write("plugins/hello.rs", &single("two"));
        server.until_text(HELLO, "two");
    });
    assert!(server.end().0.success());
    world.serve().until_text(HELLO, "two");
}

pub(crate) fn removed_by_operators(world: &World) {
    world.site.write("plugins/hello.rs", &single("one"));
    let server = world.serve();
    server.until_text(HELLO, "one");
    under_load(&server, &[STEADY], || {
        let answer = server.act("DELETE", "/api/v1/plugins/hello");
        assert_eq!(answer.status, 200, "{answer:?}");
        until_removed(world, &server);
        // The very same again.
        world.site.write("plugins/hello.rs", &single("one"));
        server.until_text(HELLO, "one");
        let (code, said) = world.command(&server, &["remove", "hello"]);
        assert_eq!(code, Some(0), "{said}");
        until_removed(world, &server);
    });
    assert!(server.end().0.success());
    let server = world.serve();
    assert_eq!(server.get(HELLO).status, 404);
    world.until_sql("SELECT count(*) FROM plugin_journal WHERE plugin = 'hello' AND what = 'removed'", "2");
}
