//! `camlock new`.

use crate::{cache, camlock, command, end, site};
use camlock_testing::{repository, request_with};
use std::{fs, path::Path, process::Command};

/// A plugin's own tests, as its author runs them. There are so many.
fn cargo_test(plugin: &Path, count: usize, lock: &str) {
    // The versions that others are locked to: so little is built twice.
    fs::copy(repository().join(lock), plugin.join("Cargo.lock")).unwrap();
    let output = Command::new("cargo")
        .arg("test")
        .current_dir(plugin)
        .env("CARGO_TARGET_DIR", repository().join("target/plugins"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && stdout.contains(&format!("test result: ok. {count} passed")),
        "{stdout}\n{stderr}"
    );
    assert!(!stderr.contains("warning"), "{stderr}");
}

#[test]
fn a_new_plugin_is_served_by_a_server_that_runs_and_passes_its_tests() {
    let site = site();
    let server = site.start();
    server.until_serving("about");
    let told = end(command(&site, &["new", "hello", "--in", "plugins"])).done();
    assert!(told.starts_with("hello is in plugins/hello\n") && told.contains("camlock dev plugins/hello"), "{told}");
    end(command(&site, &["new", "one-file", "--in", "plugins", "--template", "single-file"])).done();
    server.until_text("/api/v1/p/hello/", "Hello from hello!");
    server.until_text("/api/v1/p/hello/hello/Ada", r#"{"text":"Hello, Ada!","greeted":1}"#);
    server.until_text("/api/v1/p/one-file/", "Hello from one-file!");
    server.until_text("/api/v1/p/one-file/hello/Ada", "Hello, Ada!");
    assert_eq!((server.generation("hello"), server.generation("one-file")), (1, 1), "each was whole when it was there");
    let mut names: Vec<_> = fs::read_dir(site.plugins()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["hello", "one-file.rs"], "nothing temporary is left");
    server.end();

    // Where it lies is of no consequence.
    fs::create_dir(site.path("elsewhere")).unwrap();
    let moved = site.path("elsewhere/moved");
    fs::rename(site.path("plugins/hello"), &moved).unwrap();
    cargo_test(&moved, 1, "core/loader/fixtures/Cargo.lock");
}

#[test]
fn one_with_events_hears_of_them_and_passes_its_tests() {
    let site = site();
    let server = site.start();
    end(command(&site, &["new", "sessions", "--in", "plugins", "--template", "events"])).done();
    server.until_text("/api/v1/p/sessions/", "{}");
    let durable = |server: &camlock_testing::Server| server.get_as_admin("/api/v1/subscriptions").text;
    server.until(durable, |text| text.contains("sessions:sessions"));
    end(command(&site, &["emit", "session.created", r#"{"user":7}"#])).done();
    server.until_text("/api/v1/p/sessions/", r#"{"session.created":1}"#);
    server.end();
    cargo_test(&site.path("plugins/sessions"), 2, "Cargo.lock");
}

#[test]
fn one_with_a_database_is_served_and_passes_its_tests() {
    let site = site();
    let server = site.start();
    end(command(&site, &["new", "guest-book", "--in", "plugins", "--template", "database"])).done();
    let path = "/api/v1/p/guest-book/";
    server.until_text(path, r#"{"visits":1,"entries":[]}"#);
    let sign = |words: &str| {
        let headers = [("content-type", "application/json")];
        let entry = serde_json::json!({ "who": "Ada", "words": words }).to_string();
        request_with(server.address, "POST", path, &headers, &entry).unwrap().status
    };
    assert_eq!(sign("Hello!"), 201);
    let told = r#"{"visits":2,"entries":[{"who":"Ada","words":"Hello!"}]}"#;
    assert_eq!(server.get(path).text, told);
    end(command(&site, &["config", "guest-book", "set", "longest=3"])).done();
    server.until(|_| sign("Hello!"), |status| *status == 400);
    let told = end(command(&site, &["check", "plugins/guest-book"])).done();
    assert!(told.contains("0001_entries.sqlite.sql") && told.contains("0001_entries.postgres.sql"), "{told}");
    server.end();
    cargo_test(&site.path("plugins/guest-book"), 3, "Cargo.lock");
}

#[test]
fn one_with_tasks_is_served_and_passes_its_tests() {
    let site = site();
    let server = site.start();
    end(command(&site, &["new", "word-count", "--in", "plugins", "--template", "task"])).done();
    let path = "/api/v1/p/word-count";
    let enqueue = || {
        request_with(server.address, "POST", &format!("{path}/"), &[], "three little words")
            .map(|made| (made.status, made.text))
    };
    let made = server.until(|_| enqueue(), |made| made.as_ref().is_ok_and(|(status, _)| *status == 200));
    let done = r#"{"error":null,"result":{"words":3},"state":"done"}"#;
    server.until_text(&format!("{path}/{}", made.unwrap().1), done);
    let told = end(command(&site, &["show", "word-count"])).done();
    assert!(told.contains("nightly") && told.contains("30 3 * * * UTC"), "{told}");
    server.end();
    cargo_test(&site.path("plugins/word-count"), 2, "Cargo.lock");
}

#[test]
fn one_with_a_widget_brings_it_to_the_page_and_passes_its_tests() {
    let site = site();
    let server = site.start();
    end(command(&site, &["new", "counts", "--in", "plugins", "--template", "widget"])).done();
    server.until_text("/api/v1/p/counts/count", r#"{"count":0}"#);
    let brought = server.get_as_admin("/api/v1/extensions").json()["items"][0].clone();
    assert_eq!(brought["rights"], serde_json::json!(["ui:read", "ui:call"]), "{brought}");
    assert_eq!((&brought["widgets"][0]["id"], &brought["pages"][0]["module"]), (&"count".into(), &"count.js".into()));
    server.end();
    cargo_test(&site.path("plugins/counts"), 1, "core/loader/fixtures/Cargo.lock");
}

#[test]
fn a_clone_is_told_where_the_sdk_is() {
    let dir = tempfile::tempdir().unwrap();
    let within = dir.path().to_str().unwrap();
    end(camlock(&["new", "hello", "--in", within])).done();
    let config = dir.path().join("hello/.cargo/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    // That file is this machine's: git leaves it out.
    let ignored = fs::read_to_string(dir.path().join("hello/.gitignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "/.cargo/config.toml"), "{ignored}");
    fs::remove_dir_all(dir.path().join("hello/.cargo")).unwrap();
    end(camlock(&["new", "hello", "--in", within, "--relink"])).done();
    assert_eq!(fs::read_to_string(&config).unwrap(), text);
    let sdk = text.lines().find_map(|line| line.strip_prefix("camlock-plugin.path = \"")?.strip_suffix('"')).unwrap();
    assert!(Path::new(sdk).join("src/lib.rs").is_file() && Path::new(sdk).starts_with(cache()), "{sdk}");

    fs::write(&config, "[build]\njobs = 1\n").unwrap();
    let told = end(camlock(&["new", "hello", "--in", within, "--relink"])).refused(1);
    assert!(told.contains("was not written by camlock"), "{told}");
    let told = end(camlock(&["new", "other", "--in", within, "--relink"])).refused(1);
    assert!(told.contains("other is no plugin's folder: it has no Cargo.toml"), "{told}");
}

#[test]
fn what_cannot_become_a_plugin_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let within = dir.path().to_str().unwrap();
    for (name, sentence) in [
        ("Hello", "`Hello` is no name for a plugin: 3 to 50 lower-case letters"),
        ("catalog", "the name `catalog` is reserved"),
        ("serde", "`serde` is a word of Rust's, or a crate that plugins use"),
        ("../x", "is no name for a plugin"),
    ] {
        let told = end(camlock(&["new", name, "--in", within])).refused(2);
        assert!(told.contains(sentence), "{told}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    fs::write(dir.path().join("hello.rs"), "mine").unwrap();
    let told = end(camlock(&["new", "hello", "--in", within])).refused(1);
    assert!(told.ends_with("hello.rs is there already: choose another name, or remove it"), "{told}");
    assert_eq!(fs::read_to_string(dir.path().join("hello.rs")).unwrap(), "mine");
    let mut homeless = camlock(&["new", "hello", "--in", within]);
    homeless.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    fs::remove_file(dir.path().join("hello.rs")).unwrap();
    assert!(end(homeless).refused(1).starts_with("there is no cache directory"));
}
