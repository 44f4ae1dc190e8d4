//! `camlock check`, `camlock build` and `camlock inspect`.

use crate::{Ended, command, end, site};
use camlock_testing::{Site, files_of, manifest, single};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Everything that lies in a site.
fn everything(site: &Site) -> BTreeSet<PathBuf> {
    files_of(&site.path("."))
}

#[test]
fn a_good_plugin_is_checked_and_nothing_is_changed() {
    let site = site();
    site.write("plugins/hello.rs", &single("one"));
    site.write("plugins/hello/notes.txt", "no plugin");
    let before = everything(&site);
    let text = end(command(&site, &["check", "plugins/hello.rs"])).done();
    for part in
        ["manifest   good\n", "build      good (", "verify     good (", "registers  hello 0.1.0\n", "/api/v1/p/hello/"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let checked = end(command(&site, &["check", "plugins/hello.rs", "--json"])).json();
    assert_eq!((&checked["good"], &checked["failed"], &checked["conflicts"]), (&json!(true), &json!(null), &json!([])));
    assert_eq!(checked["registers"]["urls"], json!(["/api/v1/p/hello/"]));
    assert!(checked["stages"]["build"].is_number() && checked["artifact"].as_str().unwrap().starts_with("sha256:"));
    assert!(checked["lints"][0].as_str().unwrap().starts_with("it has no `description`"), "{checked:#}");
    assert_eq!(everything(&site), before);
}

#[test]
fn migrations_are_read_before_they_run() {
    let site = site();
    let asking = "\n[package.metadata.camlock]\npermissions = [\"database\"]\n";
    site.write("shop/migrations/0001_first.sql", "CREATE TABLE p_shop__orders (id INTEGER PRIMARY KEY);");
    site.write("shop/migrations/0002_less.sql", "-- camlock: contract\nDROP TABLE p_shop__orders;");
    site.write("shop/src/lib.rs", &single("one"));
    site.write("shop/Cargo.toml", &manifest("shop"));
    let ended = end(command(&site, &["check", "shop"]));
    assert!(
        ended.failed(1).contains("it has migrations, and does not ask for the permission `database`"),
        "{}",
        ended.stderr
    );
    site.write("shop/Cargo.toml", &(manifest("shop") + asking));
    let text = end(command(&site, &["check", "shop"])).done();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("migrat")).collect();
    assert!(rows[0].contains("good (") && rows[1].ends_with(" 0001_first.sql"), "{text}");
    assert!(rows[2].ends_with(" 0002_less.sql (once a version that ends with it stays)"), "{text}");
    // For the one database it would do, for the other it would not.
    let key = "CREATE TABLE p_shop__o (plugin TEXT REFERENCES plugins (name) ON DELETE CASCADE);";
    site.write("shop/migrations/0003_key.sql", key);
    site.write("shop/src/lib.rs", &single("two"));
    let ended = end(command(&site, &["check", "shop", "--json"]));
    ended.failed(1);
    let checked: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(checked["failed"]["stage"], "migrate");
    let reason = checked["failed"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("migrations/0003_key.sql:1: ") && reason.contains("SQLite"), "{reason}");
}

#[test]
fn what_is_wrong_with_a_plugin_is_told_with_its_stage() {
    let site = site();
    site.write("broken.rs", &single("one").replace("get(", "got("));
    let ended = end(command(&site, &["check", "broken.rs"]));
    assert!(
        ended
            .failed(1)
            .starts_with("broken: build failed: it does not compile: broken.rs:11: cannot find function `got`")
    );
    assert!(
        ended.stderr.contains("error[E0425]: cannot find function `got`") && ended.stdout.contains("build     failed")
    );
    let ended = end(command(&site, &["check", "broken.rs", "--json"]));
    ended.failed(1);
    let checked: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&checked["good"], &checked["failed"]["stage"]), (&json!(false), &json!("build")));
    assert_eq!(checked["failed"]["diagnostics"][0]["line"], 11);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);

    site.write("wrong/Cargo.toml", &(manifest("wrong") + "[package.metadata.camlock]\nroutez = []\n"));
    site.write("wrong/src/lib.rs", &single("x"));
    let ended = end(command(&site, &["check", "wrong"]));
    assert!(ended.failed(1).starts_with("wrong: manifest failed: Cargo.toml, line "), "{}", ended.stderr);

    site.write("panics.rs", &single("one").replace("Ok(Plugin1)", "panic!(\"not today\")"));
    let ended = end(command(&site, &["check", "panics.rs"]));
    assert!(ended.failed(1).starts_with("panics: verify failed: "), "{}", ended.stderr);
    assert!(ended.failed(1).contains("not today"), "{}", ended.stderr);

    site.write("fake.so", "\u{7f}ELF and nothing more");
    let ended = end(command(&site, &["check", "fake.so"]));
    assert!(ended.failed(1).starts_with("fake: verify failed: "), "{}", ended.stderr);
    assert!(end(command(&site, &["check", "nothing"])).refused(1).contains("it cannot be found"));
    assert!(end(command(&site, &["check", "plugins"])).refused(1).contains("no plugin lies there; name a folder"));
}

