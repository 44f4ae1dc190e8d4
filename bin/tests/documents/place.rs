//! Where documents are followed: a copy of the repository, as somebody has it who has just cloned it.
//!
//! It lies outside the repository, for `cargo new` makes what it finds below a workspace a part of that. Plugins are built the quick
//! way, where all tests build them: that is said by a `camlock.toml` above the copy, so that commands need not be changed. Commands are
//! tried here, not how fast what they make is: what `cargo run --release` would make is there already, of the same sources, as all tests
//! have it, and a `cargo` in front of the real one runs that. Compiled once more, in another way, it would take minutes.

use camlock_testing::repository;
use std::{
    collections::BTreeSet,
    env,
    fs::{self, Permissions},
    hash::{DefaultHasher, Hash, Hasher},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

/// Where documents have the server listen.
pub(crate) const ADDRESS: &str = "127.0.0.1:8080";

pub(crate) struct Place {
    /// Where the copy is.
    pub(crate) copy: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    pub(crate) fn make() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        wait_for_address();
        let above = above();
        let copy = above.join("camlock");
        for left in [above.join("greeter"), copy.join(".camlock")] {
            let _ = fs::remove_dir_all(left);
        }
        copy_all(&repository(), &copy);
        put_in_front(&above.join("bin"));
        let builds = repository().join("target/builds");
        let settings = format!(
            "plugins.dir = \"camlock/plugins\"\ndata.dir = \"camlock/.camlock\"\nbuild.profile = \"quick\"\nbuild.dir = {builds:?}\n"
        );
        fs::write(above.join("camlock.toml"), settings).unwrap();
        Place { copy, _turn: turn }
    }

    /// A shell there, or in a folder beside.
    pub(crate) fn shell(&self, folder: &Path, script: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_camlock")).parent().unwrap().display();
        let front = self.copy.with_file_name("bin");
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", script]).current_dir(folder);
        for (name, _) in env::vars().filter(|(name, _)| {
            ["CAMLOCK_", "CARGO_PKG", "CARGO_MANIFEST"].iter().any(|prefix| name.starts_with(prefix))
                || name == "RUSTFLAGS"
        }) {
            command.env_remove(name);
        }
        command.env("PATH", format!("{}:{program}:{}", front.display(), env::var("PATH").unwrap()));
        command
    }
}

/// The same place each time, so that cargo finds unchanged what it compiled before; another one for each clone.
fn above() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    repository().hash(&mut hasher);
    env::temp_dir().join(format!("camlock-documents-{:x}", hasher.finish()))
}

/// A `cargo` that runs what is there, and leaves all else to the one that a reader's shell would find. That is not `$CARGO` where
/// rustup is: a toolchain's own cargo does not tell rustup's `rustc` which toolchain to be, so each crate's `rust-toolchain.toml` would.
fn put_in_front(folder: &Path) {
    let path = env::var_os("PATH").unwrap_or_default();
    let real = env::split_paths(&path)
        .map(|folder| folder.join("cargo"))
        .find(|cargo| cargo.is_file())
        .expect("cargo is in PATH");
    let real = real.display();
    let front = format!(
        "#!/bin/sh\ncase \"$*\" in\n  \"run --release -- \"*) shift 3; exec camlock \"$@\" ;;\n  *) exec '{real}' \"$@\" ;;\nesac\n"
    );
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("cargo"), front).unwrap();
    fs::set_permissions(folder.join("cargo"), Permissions::from_mode(0o755)).unwrap();
}

/// Waits for whoever else has the address.
fn wait_for_address() {
    let began = Instant::now();
    while let Err(error) = TcpListener::bind(ADDRESS) {
        assert!(began.elapsed() < Duration::from_secs(300), "the documents' server listens on {ADDRESS}, but: {error}");
        sleep(Duration::from_millis(200));
    }
}

/// Makes the copy what the repository is, without what is ignored. What is the same is not touched: cargo sees no change.
fn copy_all(from: &Path, to: &Path) {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(from)
        .output()
        .expect("git can be started");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let files: BTreeSet<_> = listed.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    for file in files.iter().filter(|file| from.join(file).is_file()) {
        let (source, place) = (from.join(file), to.join(file));
        if fs::read(&place).ok() != fs::read(&source).ok() {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(&source, &place).unwrap();
        }
    }
    // What an earlier reader, or an earlier state of the repository, left.
    let left = Command::new("find").args([".", "-not", "-type", "d", "-print0"]).current_dir(to).output().unwrap();
    for file in String::from_utf8(left.stdout).unwrap().split('\0').filter_map(|name| name.strip_prefix("./")) {
        if !files.contains(Path::new(file)) {
            fs::remove_file(to.join(file)).unwrap();
        }
    }
}
