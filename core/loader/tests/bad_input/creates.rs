//! Plugins whose own code misbehaves while they are verified.

use crate::place::{Place, processes_with};
use camlock_loader::{Verdict, VerifierLimits, VerifyError};
use camlock_testing::{Altered, trial};
use std::{
    thread,
    time::{Duration, Instant},
};

/// For what does not end by itself.
pub const QUICK: VerifierLimits = VerifierLimits { time: Duration::from_secs(1), memory: 1 << 30 };

#[trial]
fn error() {
    bad(&Altered::that("fails"), "`create` failed: its disk is full");
}

#[trial]
fn block() {
    timed_out(&Altered::that("blocks"), "it did not come to an end within 1 s while its `create` ran");
}

#[trial]
fn compute() {
    timed_out(&Altered::that("computes"), "it did not come to an end within 1 s while its `create` ran");
}

#[trial]
fn wait() {
    timed_out(&Altered::that("waits"), "it did not come to an end within 1 s while its `create` ran");
}

#[trial]
fn hang_up() {
    timed_out(&Altered::that("hangs up"), "it did not come to an end within 1 s while its `create` ran");
}

#[trial]
fn abort() {
    bad(&Altered::that("aborts"), "it crashed with SIGABRT while its `create` ran");
}

#[trial]
fn exit_well() {
    bad(&Altered::that("exits well"), "it ended the process with status 0 while its `create` ran");
}

#[trial]
fn exit_badly() {
    bad(&Altered::that("exits badly"), "it ended the process with status 3 while its `create` ran");
}

#[trial]
fn crash_in_a_drop() {
    bad(&Altered::that("drop crashes"), "it crashed with SIGABRT while it was dropped");
}

/// The sentence of a bad verdict, which is kept; nothing else is left.
pub fn judged(bytes: &[u8]) -> String {
    let place = Place::new();
    let verdict = place.verify(bytes, VerifierLimits::default());
    let Ok(Verdict::Bad(sentence)) = verdict else { panic!("{verdict:?}") };
    assert_eq!(place.names("verdicts").len(), 1, "the verdict is kept");
    place.expect_clean();
    sentence
}

pub fn bad(bytes: &[u8], sentence: &str) {
    assert_eq!(judged(bytes), sentence);
}

/// There is no verdict, and none is kept.
pub fn timed_out(bytes: &[u8], sentence: &str) {
    let place = Place::new();
    let began = Instant::now();
    let error = place.verify(bytes, QUICK).expect_err("no verdict");
    assert_eq!(error.to_string(), sentence);
    assert!(matches!(error, VerifyError::TimedOut { .. }));
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    assert!(place.names("verdicts").is_empty(), "a time-out is no verdict");
    place.expect_clean();
}

#[trial]
fn panic() {
    let sentence = judged(&Altered::that("panics"));
    let start = "`create` panicked: there is no way (candidates/examples/misbehaving.rs:";
    assert!(sentence.starts_with(start) && sentence.ends_with(')'), "{sentence}");
}

#[trial]
fn eat_memory() {
    let place = Place::new();
    let limits = VerifierLimits { time: Duration::from_secs(120), memory: 384 << 20 };
    let error = place.verify(&Altered::that("eats"), limits).expect_err("no verdict");
    let sentence = "it asked for more memory than the 384 MiB that it is verified with, while its `create` ran";
    assert_eq!(error.to_string(), sentence);
    assert!(place.names("verdicts").is_empty(), "another host may have more");
    place.expect_clean();
}

/// One line of it is told, and nothing that a terminal would obey.
#[trial]
fn talk_without_end() {
    let sentence = judged(&Altered::that("talks without end"));
    assert!(sentence.starts_with("`create` failed: \\u{1b}[31mno no \\u{1b}[31mno no"), "{sentence:.200}");
    assert!(sentence.ends_with('…') && sentence.len() < 10_000, "{}", sentence.len());
}

#[trial]
fn recurse() {
    let sentence = judged(&Altered::that("recurses"));
    assert!(sentence.starts_with("it crashed with SIGABRT while its `create` ran (it said: "), "{sentence}");
    assert!(sentence.contains("stack overflow"), "{sentence}");
}

/// Whoever killed it (the system, when memory is short) may not do so next time.
#[trial]
fn be_killed() {
    let place = Place::new();
    let error = place.verify(&Altered::that("is killed"), VerifierLimits::default()).expect_err("no verdict");
    assert_eq!(error.to_string(), "it could not be verified: the verifying process was killed from outside");
    assert!(place.names("verdicts").is_empty(), "it is no verdict");
    place.expect_clean();
}

#[trial]
fn routes() {
    let sentence = judged(&Altered::that("routes panic"));
    assert!(sentence.starts_with("`routes` panicked: no routes today (candidates/examples/"), "{sentence}");
    let sentence = judged(&Altered::that("routes overlap"));
    let start = "`routes` panicked: Overlapping method route. Handler for `GET /same` already exists (";
    assert!(sentence.starts_with(start), "{sentence}");
}

#[trial]
fn shutdown() {
    let sentence = judged(&Altered::that("shutdown panics"));
    assert!(sentence.starts_with("`shutdown` panicked: not yet (candidates/examples/"), "{sentence}");
    let sentence = "it did not come to an end within 1 s while its `shutdown` ran";
    timed_out(&Altered::that("shutdown hangs"), sentence);
}

