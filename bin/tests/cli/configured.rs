//! Configurations that have a schema, by the command line, against a real server.

use crate::{Ended, command, end, site};
use camlock_testing::{Server, Site};
use serde_json::json;
use std::{fs, io::Write as _, os::unix::fs::PermissionsExt, process::Stdio};

const MANIFEST: &str = r#"[package]
name = "greeter"
version = "0.1.0"
edition = "2024"

[package.metadata.camlock]
config = "config.schema.json"

[lib]
crate-type = ["cdylib"]

[dependencies]
camlock-plugin = "1"
"#;

const SCHEMA: &str = r#"{
    "title": "Greetings",
    "type": "object",
    "properties": {
        "greeting": {"type": "string", "minLength": 1, "default": "Hello!"},
        "password": {"type": "string", "sensitive": true},
        "limits": {"type": "object", "properties": {"rows": {"type": "integer", "maximum": 100}}}
    },
    "additionalProperties": false
}"#;

const SOURCE: &str = r#"use camlock_plugin::{Config, Taken, prelude::*};

struct Greeter(Host);

impl Plugin for Greeter {
    async fn create(host: Host) -> Result<Self> {
        Ok(Greeter(host))
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/", get(async |State(this): State<Arc<Self>>| this.0.config_text())).with_state(self)
    }

    async fn configure(&self, _: Config) -> Result<Taken> {
        Ok(Taken::Live)
    }
}

export!(Greeter);
"#;

fn greeter() -> (Site, Server) {
    let site = site();
    site.write("plugins/greeter/Cargo.toml", MANIFEST);
    site.write("plugins/greeter/config.schema.json", SCHEMA);
    site.write("plugins/greeter/src/lib.rs", SOURCE);
    let server = site.start();
    server.until_serving("greeter");
    (site, server)
}

fn ask(site: &Site, arguments: &[&str]) -> Ended {
    end(command(site, &[&["config", "greeter"], arguments].concat()))
}

