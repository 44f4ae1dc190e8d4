//! The contract grows: hosts and plugins of different minor versions, and plugins that are linked in instead of loaded.

use crate::{
    harness::{Host, run},
    later,
};
use camlock_testing::{Fixtures, repository, run_cargo, trial};
use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What all fixtures are compiled into, so that little is compiled twice.
fn target() -> PathBuf {
    repository().join("target/fixtures")
}

/// The example program of the loader, as a host of today: this program, called by its name.
#[path = "../../../loader/examples/try_plugin.rs"]
mod example;

const EXAMPLE: &str = "try_plugin";

/// In a process that is started as the example: is it.
pub fn run_if_called_example() {
    if std::env::args_os().next().is_some_and(|name| name == EXAMPLE) {
        let ended = example::main();
        if let Err(error) = &ended {
            eprintln!("Error: {error:?}");
        }
        std::process::exit(ended.is_err().into());
    }
}

fn host() -> PathBuf {
    std::env::current_exe().expect("this program lies somewhere")
}

/// A plugin of another fixture workspace.
pub fn plugin(workspace: &str, name: &str) -> PathBuf {
    let fixtures = repository().join("core/loader/fixtures").join(workspace);
    let dir = target();
    run_cargo(&fixtures, &["build", "--locked", "-p", name, "--target-dir", dir.to_str().expect("a plain path")]);
    Fixtures::quick().library(name)
}

/// A plugin built from a frozen version of the contract: from its archive, or, as long as that was not made, from one that
/// `scripts/freeze` makes of the source as it is.
fn frozen(version: &str) -> PathBuf {
    let dir = target().join(format!("frozen-{version}"));
    fs::create_dir_all(&dir).expect("a directory");
    let kept = repository().join(format!("core/loader/fixtures/frozen-{version}.tar.gz"));
    let archive = if kept.exists() {
        kept
    } else {
        let made = dir.join("current.tar.gz");
        let script = repository().join("scripts/freeze");
        let output = Command::new(script).arg(version).arg(&made).output().expect("the script starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        made
    };
    // Unpacked only when it is another one: cargo goes by the files' times.
    let packed = fs::read(&archive).expect("the archive can be read");
    let (source, unpacked) = (dir.join("source"), dir.join("unpacked.tar.gz"));
    if fs::read(&unpacked).ok().as_ref() != Some(&packed) {
        if source.exists() {
            fs::remove_dir_all(&source).expect("the source unpacked before can be removed");
        }
        fs::create_dir(&source).expect("a directory");
        let status = Command::new("tar").arg("-xmzf").arg(&archive).arg("-C").arg(&source).status();
        assert!(status.expect("tar is there").success(), "{} cannot be unpacked", archive.display());
        fs::write(&unpacked, packed).expect("it can be noted");
    }
    // What it is built from is the fixtures' for the most part.
    let into = target();
    run_cargo(&source, &["build", "--locked", "--target-dir", into.to_str().expect("a plain path")]);
    Fixtures::quick().library("frozen")
}

fn try_plugin(host: &Path, library: &Path) -> Output {
    Command::new(host).arg0(EXAMPLE).arg(library).arg("/hello").output().expect("the host starts")
}

/// What a host prints that succeeds.
fn printed(host: &Path, library: &Path) -> String {
    let output = try_plugin(host, library);
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}{errors}");
    assert!(printed.contains("Unmapped"), "{printed}");
    printed.into_owned()
}

#[trial]
fn this_host_loads_a_plugin_frozen_at_1_0() {
    let library = frozen("1.0");
    let printed = printed(&host(), &library);
    assert!(printed.contains("host contract 1.0, plugin contract 1.0\n200 OK: Hello from 1.0!"), "{printed}");
    run(async {
        let host = Host::new();
        let loaded = host.load_with(&library, r#"{"number":1}"#).await.expect("it can be loaded");
        let served = host.serve_loaded(loaded).await;
        assert_eq!(served.text("/config").await, r#"{"number":1}"#);
        assert_eq!(served.instance.configure(r#"{"number":2}"#.into()).await, Ok(true));
        assert_eq!(served.text("/config").await, r#"{"number":2}"#);
        served.unload_wholly().await;
    });
}

#[trial]
fn a_later_host_loads_a_plugin_frozen_at_1_0() {
    let printed = printed(later::host(), &frozen("1.0"));
    let expected = "reply: None\nhost contract 1.1, plugin contract 1.0\n200 OK: Hello from 1.0!";
    assert!(printed.contains(expected), "{printed}");
}

#[trial]
fn a_later_host_loads_a_later_plugin() {
    for name in ["greeter", "needy"] {
        let printed = printed(later::host(), &later::plugin(name));
        let greeting = "hello from a later host";
        let expected =
            format!("reply: Some(\"{greeting}\")\nhost contract 1.1, plugin contract 1.1\n200 OK: {greeting}");
        assert!(printed.contains(&expected), "{printed}");
    }
}

#[trial]
fn this_host_loads_a_later_plugin_that_requires_nothing() {
    let printed = printed(&host(), &later::plugin("greeter"));
    let expected = "host contract 1.0, plugin contract 1.1\n200 OK: the host has no greeting";
    assert!(printed.contains(expected), "{printed}");
}

#[trial]
fn this_host_names_what_it_lacks() {
    let output = try_plugin(&host(), &later::plugin("needy"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        errors.contains(
            "it requires `greeting` of the host, which this host (contract 1.0) lacks; it was built for contract 1.1: \
             update the server, or build the plugin without that requirement"
        ),
        "{errors}"
    );
}

#[trial]
fn two_plugins_link_into_one_program() {
    let fixtures = repository().join("core/loader/fixtures");
    let dir = target();
    let into = dir.to_str().expect("a plain path");
    // With the interception there and inert, and without it.
    for features in ["", "bare"] {
        run_cargo(&fixtures, &["build", "--locked", "-p", "program", "--features", features, "--target-dir", into]);
        let program = Fixtures::quick().program("program");
        let output = Command::new(&program).output().expect("it starts");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(printed, "Hello from a plugin!\n7 true\n10 thread-locals dropped\n", "{output:?}");
        let symbols = Command::new("nm").arg(&program).output().expect("nm is there");
        let symbols = String::from_utf8_lossy(&symbols.stdout);
        assert_eq!(symbols.contains(" t pthread_create\n"), features.is_empty());
    }
}
