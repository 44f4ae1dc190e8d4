//! Real files in a temporary directory, and the nudges that come of what is done to them. The timer is out of the way:
//! what these tests wait for comes from events.

use camlock_watch::{WatchOptions, Watcher};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError},
    time::Duration,
};

const DEADLINE: Duration = Duration::from_secs(120);
/// Longer than any burst.
const QUIET: Duration = Duration::from_millis(700);

/// A watched plugins directory `plugins` in a temporary directory.
struct Trial {
    dir: tempfile::TempDir,
    watcher: Watcher,
    nudges: Receiver<()>,
}

impl Trial {
    /// Prepares the temporary directory, and waits until the watches stand.
    fn start(prepare: impl FnOnce(&Path)) -> Trial {
        Self::start_with(prepare, |_| {})
    }

    fn start_with(prepare: impl FnOnce(&Path), set: impl FnOnce(&mut WatchOptions)) -> Trial {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let mut options = WatchOptions::new(dir.path().join("plugins"));
        options.rescan = Duration::from_secs(3600);
        options.rescan_unwatched = Duration::from_secs(3600);
        set(&mut options);
        let (sender, nudges) = mpsc::channel();
        let watcher = Watcher::start(options, move || {
            let _ = sender.send(());
        });
        let trial = Trial { dir, watcher: watcher.unwrap(), nudges };
        trial.nudges.recv_timeout(DEADLINE).expect("the first nudge");
        trial
    }

    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Waits for a nudge, and until no more come for what was done until now.
    fn nudged(&self) {
        if let Err(error) = self.nudges.recv_timeout(DEADLINE) {
            panic!("no nudge came: {error}");
        }
        while self.nudges.recv_timeout(QUIET).is_ok() {}
    }

    /// Writes the file, and waits for the nudge.
    fn write(&self, path: &str) {
        fs::write(self.path(path), "written").unwrap();
        self.nudged();
    }

    /// Does something for which no nudge must come. One that came late would be missed: so it never fails without a reason.
    fn unheard(&self, what: impl FnOnce()) {
        // The watcher has taken notice of all that was asked of it until now.
        self.write("plugins/before");
        what();
        assert_eq!(self.nudges.recv_timeout(QUIET), Err(RecvTimeoutError::Timeout));
    }
}

fn plugins(dir: &Path) {
    fs::create_dir_all(dir.join("plugins/crate/src")).unwrap();
    fs::write(dir.join("plugins/crate/Cargo.toml"), "").unwrap();
    fs::write(dir.join("plugins/crate/src/lib.rs"), "").unwrap();
    fs::write(dir.join("plugins/file.rs"), "").unwrap();
}

#[test]
fn files_at_the_top() {
    let trial = Trial::start(plugins);
    fs::write(trial.path("plugins/new.rs"), "new").unwrap();
    trial.nudged();
    fs::write(trial.path("plugins/file.rs"), "changed").unwrap();
    trial.nudged();
    // Written beside it, then renamed over it.
    fs::write(trial.path("plugins/.file.rs.part"), "replaced").unwrap();
    fs::rename(trial.path("plugins/.file.rs.part"), trial.path("plugins/file.rs")).unwrap();
    trial.nudged();
    fs::rename(trial.path("plugins/file.rs"), trial.path("plugins/renamed.rs")).unwrap();
    trial.nudged();
    fs::remove_file(trial.path("plugins/renamed.rs")).unwrap();
    trial.nudged();
    fs::set_permissions(trial.path("plugins/new.rs"), PermissionsExt::from_mode(0o600)).unwrap();
    trial.nudged();
}

#[test]
fn files_in_a_crate() {
    let trial = Trial::start(plugins);
    fs::write(trial.path("plugins/crate/src/lib.rs"), "changed").unwrap();
    trial.nudged();
    fs::write(trial.path("plugins/crate/Cargo.lock"), "").unwrap();
    trial.nudged();
    fs::write(trial.path("plugins/crate/src/lib.rs.part"), "replaced").unwrap();
    fs::rename(trial.path("plugins/crate/src/lib.rs.part"), trial.path("plugins/crate/src/lib.rs")).unwrap();
    trial.nudged();
    fs::remove_file(trial.path("plugins/crate/src/lib.rs")).unwrap();
    trial.nudged();
    fs::remove_dir_all(trial.path("plugins/crate")).unwrap();
    trial.nudged();
}

