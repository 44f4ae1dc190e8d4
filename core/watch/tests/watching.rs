//! Real files in a temporary directory, and the nudges that come of what is done to them. The timer is out of the way:
//! what these tests wait for comes from events.

use camlock_watch::{Nudge, WatchOptions, Watcher};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError},
    time::{Duration, Instant},
};

const DEADLINE: Duration = Duration::from_secs(20);

/// A watched plugins directory `plugins` in a temporary directory.
struct Trial {
    dir: tempfile::TempDir,
    watcher: Watcher,
    nudges: Receiver<Nudge>,
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
        let watcher = Watcher::start(options, move |nudge| {
            let _ = sender.send(nudge);
        });
        let trial = Trial { dir, watcher: watcher.unwrap(), nudges };
        assert_eq!(trial.next(), Nudge::Everything, "the first nudge");
        trial
    }

    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(path)
    }

    fn next(&self) -> Nudge {
        match self.nudges.recv_timeout(DEADLINE) {
            Ok(nudge) => nudge,
            Err(error) => panic!("no nudge came: {error}"),
        }
    }

    /// Waits until this path is told, and returns all that was told until then, without the temporary directory.
    fn told_until(&self, path: &str) -> BTreeSet<PathBuf> {
        let mut told = BTreeSet::new();
        let end = Instant::now() + DEADLINE;
        while !told.contains(Path::new(path)) {
            match self.nudges.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Nudge::Paths(paths)) => {
                    told.extend(paths.iter().map(|path| path.strip_prefix(self.dir.path()).unwrap().to_owned()));
                }
                Ok(Nudge::Everything) => panic!("everything was told instead of {path}; before that {told:?}"),
                Err(error) => panic!("{path} was not told, but {told:?}: {error}"),
            }
        }
        told
    }

    /// Waits for `Nudge::Everything`.
    fn everything(&self) {
        let end = Instant::now() + DEADLINE;
        while self.nudges.recv_timeout(end.saturating_duration_since(Instant::now())).unwrap() != Nudge::Everything {}
    }

    /// Writes the file, and waits until it is told.
    fn write(&self, path: &str) {
        fs::write(self.path(path), "written").unwrap();
        self.told_until(path);
    }

    /// Does something of which nothing must be told. Events come in order, so all that was told before, and this, has
    /// been told when a file written afterwards is.
    fn unheard(&self, what: impl FnOnce()) {
        self.write("plugins/before");
        what();
        fs::write(self.path("plugins/after"), "").unwrap();
        let mut told = self.told_until("plugins/after");
        told.retain(|path| !(path.ends_with("before") || path.ends_with("after")));
        assert_eq!(told, BTreeSet::new());
    }

    /// Waits until the plugins directory is watched again, which it is when an event is told by its path.
    fn resumes(&self, path: &str) {
        let path = self.path(path);
        loop {
            fs::write(&path, "written").unwrap();
            if matches!(self.next(), Nudge::Paths(paths) if paths.contains(&path)) {
                return;
            }
        }
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
    trial.told_until("plugins/new.rs");
    fs::write(trial.path("plugins/file.rs"), "changed").unwrap();
    trial.told_until("plugins/file.rs");
    // Written beside it, then renamed over it.
    fs::write(trial.path("plugins/.file.rs.part"), "replaced").unwrap();
    fs::rename(trial.path("plugins/.file.rs.part"), trial.path("plugins/file.rs")).unwrap();
    trial.told_until("plugins/file.rs");
    fs::rename(trial.path("plugins/file.rs"), trial.path("plugins/renamed.rs")).unwrap();
    let told = trial.told_until("plugins/renamed.rs");
    assert!(told.contains(Path::new("plugins/file.rs")), "{told:?}");
    fs::remove_file(trial.path("plugins/renamed.rs")).unwrap();
    trial.told_until("plugins/renamed.rs");
    fs::set_permissions(trial.path("plugins/new.rs"), PermissionsExt::from_mode(0o600)).unwrap();
    trial.told_until("plugins/new.rs");
}