#[test]
fn a_configuration_is_shown_changed_and_described() {
    let (site, server) = greeter();
    let told = || server.get("/api/v1/p/greeter/").json();
    assert_eq!(told(), json!({"greeting": "Hello!"}));
    assert_eq!(ask(&site, &["schema"]).done().trim_end(), SCHEMA);
    assert_eq!(ask(&site, &[]).json(), json!({}));

    let set = ask(&site, &["set", "greeting=Hi!", "limits.rows=3", "password=hunter2"]).done();
    assert_eq!(set, "greeter is configured; generation 1 has it\n");
    assert_eq!(told(), json!({"greeting": "Hi!", "limits": {"rows": 3}, "password": "hunter2"}));
    let shown = json!({"greeting": "Hi!", "limits": {"rows": 3}, "password": "********"});
    assert_eq!(ask(&site, &["get"]).json(), shown);
    assert_eq!(server.get_as_admin("/api/v1/plugins/greeter").json()["config"], shown);

    // What does not fit is told place by place, and changes nothing.
    let ended = ask(&site, &["set", "limits.rows=many", "pasword=hunter3"]);
    let told_why = ended.failed(1);
    assert!(told_why.contains("the configuration does not fit, and nothing was changed"), "{}", ended.stderr);
    for line in [
        "at `/limits/rows`: expected a whole number, found \"many\"",
        "at `/pasword`: expected no such key, found a text",
    ] {
        assert!(ended.stderr.contains(line) && !ended.stderr.contains("hunter"), "{}", ended.stderr);
    }
    assert_eq!(ask(&site, &["get"]).json(), shown);

    // What stands for the secret keeps it.
    let mut whole = command(&site, &["config", "greeter", "set", "-"]);
    whole.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = whole.spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#"{"greeting": "Moin", "password": "********"}"#).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(told(), json!({"greeting": "Moin", "password": "hunter2"}));
    ask(&site, &["set", "--unset", "greeting"]).done();
    assert_eq!(told(), json!({"greeting": "Hello!", "password": "hunter2"}));
    site.write("whole.json", r#"{"greeting": "Servus"}"#);
    ask(&site, &["set", "--file", "whole.json"]).done();
    assert_eq!(told(), json!({"greeting": "Servus"}));
}

/// Where nobody has configured it yet.
#[test]
fn what_cannot_be_seen_before_it_is_configured_is_told() {
    let site = site();
    site.write("greeter/Cargo.toml", MANIFEST);
    let schema = r#"{"required": ["greeting"], "properties": {"greeting": {"type": "string"}}}"#;
    site.write("greeter/config.schema.json", schema);
    let picky = r#"if host.config_text().contains("placeholder") { return Err(Error::msg("what a greeting")); }"#;
    site.write(
        "greeter/src/lib.rs",
        &SOURCE.replace("Ok(Greeter(host))", &format!("{picky}\n        Ok(Greeter(host))")),
    );
    let checked = end(command(&site, &["check", "greeter"])).done();
    let words = "with a configuration made of its schema alone, `create` failed: what a greeting; its real configuration decides";
    assert!(checked.contains("has a schema") && checked.contains(words), "{checked}");
    let checked = end(command(&site, &["check", "greeter", "--json"])).json();
    assert_eq!((&checked["good"], &checked["unseen"]), (&json!(true), &json!("`create` failed: what a greeting")));
}

#[test]
fn it_is_edited() {
    let (site, server) = greeter();
    let editor = |script: &str| {
        site.write("editor", &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(site.path("editor"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut edit = command(&site, &["config", "greeter", "edit"]);
        edit.env_remove("VISUAL").env("EDITOR", site.path("editor"));
        end(edit)
    };
    assert_eq!(editor("true").done(), "nothing was changed\n");
    editor(r#"echo '{"greeting": "Hey"}' > "$1""#).done();
    assert_eq!(server.get("/api/v1/p/greeter/").json(), json!({"greeting": "Hey"}));
    let ended = editor(r#"echo '{"greeting": ""}' > "$1""#);
    let why = ended.failed(1);
    assert!(ended.stderr.contains("at `/greeting`: expected at least 1 character, found \"\""), "{}", ended.stderr);
    let kept = why.rsplit("what you wrote is in ").next().unwrap();
    assert_eq!(fs::read_to_string(kept.trim()).unwrap(), "{\"greeting\": \"\"}\n");
    fs::remove_file(kept.trim()).unwrap();
    assert!(editor("exit 3").failed(1).contains("nothing was changed"));
}

/// An operator's SQL is looked at as well.
#[test]
fn a_row_that_does_not_fit_is_shown_as_rejected() {
    let (site, server) = greeter();
    ask(&site, &["set", "greeting=Hi!"]).done();
    let sql = |config: &str| {
        let database = site.path(".camlock/registry.db");
        let statement = format!("UPDATE plugins SET config = '{config}' WHERE name = 'greeter'");
        let mut shell = std::process::Command::new("sqlite3");
        let done = shell.args(["-cmd", ".timeout 60000"]).arg(database).arg(statement).status().unwrap();
        assert!(done.success());
    };
    sql(r#"{"greeting": 7}"#);
    let reason = server.until_failed("greeter", "config");
    assert!(reason.contains("at `/greeting`: expected a text, found 7; it goes on with the one before"), "{reason}");
    assert_eq!(server.get("/api/v1/p/greeter/").json(), json!({"greeting": "Hi!"}));
    let shown = end(command(&site, &["show", "greeter"])).done();
    assert!(shown.contains("at `/greeting`: expected a text, found 7"), "{shown}");
    assert!(shown.contains("`camlock config greeter edit` mends it"), "{shown}");
    let doctor = end(command(&site, &["doctor"]));
    assert!(doctor.stdout.contains("at `/greeting`: expected a text, found 7"), "{}", doctor.stdout);
    sql(r#"{"greeting": "Moin"}"#);
    server.until_plugin("greeter", |plugin| plugin["failed"].is_null());
    assert_eq!(server.get("/api/v1/p/greeter/").json(), json!({"greeting": "Moin"}));
}