#[test]
fn conflicts_with_other_plugins_are_found() {
    let site = site();
    let claims = |routes: &str, more: &str| {
        format!("---\n[package.metadata.camlock]\nroutes = [\"{routes}\"]\n{more}\n---\n{}", single("x"))
    };
    site.write("plugins/first.rs", &claims("/tables/*", ""));
    site.write("plugins/second.rs", &claims("/tables/people", "dependencies = { kv-store = \"^1\" }"));
    let ended = end(command(&site, &["check", "plugins/second.rs", "--json"]));
    assert!(
        ended
            .failed(1)
            .starts_with("second is good, but it would not be served: `/tables/people` overlaps with `/tables/*`")
    );
    let checked: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let conflicts: Vec<_> =
        checked["conflicts"].as_array().unwrap().iter().map(|it| (&it["with"], &it["passing"])).collect();
    assert_eq!(conflicts, [(&json!("first"), &json!(false)), (&json!("kv-store"), &json!(true))]);
    assert_eq!(checked["registers"]["urls"], json!(["/api/v1/p/second/", "/tables/people"]));

    site.write("about.rs", &single("x"));
    let ended = end(command(&site, &["check", "about.rs"]));
    assert!(ended.failed(1).contains("another plugin `about` is in the server"), "{}", ended.stderr);
    // The very plugin that lies there is no conflict.
    fs::remove_file(site.path("plugins/second.rs")).unwrap();
    end(command(&site, &["check", "plugins/first.rs"])).done();
}

#[test]
fn an_artifact_is_built_inspected_and_served() {
    let site = site();
    site.write("hello/Cargo.toml", &manifest("hello"));
    site.write("hello/src/lib.rs", &(single("one") + "\nfn unused() {}\n"));
    let ended = end(command(&site, &["build", "hello", "--profile", "quick"]));
    assert!(ended.stderr.contains("warning: function `unused` is never used\n  --> src/lib.rs:"), "{}", ended.stderr);
    assert!(ended.done().starts_with("hello 0.1.0 is in hello.so ("));
    // What was fresh is not compiled again, and its warnings are shown all the same.
    let ended = end(command(&site, &["build", "hello", "--profile", "quick", "-o", "out/", "--json"]));
    assert!(ended.stderr.contains("function `unused` is never used"), "{}", ended.stderr);
    let built = ended.json();
    let inspected = end(command(&site, &["inspect", built["file"].as_str().unwrap(), "--json"])).json();
    assert_eq!((&inspected["name"], &inspected["artifact"]), (&json!("hello"), &built["artifact"]));
    let text = end(command(&site, &["inspect", "hello.so"])).done();
    assert!(text.contains("name         hello\n") && text.contains("unloads      yes"), "{text}");
    assert!(!site.path("hello/target").exists() && !site.path("hello/Cargo.lock").exists());

    // A server is handed it whole.
    let server = site.start();
    end(command(&site, &["build", "hello", "--profile", "quick", "-o", "plugins"])).done();
    server.until_text("/api/v1/p/hello/", "one");
    assert_eq!(server.generation("hello"), 1);
    let told = end(command(&site, &["build", "plugins/hello.so", "-o", "x.so"])).refused(1);
    assert_eq!(told, "plugins/hello.so is built already: `camlock inspect` shows it");
}

#[test]
fn what_cannot_be_built_is_told_as_cargo_tells_it() {
    let site = site();
    site.write("broken.rs", &single("one").replace("get(", "got("));
    let ended = end(command(&site, &["build", "broken.rs", "--profile", "quick"]));
    assert!(
        ended.failed(1).starts_with("it does not compile: broken.rs:11: cannot find function `got`"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        ended.stderr.matches("error[E0425]: cannot find function `got` in this scope").count(),
        1,
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains(" --> broken.rs:11:") && !ended.stderr.contains('\x1b'), "{}", ended.stderr);
    assert!(!site.path("broken.so").exists());
    // Cargo's own words, where no compiler said anything.
    site.write("wants/Cargo.toml", &(manifest("wants") + "camlock-no-such-crate = { path = \"nowhere\" }\n"));
    site.write("wants/src/lib.rs", &single("x"));
    let ended = end(command(&site, &["build", "wants", "--profile", "quick"]));
    ended.failed(1);
    assert!(ended.stderr.contains("camlock-no-such-crate"), "{}", ended.stderr);

    site.write("plugins/hello.rs", &single("x"));
    let mut within = command(&site, &["build", "hello.rs"]);
    within.current_dir(site.plugins());
    let told = end(within).refused(2);
    assert!(told.starts_with("hello.so would lie in the plugins directory"), "{told}");
    assert_eq!(fs::read_dir(site.plugins()).unwrap().count(), 1);
}

#[test]
fn an_interrupted_build_leaves_nothing_running() {
    let site = site();
    site.write("slow/Cargo.toml", &manifest("slow"));
    site.write("slow/src/lib.rs", &single("x"));
    site.write("slow/build.rs", "fn main() { std::thread::sleep(std::time::Duration::from_secs(3000)); }");
    let mut command = command(&site, &["build", "slow"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let running = |part: &str| {
        site.processes().into_iter().any(|id| {
            fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(part))
        })
    };
    let began = Instant::now();
    while !running("build-script-build") {
        assert!(began.elapsed() < Duration::from_secs(300), "it does not begin");
        thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ended: Ended = child.wait_with_output().unwrap().into();
    assert_eq!(ended.failed(1), "interrupted");
    assert_eq!(site.processes(), Vec::<u32>::new());
}