#[test]
fn files_in_a_crate() {
    let trial = Trial::start(plugins);
    fs::write(trial.path("plugins/crate/src/lib.rs"), "changed").unwrap();
    trial.told_until("plugins/crate/src/lib.rs");
    fs::write(trial.path("plugins/crate/Cargo.lock"), "").unwrap();
    trial.told_until("plugins/crate/Cargo.lock");
    fs::write(trial.path("plugins/crate/src/lib.rs.part"), "replaced").unwrap();
    fs::rename(trial.path("plugins/crate/src/lib.rs.part"), trial.path("plugins/crate/src/lib.rs")).unwrap();
    trial.told_until("plugins/crate/src/lib.rs");
    fs::remove_file(trial.path("plugins/crate/src/lib.rs")).unwrap();
    trial.told_until("plugins/crate/src/lib.rs");
    fs::remove_dir_all(trial.path("plugins/crate")).unwrap();
    trial.told_until("plugins/crate");
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
        Watcher::start(options, move |nudge| drop(sender.send((nudge, file.exists())))).unwrap()
    };
    looks.recv_timeout(DEADLINE).unwrap();
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "").unwrap();
    loop {
        let (nudge, seen) = looks.recv_timeout(DEADLINE).unwrap();
        let Nudge::Paths(paths) = nudge else { panic!("everything") };
        if seen && paths.iter().any(|path| deep.join("file").starts_with(path)) {
            break;
        }
    }
    // And from now on they are watched.
    fs::write(deep.join("later"), "").unwrap();
    loop {
        let (nudge, _) = looks.recv_timeout(DEADLINE).unwrap();
        if matches!(nudge, Nudge::Paths(paths) if paths.contains(&deep.join("later"))) {
            break;
        }
    }
}

#[test]
fn directories_that_move_are_watched_where_they_are() {
    let trial = Trial::start(plugins);
    fs::create_dir_all(trial.path("outside/ready/src")).unwrap();
    fs::rename(trial.path("outside/ready"), trial.path("plugins/ready")).unwrap();
    trial.told_until("plugins/ready");
    trial.write("plugins/ready/src/lib.rs");
    fs::rename(trial.path("plugins/crate"), trial.path("plugins/renamed")).unwrap();
    let told = trial.told_until("plugins/renamed");
    assert!(told.contains(Path::new("plugins/crate")), "{told:?}");
    trial.write("plugins/renamed/src/lib.rs");
    // Out of sight.
    fs::rename(trial.path("plugins/renamed"), trial.path("outside/renamed")).unwrap();
    trial.told_until("plugins/renamed");
    trial.unheard(|| fs::write(trial.path("outside/renamed/src/lib.rs"), "").unwrap());
    // Another one under the same name.
    fs::create_dir_all(trial.path("plugins/crate/src")).unwrap();
    trial.told_until("plugins/crate/src");
    trial.write("plugins/crate/src/lib.rs");
}

