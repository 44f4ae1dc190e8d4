//! What only shows in a process with fewer rights or less room: the test program, started again.

use crate::place::{Place, processes_with};
use camlock_testing::{Altered, trial};
use rustix::process::{Resource, Rlimit};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{self, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

const ASKED: &str = "bad-input-restarted";
/// Where a plugin lies that is loaded beside another.
const OTHER: &str = "other.so";
/// Who owns nothing.
const NOBODY: u32 = 65534;

/// In a process that one of the tests below started: does what it asks, prints the sentence, and ends.
pub fn run_if_asked() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(ASKED) {
        return;
    }
    let what = arguments.next().expect("what to do");
    let [candidate, dir] = [(); 2].map(|()| PathBuf::from(arguments.next().expect("a path")));
    let staging = || camlock_loader::Staging::at(dir.join("artifacts"));
    let told = match what.as_str() {
        "stage" => staging().and_then(|staging| staging.stage(&candidate)).map(drop).map_err(|error| error.to_string()),
        "stage in little room" => {
            let staging = staging().expect("a staging directory");
            little_room();
            staging.stage(&candidate).map(drop).map_err(|error| error.to_string())
        }
        "load in little room" => {
            let artifact = staging().and_then(|staging| staging.stage(&candidate)).expect("it can be staged");
            let loader = camlock_loader::Loader::new(dir.join("run"), Default::default(), None).expect("a loader");
            little_room();
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(loader.load(&artifact, (1, "{}"))).map(drop).map_err(|error| error.to_string())
        }
        "verify" => {
            let artifact = staging().and_then(|staging| staging.stage(&candidate)).expect("it can be staged");
            let limits = camlock_loader::VerifierLimits { time: Duration::from_secs(600), ..Default::default() };
            let verifier = camlock_loader::Verifier::new(dir.join("verdicts"), limits).expect("a verifier");
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(verifier.verify(&artifact)).map(drop).map_err(|error| error.to_string())
        }
        "verify with low limits" => {
            let artifact = staging().and_then(|staging| staging.stage(&candidate)).expect("it can be staged");
            let verifier = camlock_loader::Verifier::new(dir.join("verdicts"), Default::default()).expect("a verifier");
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            for (resource, most) in [(Resource::As, 1 << 30), (Resource::Nofile, 100), (Resource::Fsize, 48 << 20)] {
                let lower = Rlimit { current: Some(most), maximum: Some(most) };
                rustix::process::setrlimit(resource, lower).expect("a lower limit");
            }
            runtime.block_on(verifier.verify(&artifact)).map(drop).map_err(|error| error.to_string())
        }
        "load and start" | "load and start beside another" => {
            let suspects = camlock_loader::Suspects::open(&dir.join("suspects"), None).expect("suspects");
            for suspect in suspects.pending() {
                print!("{} ({}) is suspected: {}", suspect.plugin, suspect.digest, suspect.reason);
            }
            let artifact = staging().and_then(|staging| staging.stage(&candidate)).expect("it can be staged");
            let loader = camlock_loader::Loader::new(dir.join("run"), Default::default(), None).expect("a loader");
            let loader = loader.with_suspects(suspects);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut beside = None;
                if what == "load and start beside another" {
                    let other = staging().and_then(|staging| staging.stage(&dir.join(OTHER)));
                    let other = loader.load(&other.expect("it can be staged"), (6, "{}")).await;
                    beside = Some(other.map_err(|error| error.to_string())?);
                }
                let loaded = loader.load(&artifact, (7, "{}")).await.map_err(|error| error.to_string())?;
                let outcome = loaded.instance.start().await.map_err(|fault| fault.to_string());
                drop(beside);
                outcome
            })
        }
        other => panic!("{other}?"),
    };
    print!("{}", told.err().unwrap_or_else(|| "nothing was wrong".to_owned()));
    process::exit(0);
}

/// Files may not grow beyond 64 KiB: for whoever writes, as if there were no more room.
fn little_room() {
    // SAFETY: SIG_IGN is a valid disposition; without it the process would be killed rather than told.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let limit = rustix::process::Rlimit { current: Some(64 << 10), maximum: Some(64 << 10) };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).expect("a limit");
}