/// What a plugin prints is neither taken for the verifier's words nor does it block anybody.
#[trial]
fn shouting_is_harmless() {
    let place = Place::new();
    let verdict = place.verify(&Altered::that("shouts"), VerifierLimits::default());
    assert!(matches!(verdict, Ok(Verdict::Good(_))), "{verdict:?}");
    place.expect_clean();
}

/// A child of the plugin's holds its output open: nobody waits for it, and it goes with the verifying process.
#[trial]
fn children_go_too() {
    let seconds = format!("86400{}", std::process::id());
    let place = Place::new();
    let began = Instant::now();
    let verdict = place.verify(&Altered::that(&format!("spawns {seconds}")), VerifierLimits::default());
    assert!(matches!(verdict, Ok(Verdict::Good(_))), "{verdict:?}");
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    let line = format!("sleep {seconds}");
    while !processes_with(&line).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(300), "the child lives on");
        thread::sleep(Duration::from_millis(1));
    }
    place.expect_clean();
}

/// Whatever this process has open or in its environment, the plugin finds none of it; and it is bounded.
#[trial]
fn surroundings() {
    let place = Place::new();
    let inherited = std::fs::File::create(place.path("inherited")).unwrap();
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
    let verdict =
        place.verify(&Altered::that("surroundings"), VerifierLimits { time: Duration::from_secs(7), memory: 1 << 30 });
    drop(inherited);
    let Ok(Verdict::Bad(told)) = verdict else { panic!("{verdict:?}") };
    let lines: Vec<_> = told.trim_start_matches("`create` failed: ").split(" | ").collect();
    let own = format!("directory {}/", place.path("trying").canonicalize().unwrap().display());
    assert!(lines[0].starts_with(&own), "no variables, and then a directory of its own: {told}");
    let descriptors: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("descriptor ")).collect();
    let (files, others): (Vec<&str>, Vec<&str>) = descriptors.into_iter().partition(|target| target.starts_with('/'));
    assert!(matches!(&files[..], [own] if own.ends_with("/fd")), "only the listing itself: {files:?}");
    // The verifier's own line to its parent; the rest is the plugin's tokio.
    let pipes = others.iter().filter(|target| target.starts_with("pipe:")).count();
    let events = others.iter().filter(|target| target.starts_with("anon_inode:")).count();
    // Its signals have a pair of sockets and a second descriptor of one of them.
    let sockets = others.iter().filter(|target| target.starts_with("socket:")).count();
    assert_eq!((pipes, sockets, pipes + events + sockets), (1, 3, others.len()), "{others:?}");
    let limit = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name)).expect("every limit is listed");
        line[name.len()..].split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max address space"), ["1073741824", "1073741824"]);
    assert_eq!(limit("Max cpu time"), ["9", "9"]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max file size"), ["67108864", "67108864"]);
    assert_eq!(limit("Max open files"), ["256", "256"]);
    std::fs::remove_file(place.path("inherited")).unwrap();
    place.expect_clean();
}

/// As many a `create` does with a database: what it writes goes with the verifying process.
#[trial]
fn write_beside_itself() {
    let place = Place::new();
    let verdict = place.verify(&Altered::that("writes todo.db"), VerifierLimits::default());
    assert!(matches!(verdict, Ok(Verdict::Good(_))), "{verdict:?}");
    for place in
        [place.path("verdicts"), place.path("trying"), place.path(""), "/".into(), std::env::current_dir().unwrap()]
    {
        assert!(!place.join("todo.db").exists(), "{}", place.display());
    }
    place.expect_clean();
}

/// Where the kernel has Landlock.
#[trial]
fn write_elsewhere() {
    let place = Place::new();
    let file = std::path::PathBuf::from(format!("/tmp/elsewhere-{}", std::process::id()));
    let verdict = place.verify(&Altered::that(&format!("writes {}", file.display())), VerifierLimits::default());
    // SAFETY: with this flag no struct is read; the kernel answers with its version.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, 1_u32) };
    if version < 1 {
        assert!(matches!(verdict, Ok(Verdict::Good(_))), "nothing is lost without it: {verdict:?}");
        std::fs::remove_file(&file).unwrap();
        return;
    }
    let Ok(Verdict::Bad(sentence)) = verdict else { panic!("{verdict:?}") };
    assert_eq!(
        sentence,
        "`create` failed: Permission denied (os error 13) (while it is verified it may write to its working directory \
         only: what writes elsewhere belongs into `start`)"
    );
    assert!(!file.exists());
    place.expect_clean();
}

/// With too little memory even for the library, nothing is said of the plugin.
#[trial]
fn little_memory() {
    let place = Place::new();
    let verified = |megabytes: u64| {
        let limits = VerifierLimits { time: Duration::from_secs(10), memory: megabytes << 20 };
        let verdict = place.verify(&Altered::good().0, limits);
        assert!(place.names("verdicts").is_empty() || verdict.is_ok(), "nothing of this is kept: {verdict:?}");
        verdict
    };
    let error = verified(1).expect_err("no verdict").to_string();
    let before = "it could not be verified: the verifying process ended with ";
    assert!(error.starts_with(before) && error.ends_with(" before it had begun"), "{error}");
    // How much the program itself takes depends on how it was built. Somewhere there is room for it alone.
    let between = (2..1024).map(verified).take_while(Result::is_err).map(|error| error.unwrap_err().to_string());
    let last = between.last().expect("one that is too little");
    let unmapped = "it could not be verified: its library could not be mapped (is memory short, or the file system mounted \
                    `noexec`?): failed to map segment from shared object";
    assert_eq!(last, unmapped);
    place.expect_clean();
}