/// What is written into new directories before they are watched must not be missed: whoever looks when nudged sees it.
#[test]
fn new_directories_made_in_one_go() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("plugins");
    fs::create_dir(&top).unwrap();
    let deep = top.join("a/b/c");
    let (sender, looks) = mpsc::channel();
    let mut options = WatchOptions::new(&top);
    options.rescan = Duration::from_secs(3600);
    let _watcher = {
        let file = deep.join("file");
        Watcher::start(options, move || {
            let _ = sender.send(file.exists());
        })
        .unwrap()
    };
    looks.recv_timeout(DEADLINE).unwrap();
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "").unwrap();
    while !looks.recv_timeout(DEADLINE).unwrap() {}
    while looks.recv_timeout(QUIET).is_ok() {}
    // And from now on they are watched.
    fs::write(deep.join("later"), "").unwrap();
    looks.recv_timeout(DEADLINE).unwrap();
}

#[test]
fn directories_that_move_are_watched_where_they_are() {
    let trial = Trial::start(plugins);
    fs::create_dir_all(trial.path("outside/ready/src")).unwrap();
    fs::rename(trial.path("outside/ready"), trial.path("plugins/ready")).unwrap();
    trial.nudged();
    trial.write("plugins/ready/src/lib.rs");
    fs::rename(trial.path("plugins/crate"), trial.path("plugins/renamed")).unwrap();
    trial.nudged();
    trial.write("plugins/renamed/src/lib.rs");
    // Out of sight.
    fs::rename(trial.path("plugins/renamed"), trial.path("outside/renamed")).unwrap();
    trial.nudged();
    trial.unheard(|| fs::write(trial.path("outside/renamed/src/lib.rs"), "").unwrap());
    // Another one under the same name.
    fs::create_dir_all(trial.path("plugins/crate/src")).unwrap();
    trial.nudged();
    trial.write("plugins/crate/src/lib.rs");
}

#[test]
fn a_hundred_files_at_once_are_few_nudges() {
    let trial = Trial::start(plugins);
    for number in 0..100 {
        fs::write(trial.path(format!("plugins/crate/src/m{number:02}.rs")), "").unwrap();
    }
    let mut nudges = 0;
    trial.nudges.recv_timeout(DEADLINE).unwrap();
    while trial.nudges.recv_timeout(QUIET).is_ok() {
        nudges += 1;
    }
    assert!(nudges < 10, "{nudges} nudges");
}

#[test]
fn what_is_ignored() {
    let trial = Trial::start(|dir| {
        plugins(dir);
        fs::create_dir_all(dir.join("plugins/crate/target/debug")).unwrap();
        fs::create_dir_all(dir.join("plugins/crate/.git/objects")).unwrap();
        fs::create_dir_all(dir.join("plugins/_off/src")).unwrap();
        fs::create_dir_all(dir.join("plugins/.hidden")).unwrap();
    });
    trial.unheard(|| {
        for ignored in [
            "plugins/crate/target/debug/out",
            "plugins/crate/target/file",
            "plugins/crate/.git/index",
            "plugins/crate/.git/objects/ab",
            "plugins/_off/src/lib.rs",
            "plugins/_other.rs",
            "plugins/.hidden/file",
            "plugins/.dot.rs",
            "plugins/crate/src/4913",
            "plugins/crate/src/.lib.rs.swp",
            "plugins/crate/src/lib.rs~",
            "plugins/crate/src/#lib.rs#",
        ] {
            fs::write(trial.path(ignored), "").unwrap();
        }
        symlink("somebody@somewhere.123", trial.path("plugins/crate/src/.#lib.rs")).unwrap();
        fs::remove_file(trial.path("plugins/crate/src/.#lib.rs")).unwrap();
        fs::create_dir_all(trial.path("plugins/crate/target/release/build")).unwrap();
        fs::remove_dir_all(trial.path("plugins/crate/target")).unwrap();
    });
}

#[test]
fn reading_is_not_told() {
    let trial = Trial::start(plugins);
    trial.unheard(|| {
        fs::read(trial.path("plugins/crate/src/lib.rs")).unwrap();
        fs::read_dir(trial.path("plugins/crate")).unwrap().count();
    });
}

#[test]
fn a_file_is_told_when_its_writer_closes_it_but_not_when_it_is_opened() {
    let trial = Trial::start(plugins);
    let mut file = None;
    trial.unheard(|| file = Some(File::options().append(true).open(trial.path("plugins/file.rs")).unwrap()));
    drop(file);
    trial.nudged();
}

#[test]
fn links_to_files() {
    let trial = Trial::start(|dir| {
        plugins(dir);
        fs::create_dir(dir.join("outside")).unwrap();
        fs::write(dir.join("outside/one.rs"), "").unwrap();
        fs::write(dir.join("outside/two.rs"), "").unwrap();
        symlink("../outside/one.rs", dir.join("plugins/link.rs")).unwrap();
    });
    fs::write(trial.path("outside/one.rs"), "changed").unwrap();
    trial.nudged();
    fs::write(trial.path("outside/new"), "").unwrap();
    fs::rename(trial.path("outside/new"), trial.path("outside/one.rs")).unwrap();
    trial.nudged();
    // The link is replaced: what it led to is of no interest any more, and what it leads to is.
    symlink("../outside/two.rs", trial.path("plugins/.new")).unwrap();
    fs::rename(trial.path("plugins/.new"), trial.path("plugins/link.rs")).unwrap();
    trial.nudged();
    trial.unheard(|| fs::write(trial.path("outside/one.rs"), "changed").unwrap());
    fs::write(trial.path("outside/two.rs"), "changed").unwrap();
    trial.nudged();
    fs::remove_file(trial.path("outside/two.rs")).unwrap();
    trial.nudged();
    fs::write(trial.path("outside/two.rs"), "back").unwrap();
    trial.nudged();
}