/// What the program says, started again, as an ordinary user if this one is not.
fn sentence_of(what: &str, candidate: &Path, dir: &Path) -> String {
    let mut command = Command::new("/proc/self/exe");
    command.args([ASKED, what]).args([candidate, dir]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {said} {errors}", output.status);
    said.into_owned()
}

/// A server whose hard limits are below what a verifying process is given hands on what it has.
#[trial]
fn low_hard_limits() {
    let (place, candidate, dir) = open_place();
    assert_eq!(sentence_of("verify with low limits", &candidate, &dir), "nothing was wrong");
    place.expect_nothing();
}

/// How a process ends that loads and starts a candidate, and what it says.
fn started(candidate: &Path, dir: &Path) -> (ExitStatus, String) {
    run("load and start", candidate, dir)
}

fn run(what: &str, candidate: &Path, dir: &Path) -> (ExitStatus, String) {
    let output = Command::new("/proc/self/exe").args([ASKED, what]).args([candidate, dir]).output().unwrap();
    (output.status, String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whoever ends the process while it starts is known to the next process, and not loaded there.
#[trial]
fn one_that_ends_the_process() {
    for (mode, how) in [
        ("aborts in start", "ended with SIGABRT while its `start` ran"),
        ("exits in start", "was ended by a call of `exit` while its `start` ran"),
        ("faults in a thread in start", "ended with SIGSEGV while its `start` ran"),
    ] {
        let (place, _, dir) = open_place();
        let candidate = place.file(&Altered::that(mode));
        let digest = camlock_loader::Digest::of(&fs::read(&candidate).unwrap());
        let (status, said) = started(&candidate, &dir);
        assert_eq!((said.as_str(), status.success()), ("", mode.starts_with("exits")), "{mode}: {status}");
        let suspected = format!("candidates ({digest}) is suspected: the server {how}");
        // Nobody puts it on record: it stays so.
        for _ in 0..2 {
            let (status, said) = started(&candidate, &dir);
            let refused = format!("{suspected}the server {how}; it is not loaded until that is on record");
            assert_eq!((said, status.success()), (refused, true), "{mode}");
        }
        // Others are.
        let (status, said) = started(&place.file(&Altered::good().0), &dir);
        assert_eq!((said, status.success()), (format!("{suspected}nothing was wrong"), true), "{mode}");
    }
}

/// A stack keeps addresses of those that were called there before: they are not suspected for them.
#[trial]
fn one_that_ends_the_process_where_another_was() {
    let (place, _, dir) = open_place();
    let candidate = place.file(&Altered::that("aborts where others were"));
    let digest = camlock_loader::Digest::of(&fs::read(&candidate).unwrap());
    fs::write(dir.join(OTHER), Altered::good().0).unwrap();
    let (status, said) = run("load and start beside another", &candidate, &dir);
    assert_eq!((said.as_str(), status.signal()), ("", Some(libc::SIGABRT)), "{status}");
    let (_, said) = started(&candidate, &dir);
    let suspected = format!("candidates ({digest}) is suspected: the server ended with SIGABRT while its `start` ran");
    assert!(said.starts_with(&suspected), "{said}");
}

/// Who is killed from outside says nothing of the plugin that was being started, unless it happens time and again.
#[trial]
fn one_that_is_killed_while_it_starts() {
    let (place, _, dir) = open_place();
    let candidate = place.file(&Altered::that("is killed in start"));
    for _ in 0..3 {
        let (status, said) = started(&candidate, &dir);
        assert_eq!((said.as_str(), status.signal()), ("", Some(libc::SIGKILL)));
    }
    let (_, said) = started(&candidate, &dir);
    assert!(said.contains("is suspected: the server ended 3 times in a row while its `start` ran"), "{said}");
}

/// The process that verifies goes with the one that asked for it.
#[trial]
fn a_server_that_is_killed() {
    let (place, _, dir) = open_place();
    let candidate = place.file(&Altered::that("constructor hangs"));
    let mut server = Command::new("/proc/self/exe").args([ASKED, "verify"]).args([&candidate, &dir]).spawn().unwrap();
    let verifying = || !processes_with(dir.join("artifacts").to_str().expect("a plain path")).is_empty();
    let began = Instant::now();
    let wait_until = |verifies: bool| {
        while verifying() != verifies {
            assert!(began.elapsed() < Duration::from_secs(300), "it takes too long");
            thread::sleep(Duration::from_millis(5));
        }
    };
    wait_until(true);
    server.kill().unwrap();
    server.wait().unwrap();
    wait_until(false);
    place.expect_nothing();
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A candidate, and a directory in which anybody may write.
fn open_place() -> (Place, PathBuf, PathBuf) {
    let place = Place::new();
    let candidate = place.file(&Altered::good().0);
    let dir = place.path("theirs");
    fs::create_dir(&dir).unwrap();
    allow(&place.path(""), 0o755);
    allow(&candidate, 0o644);
    allow(&dir, 0o777);
    (place, candidate, dir)
}

/// What was begun in a directory of theirs is gone.
fn expect_empty(dir: &Path) {
    let left: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[trial]
fn no_permission_to_read() {
    let (place, candidate, dir) = open_place();
    allow(&candidate, 0o000);
    let sentence = format!("{} cannot be read: permission denied", candidate.display());
    assert_eq!(sentence_of("stage", &candidate, &dir), sentence);
    expect_empty(&dir.join("artifacts"));
    place.expect_nothing();
}

#[trial]
fn no_permission_to_keep_copies() {
    let (place, candidate, dir) = open_place();
    let artifacts = dir.join("artifacts");
    fs::create_dir(&artifacts).unwrap();
    allow(&artifacts, 0o555);
    let sentence = format!(
        "no copy can be kept in {}: permission denied; make room there, or let the server write there",
        artifacts.display()
    );
    assert_eq!(sentence_of("stage", &candidate, &dir), sentence);
    fs::remove_dir(&artifacts).unwrap();
    allow(&dir, 0o555);
    assert_eq!(sentence_of("stage", &candidate, &dir), sentence);
    expect_empty(&dir);
    place.expect_nothing();
}

#[trial]
fn no_room_for_a_copy() {
    let (place, candidate, dir) = open_place();
    let artifacts = dir.join("artifacts");
    let sentence = format!(
        "no copy can be kept in {}: file too large; make room there, or let the server write there",
        artifacts.display()
    );
    assert_eq!(sentence_of("stage in little room", &candidate, &dir), sentence);
    expect_empty(&artifacts);
    place.expect_nothing();
}

#[trial]
fn no_room_for_a_private_copy() {
    let (place, candidate, dir) = open_place();
    let run = fs::canonicalize(&dir).unwrap().join("run");
    let sentence = format!(
        "no private copy can be made in {}: file too large; make room there, or let the server write there",
        run.display()
    );
    assert_eq!(sentence_of("load in little room", &candidate, &dir), sentence);
    expect_empty(&run);
    place.expect_nothing();
}
