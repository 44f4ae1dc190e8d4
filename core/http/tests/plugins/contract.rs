//! The contract grows: hosts and plugins of different minor versions, and plugins that are linked in instead of loaded.

use crate::harness::{Host, run};
use camlock_testing::{Fixtures, repository, run_cargo, trial};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

fn target(name: &str) -> PathBuf {
    repository().join("target").join(name)
}

/// The example program of the loader, as a host of today or of 1.2.
fn host(next: bool) -> &'static Path {
    static TODAY: OnceLock<PathBuf> = OnceLock::new();
    static NEXT: OnceLock<PathBuf> = OnceLock::new();
    (if next { &NEXT } else { &TODAY }).get_or_init(|| {
        let dir = target(if next { "next" } else { "today" });
        let into = dir.to_str().expect("a plain path");
        let mut arguments =
            vec!["build", "--locked", "-p", "camlock-loader", "--example", "try_plugin", "--target-dir", into];
        if next {
            arguments.extend(["--features", "camlock-loader/next"]);
        }
        run_cargo(&repository(), &arguments);
        dir.join("debug/examples/try_plugin")
    })
}

/// A plugin of another fixture workspace.
pub fn plugin(workspace: &str, name: &str) -> PathBuf {
    let fixtures = repository().join("core/loader/fixtures").join(workspace);
    let dir = target("fixtures").join(workspace);
    run_cargo(&fixtures, &["build", "--locked", "-p", name, "--target-dir", dir.to_str().expect("a plain path")]);
    dir.join("debug").join(format!("lib{name}.so"))
}

fn try_plugin(next: bool, library: &Path) -> Output {
    Command::new(host(next)).arg(library).arg("/hello").output().expect("the host starts")
}

/// What a host prints that succeeds.
fn tried(next: bool, library: &Path) -> String {
    let output = try_plugin(next, library);
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("Unmapped"), "{said}");
    said.into_owned()
}

#[trial]
fn this_host_loads_a_plugin_frozen_at_1_0() {
    let said = tried(false, &plugin("frozen-1.0", "frozen"));
    assert!(said.contains("host contract 1.1, plugin contract 1.0\n200 OK: Hello from 1.0!"), "{said}");
}

#[trial]
fn this_host_loads_a_plugin_frozen_at_1_1() {
    let library = plugin("frozen-1.1", "frozen");
    run(async {
        let host = Host::new();
        let loaded = host.load_with(&library, r#"{"number":1}"#).await.expect("it can be loaded");
        let served = host.serve_loaded(loaded).await;
        assert_eq!(served.text("/hello").await, "Hello from 1.1!");
        assert_eq!(served.text("/config").await, r#"{"number":1}"#);
        assert_eq!(served.instance.configure(r#"{"number":2}"#.into()).await, Ok(true));
        assert_eq!(served.text("/config").await, r#"{"number":2}"#);
        served.unload_wholly().await;
    });
}

#[trial]
fn a_host_at_1_2_loads_a_plugin_frozen_at_1_1() {
    let said = tried(true, &plugin("frozen-1.1", "frozen"));
    assert!(said.contains("host contract 1.2, plugin contract 1.1\nreply: None\n200 OK: Hello from 1.1!"), "{said}");
}

#[trial]
fn a_plugin_frozen_at_1_0_is_configured_by_a_new_one() {
    let library = plugin("frozen-1.0", "frozen");
    run(async {
        let host = Host::new();
        // It never asks, and is no worse for it.
        let loaded = host.load_with(&library, r#"{"any":"thing"}"#).await.expect("it can be loaded");
        let served = host.serve_loaded(loaded).await;
        assert_eq!(served.instance.configure(r#"{"other":"thing"}"#.into()).await, Ok(false));
        assert_eq!(served.text("/hello").await, "Hello from 1.0!");
        served.unload_wholly().await;
    });
}

#[trial]
fn a_host_at_1_2_loads_a_plugin_frozen_at_1_0() {
    let said = tried(true, &plugin("frozen-1.0", "frozen"));
    assert!(said.contains("host contract 1.2, plugin contract 1.0\nreply: None\n200 OK: Hello from 1.0!"), "{said}");
}

#[trial]
fn a_host_at_1_2_loads_a_plugin_at_1_2() {
    for name in ["greeter", "needy"] {
        let said = tried(true, &plugin("next", name));
        let greeting = "hello from a host of contract 1.2";
        assert!(said.contains(&format!("reply: Some(\"{greeting}\")\n200 OK: {greeting}")), "{said}");
    }
}

#[trial]
fn this_host_loads_a_newer_plugin_that_requires_nothing() {
    let said = tried(false, &plugin("next", "greeter"));
    assert!(said.contains("host contract 1.1, plugin contract 1.2\n200 OK: the host has no greeting"), "{said}");
}

#[trial]
fn this_host_names_what_it_lacks() {
    let output = try_plugin(false, &plugin("next", "needy"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        errors.contains(
            "it requires `greeting` of the host, which this host (contract 1.1) lacks; it was built for contract 1.2: \
             update the server, or build the plugin without that requirement"
        ),
        "{errors}"
    );
}

#[trial]
fn two_plugins_link_into_one_program() {
    let fixtures = repository().join("core/loader/fixtures");
    let dir = target("fixtures");
    let into = dir.to_str().expect("a plain path");
    // With the interception there and inert, and without it.
    for features in ["", "bare"] {
        run_cargo(&fixtures, &["build", "--locked", "-p", "program", "--features", features, "--target-dir", into]);
        let program = Fixtures::quick().program("program");
        let output = Command::new(&program).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "Hello from a plugin!\n7 true\n10 thread-locals dropped\n", "{output:?}");
        let symbols = Command::new("nm").arg(&program).output().expect("nm is there");
        let symbols = String::from_utf8_lossy(&symbols.stdout);
        assert_eq!(symbols.contains(" t pthread_create\n"), features.is_empty());
    }
}