#[test]
fn links_to_directories() {
    let trial = Trial::start(|dir| {
        plugins(dir);
        fs::create_dir_all(dir.join("v1/src")).unwrap();
        fs::create_dir_all(dir.join("v2/src")).unwrap();
        symlink("v1", dir.join("current")).unwrap();
        symlink("../current", dir.join("plugins/linked")).unwrap();
        // Broken, and loops.
        symlink("../later/on", dir.join("plugins/broken")).unwrap();
        symlink("loop", dir.join("plugins/loop")).unwrap();
        symlink("..", dir.join("plugins/crate/src/up")).unwrap();
    });
    fs::write(trial.path("v1/src/lib.rs"), "").unwrap();
    trial.nudged();
    fs::create_dir(trial.path("v1/src/new")).unwrap();
    trial.nudged();
    fs::write(trial.path("v1/src/new/mod.rs"), "").unwrap();
    trial.nudged();
    // A link on the way is replaced, as deployments do.
    symlink("v2", trial.path("next")).unwrap();
    fs::rename(trial.path("next"), trial.path("current")).unwrap();
    trial.nudged();
    trial.unheard(|| fs::write(trial.path("v1/src/lib.rs"), "changed").unwrap());
    fs::write(trial.path("v2/src/lib.rs"), "").unwrap();
    trial.nudged();
    // A broken one becomes whole.
    fs::create_dir_all(trial.path("later/on")).unwrap();
    trial.nudged();
    fs::write(trial.path("later/on/Cargo.toml"), "").unwrap();
    trial.nudged();
    trial.write("plugins/crate/src/lib.rs");
    fs::remove_file(trial.path("plugins/linked")).unwrap();
    trial.nudged();
}

#[test]
fn one_directory_that_two_entries_lead_to() {
    let trial = Trial::start(|dir| {
        plugins(dir);
        fs::create_dir(dir.join("shared")).unwrap();
        symlink("../shared", dir.join("plugins/one")).unwrap();
        symlink("../shared", dir.join("plugins/two")).unwrap();
    });
    fs::write(trial.path("shared/lib.rs"), "").unwrap();
    trial.nudged();
    fs::remove_file(trial.path("plugins/one")).unwrap();
    trial.nudged();
    fs::write(trial.path("shared/lib.rs"), "changed").unwrap();
    trial.nudged();
}

#[test]
fn the_plugins_directory_is_removed_and_brought_back() {
    let trial = Trial::start(plugins);
    for _ in 0..3 {
        fs::remove_dir_all(trial.path("plugins")).unwrap();
        trial.nudged();
        plugins(trial.dir.path());
        trial.nudged();
        trial.write("plugins/crate/src/lib.rs");
    }
}

#[test]
fn the_plugins_directory_is_moved_away_and_another_takes_its_place() {
    let trial = Trial::start(|dir| {
        plugins(dir);
        plugins(&dir.join("other"));
    });
    fs::rename(trial.path("plugins"), trial.path("away")).unwrap();
    trial.nudged();
    fs::rename(trial.path("other/plugins"), trial.path("plugins")).unwrap();
    trial.nudged();
    trial.write("plugins/crate/src/lib.rs");
    trial.unheard(|| fs::write(trial.path("away/file.rs"), "changed").unwrap());
}

#[test]
fn the_plugins_directory_appears_late_and_goes_with_what_it_lies_in() {
    let trial = Trial::start_with(|_| {}, |options| options.directory.push("not/yet"));
    fs::create_dir_all(trial.path("plugins/not/yet/crate")).unwrap();
    trial.nudged();
    trial.write("plugins/not/yet/crate/file");
    fs::rename(trial.path("plugins/not"), trial.path("plugins/gone")).unwrap();
    trial.nudged();
    fs::rename(trial.path("plugins/gone"), trial.path("plugins/not")).unwrap();
    trial.nudged();
    trial.write("plugins/not/yet/crate/file");
    fs::rename(trial.path("plugins"), trial.path("gone")).unwrap();
    trial.nudged();
    fs::rename(trial.path("gone"), trial.path("plugins")).unwrap();
    trial.nudged();
    trial.write("plugins/not/yet/crate/file");
}

