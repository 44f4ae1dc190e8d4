//! Fixture plugins, built by real cargo into a target directory of their own that all of them share.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The root of the repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("core/testing lies two levels deep").to_owned()
}

/// Runs cargo, without what the cargo that runs the tests put into the environment. Panics with its messages if it fails.
pub fn run_cargo(dir: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(dir).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG") || name.starts_with("CARGO_MANIFEST"))
    {
        command.env_remove(name);
    }
    let output = command.output().expect("cargo can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {} in {} failed:\n{said}", arguments.join(" "), dir.display());
}

/// The fixtures of one profile.
#[derive(Clone, Copy, Debug)]
pub struct Fixtures {
    profile: &'static str,
}

impl Fixtures {
    /// Built for tests.
    pub fn quick() -> Self {
        static BUILT: OnceLock<()> = OnceLock::new();
        BUILT.get_or_init(|| build(&["--workspace", "--lib", "--examples", "--profile", "dev"]));
        Fixtures { profile: "debug" }
    }

    /// Those that benchmarks use, built as a server would build them for production.
    pub fn release() -> Self {
        static BUILT: OnceLock<()> = OnceLock::new();
        BUILT.get_or_init(|| {
            let measured =
                ["hello", "churn", "asking", "keeping", "tables", "working", "hearing", "chores", "features"]
                    .map(|name| ["-p", name]);
            build(&[measured.as_flattened(), &["--lib", "--profile", "release"]].concat());
        });
        Fixtures { profile: "release" }
    }

    /// The server to compare with, as `cargo build --release` makes it or as Camlock's own is made.
    pub fn peer(tuned: bool) -> PathBuf {
        let profile = if tuned { "tuned" } else { "plain" };
        build(&["-p", "peer", "--bins", "--profile", profile]);
        Fixtures { profile }.program("peer")
    }

    /// The library of a fixture crate.
    pub fn library(self, name: &str) -> PathBuf {
        self.dir().join(format!("lib{}.so", name.replace('-', "_")))
    }

    /// A program among the fixtures.
    pub fn program(self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// The library of an example of a fixture crate: a candidate that is to be refused.
    pub fn candidate(self, name: &str) -> PathBuf {
        self.dir().join("examples").join(format!("lib{name}.so"))
    }

    fn dir(self) -> PathBuf {
        target().join(self.profile)
    }
}

fn target() -> PathBuf {
    repository().join("target").join("fixtures")
}

/// Set where tests are run by somebody who may not build: the fixtures are there.
const BUILT: &str = "CAMLOCK_TEST_FIXTURES_BUILT";

fn build(what: &[&str]) {
    if std::env::var_os(BUILT).is_some() {
        return;
    }
    let target = target();
    let target = target.to_str().expect("a plain path");
    let fixtures = repository().join("core/loader/fixtures");
    run_cargo(&fixtures, &[&["build", "--locked", "--target-dir", target], what].concat());
}