#[test]
fn a_hundred_files_at_once_are_few_nudges() {
    let trial = Trial::start(plugins);
    for number in 0..100 {
        fs::write(trial.path(format!("plugins/crate/src/m{number:02}.rs")), "").unwrap();
    }
    let mut told = BTreeSet::new();
    let mut nudges = 0;
    while told.len() < 100 {
        let Nudge::Paths(paths) = trial.next() else { panic!("everything") };
        told.extend(paths);
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
    trial.told_until("plugins/file.rs");
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
    trial.told_until("plugins/link.rs");
    fs::write(trial.path("outside/new"), "").unwrap();
    fs::rename(trial.path("outside/new"), trial.path("outside/one.rs")).unwrap();
    trial.told_until("plugins/link.rs");
    // The link is replaced: what it led to is of no interest any more, and what it leads to is.
    symlink("../outside/two.rs", trial.path("plugins/.new")).unwrap();
    fs::rename(trial.path("plugins/.new"), trial.path("plugins/link.rs")).unwrap();
    trial.told_until("plugins/link.rs");
    trial.unheard(|| fs::write(trial.path("outside/one.rs"), "changed").unwrap());
    fs::write(trial.path("outside/two.rs"), "changed").unwrap();
    trial.told_until("plugins/link.rs");
    fs::remove_file(trial.path("outside/two.rs")).unwrap();
    trial.told_until("plugins/link.rs");
    fs::write(trial.path("outside/two.rs"), "back").unwrap();
    trial.told_until("plugins/link.rs");
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
    trial.told_until("plugins/linked/src/lib.rs");
    fs::create_dir(trial.path("v1/src/new")).unwrap();
    trial.told_until("plugins/linked/src/new");
    fs::write(trial.path("v1/src/new/mod.rs"), "").unwrap();
    trial.told_until("plugins/linked/src/new/mod.rs");
    // A link on the way is replaced, as deployments do.
    symlink("v2", trial.path("next")).unwrap();
    fs::rename(trial.path("next"), trial.path("current")).unwrap();
    trial.told_until("plugins/linked");
    trial.unheard(|| fs::write(trial.path("v1/src/lib.rs"), "changed").unwrap());
    fs::write(trial.path("v2/src/lib.rs"), "").unwrap();
    trial.told_until("plugins/linked/src/lib.rs");
    // A broken one becomes whole.
    fs::create_dir_all(trial.path("later/on")).unwrap();
    trial.told_until("plugins/broken");
    fs::write(trial.path("later/on/Cargo.toml"), "").unwrap();
    trial.told_until("plugins/broken/Cargo.toml");
    trial.write("plugins/crate/src/lib.rs");
    fs::remove_file(trial.path("plugins/linked")).unwrap();
    trial.told_until("plugins/linked");
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
    let told = trial.told_until("plugins/two/lib.rs");
    assert!(told.contains(Path::new("plugins/one/lib.rs")), "{told:?}");
    fs::remove_file(trial.path("plugins/one")).unwrap();
    trial.told_until("plugins/one");
    fs::write(trial.path("shared/lib.rs"), "changed").unwrap();
    let told = trial.told_until("plugins/two/lib.rs");
    assert!(!told.contains(Path::new("plugins/one/lib.rs")), "{told:?}");
}

#[test]
fn the_plugins_directory_is_removed_and_brought_back() {
    let trial = Trial::start(plugins);
    for _ in 0..3 {
        fs::remove_dir_all(trial.path("plugins")).unwrap();
        trial.everything();
        plugins(trial.dir.path());
        trial.everything();
        trial.resumes("plugins/crate/src/lib.rs");
    }
}

#[test]
fn the_plugins_directory_is_moved_away_and_another_takes_its_place() {
    let trial = Trial::start(|dir| {
        plugins(dir);
        plugins(&dir.join("other"));
    });
    fs::rename(trial.path("plugins"), trial.path("away")).unwrap();
    trial.everything();
    fs::rename(trial.path("other/plugins"), trial.path("plugins")).unwrap();
    trial.everything();
    trial.resumes("plugins/crate/src/lib.rs");
    trial.unheard(|| fs::write(trial.path("away/file.rs"), "changed").unwrap());
}

#[test]
fn the_plugins_directory_appears_late_and_goes_with_what_it_lies_in() {
    let trial = Trial::start_with(|_| {}, |options| options.directory.push("not/yet"));
    fs::create_dir_all(trial.path("plugins/not/yet/crate")).unwrap();
    trial.everything();
    trial.resumes("plugins/not/yet/crate/file");
    fs::rename(trial.path("plugins/not"), trial.path("plugins/gone")).unwrap();
    trial.everything();
    fs::rename(trial.path("plugins/gone"), trial.path("plugins/not")).unwrap();
    trial.everything();
    trial.resumes("plugins/not/yet/crate/file");
    fs::rename(trial.path("plugins"), trial.path("gone")).unwrap();
    trial.everything();
    fs::rename(trial.path("gone"), trial.path("plugins")).unwrap();
    trial.everything();
    trial.resumes("plugins/not/yet/crate/file");
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
    trial.everything();
    trial.resumes("plugins/crate/src/lib.rs");
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
    trial.told_until("dependency");

    trial.unheard(|| {
        fs::write(trial.path("dependency/target/out"), "").unwrap();
        fs::write(trial.path("texts/other.txt"), "").unwrap();
    });
    fs::write(trial.path("dependency/src/lib.rs"), "").unwrap();
    trial.told_until("dependency");
    trial.write("plugins/file.rs");
    fs::create_dir(trial.path("dependency/src/deep")).unwrap();
    trial.told_until("dependency");
    trial.write("plugins/file.rs");
    fs::write(trial.path("dependency/src/deep/mod.rs"), "").unwrap();
    trial.told_until("dependency");
    fs::write(trial.path("texts/new"), "").unwrap();
    fs::rename(trial.path("texts/new"), trial.path("texts/read.txt")).unwrap();
    trial.told_until("texts/read.txt");
    fs::create_dir(trial.path("missing")).unwrap();
    trial.told_until("missing/file");
    fs::write(trial.path("missing/file"), "").unwrap();
    trial.told_until("missing/file");

    // Other ones: what is new is told once, what is not named any more is not told.
    trial.watcher.also_watch(paths(&["texts/read.txt", "texts/other.txt"]));
    trial.told_until("texts/other.txt");
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
    trial.told_until("plugins/huge");
    fs::create_dir_all(trial.path("plugins/huge/src")).unwrap();
    trial.told_until("plugins/huge/src");
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
    trial.everything();
    trial.everything();
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