#[test]
fn the_plugins_directory_is_a_link() {
    let trial = Trial::start(|dir| {
        plugins(&dir.join("v1"));
        plugins(&dir.join("v2"));
        symlink("v1/plugins", dir.join("plugins")).unwrap();
    });
    trial.write("plugins/crate/src/lib.rs");
    symlink("v2/plugins", trial.path("next")).unwrap();
    fs::rename(trial.path("next"), trial.path("plugins")).unwrap();
    trial.nudged();
    trial.write("plugins/crate/src/lib.rs");
    trial.unheard(|| fs::write(trial.path("v1/plugins/file.rs"), "changed").unwrap());
}

#[test]
fn further_paths() {
    let trial = Trial::start(|dir| {
        plugins(dir);
        fs::create_dir_all(dir.join("dependency/src")).unwrap();
        fs::create_dir_all(dir.join("dependency/target")).unwrap();
        fs::create_dir_all(dir.join("texts")).unwrap();
        fs::write(dir.join("texts/read.txt"), "").unwrap();
    });
    let paths = |paths: &[&str]| paths.iter().map(|path| trial.path(path)).collect::<BTreeSet<_>>();
    trial.watcher.also_watch(paths(&["dependency", "texts/read.txt", "missing/file"]));
    trial.nudged();

    trial.unheard(|| {
        fs::write(trial.path("dependency/target/out"), "").unwrap();
        fs::write(trial.path("texts/other.txt"), "").unwrap();
    });
    fs::write(trial.path("dependency/src/lib.rs"), "").unwrap();
    trial.nudged();
    trial.write("plugins/file.rs");
    fs::create_dir(trial.path("dependency/src/deep")).unwrap();
    trial.nudged();
    trial.write("plugins/file.rs");
    fs::write(trial.path("dependency/src/deep/mod.rs"), "").unwrap();
    trial.nudged();
    fs::write(trial.path("texts/new"), "").unwrap();
    fs::rename(trial.path("texts/new"), trial.path("texts/read.txt")).unwrap();
    trial.nudged();
    fs::create_dir(trial.path("missing")).unwrap();
    trial.nudged();
    fs::write(trial.path("missing/file"), "").unwrap();
    trial.nudged();

    // Other ones: what is new is told once, what is not named any more is not told.
    trial.watcher.also_watch(paths(&["texts/read.txt", "texts/other.txt"]));
    trial.nudged();
    trial.unheard(|| {
        fs::write(trial.path("dependency/src/lib.rs"), "changed").unwrap();
        fs::write(trial.path("missing/file"), "changed").unwrap();
    });
    trial.write("texts/read.txt");
    trial.watcher.also_watch(BTreeSet::new());
    trial.unheard(|| fs::write(trial.path("texts/read.txt"), "changed").unwrap());
}

#[test]
fn an_entry_with_too_many_directories_does_not_hinder_others() {
    let trial = Trial::start_with(
        |dir| {
            plugins(dir);
            for number in 0..20 {
                fs::create_dir_all(dir.join(format!("plugins/huge/d{number}"))).unwrap();
            }
        },
        |options| options.most_directories = 10,
    );
    trial.unheard(|| fs::write(trial.path("plugins/huge/d1/file"), "").unwrap());
    trial.write("plugins/crate/src/lib.rs");
    // With less in it, it is watched again.
    fs::create_dir_all(trial.path("plugins/.trash")).unwrap();
    fs::rename(trial.path("plugins/huge"), trial.path("plugins/.trash/huge")).unwrap();
    trial.nudged();
    fs::create_dir_all(trial.path("plugins/huge/src")).unwrap();
    trial.nudged();
    trial.write("plugins/huge/src/lib.rs");
}

/// What no event tells of is told by the timer.
#[test]
fn the_timer_repairs_what_was_lost() {
    let trial = Trial::start_with(
        |dir| {
            plugins(dir);
            fs::create_dir_all(dir.join("plugins/huge/a/b")).unwrap();
        },
        |options| {
            options.most_directories = 2;
            options.rescan = Duration::from_millis(50);
        },
    );
    fs::write(trial.path("plugins/huge/a/b/file"), "no event").unwrap();
    while trial.nudges.try_recv().is_ok() {}
    // The first may have been under way when the file was written.
    for _ in 0..2 {
        trial.nudges.recv_timeout(DEADLINE).unwrap();
    }
}

#[test]
fn dropping_ends_it() {
    let trial = Trial::start(plugins);
    drop(trial.watcher);
    // The closure has gone, and with it the sender: so has the thread that owned them.
    loop {
        match trial.nudges.try_recv() {
            Ok(_) => {}
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => panic!("the thread still runs"),
        }
    }
    assert_eq!(trial.nudges.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected));
}
