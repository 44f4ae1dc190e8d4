//! Builds that do not come to their own end, and edits while they run.

use crate::place::{PLAIN, Place};
use camlock_policy::{BuildPriority, Sources};
use camlock_testing::trial;
use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

/// A script that starts another process, tells that it runs, and never ends.
pub const HANGS: &str = "fn main() {\n    let mut child = std::process::Command::new(\"sleep\").arg(\"100000\").spawn().unwrap();\n    \
                         std::fs::write(std::env::var(\"TELL\").unwrap(), \"up\").unwrap();\n    child.wait().unwrap();\n}\n";

/// A pipe into which scripts write when they run.
pub fn pipe(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
}

/// Waits until a script runs.
pub fn wait_for(path: &Path) {
    assert_eq!(said(path), "up");
}

/// Waits for what is said there, by whoever.
fn said(path: &Path) -> String {
    let mut said = String::new();
    File::open(path).expect("the pipe").read_to_string(&mut said).expect("it is read");
    said
}

/// Whoever still waits there hears nothing.
fn nobody_comes(path: &Path) {
    use rustix::fs::{Mode, OFlags, open};
    let _ = open(path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
}

fn hanging(limit: Duration) -> (Place, tempfile::TempDir) {
    hanging_and_others(limit, Duration::from_millis(200))
}

/// Others wait for so long at most.
fn hanging_and_others(limit: Duration, spare_after: Duration) -> (Place, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let tell = dir.path().join("tell");
    pipe(&tell);
    let place = Place::apart_with(|options| {
        options.limit = Arc::new(move |name| if name == "hangs" { limit } else { Duration::from_secs(400) });
        options.spare_after = spare_after;
        options.environment.push(("TELL".to_owned(), Some(tell.to_str().unwrap().to_owned())));
    });
    place.write_crate("hangs", "", PLAIN);
    place.write("plugins/hangs/build.rs", HANGS);
    (place, dir)
}

/// Waits until no process has this directory in its environment or command line.
pub fn expect_no_process_of(dir: &Path) {
    let dir = dir.to_str().unwrap();
    let mut left = Vec::new();
    for _ in 0..4000 {
        left = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|process| {
                let own = process.file_name().to_str() == Some(&std::process::id().to_string());
                let environment = fs::read(process.path().join("environ")).unwrap_or_default();
                !own && String::from_utf8_lossy(&environment).contains(&format!("TELL={dir}"))
            })
            .map(|process| fs::read_to_string(process.path().join("cmdline")).unwrap_or_default())
            .collect();
        if left.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("processes are left: {left:?}");
}

#[trial]
fn a_script_that_hangs() {
    // On a busy machine it may take longer until the script runs.
    for seconds in [3, 20, 200] {
        let (place, dir) = hanging(Duration::from_secs(seconds));
        let tell = dir.path().join("tell");
        let waits = thread::spawn({
            let tell = tell.clone();
            move || said(&tell)
        });
        let failure = place.fail("hangs");
        nobody_comes(&tell);
        let runs = waits.join().unwrap() == "up";
        assert!(failure.transient, "{failure}");
        let why = format!("it was not built within {seconds} s and was ended");
        assert!(failure.reason.starts_with(&why), "{failure}");
        expect_no_process_of(dir.path());
        assert_eq!(fs::read_dir(place.data("builds/running")).unwrap().count(), 0, "no note of it is left");
        if runs {
            let at = format!("{why} while it was at this: Compiling hangs v0.1.0");
            assert!(failure.reason.starts_with(&at), "{failure}");
            return;
        }
    }
    panic!("the script never ran");
}

#[trial]
fn nobody_wants_it_any_more() {
    let (place, dir) = hanging(Duration::from_secs(400));
    let entry = place.entry("hangs");
    let build = place.runtime.spawn(place.builder.build(&entry, BuildPriority::Rest, Arc::new(drop)));
    wait_for(&dir.path().join("tell"));
    build.abort();
    expect_no_process_of(dir.path());
    // And the next one has its turn.
    fs::remove_file(place.path("plugins/hangs/build.rs")).unwrap();
    place.build("hangs");
}

#[trial]
fn cargo_is_killed() {
    let place = Place::apart();
    place.write_crate("murderous", "", PLAIN);
    place.write(
        "plugins/murderous/build.rs",
        "fn main() {\n    let cargo = std::os::unix::process::parent_id().to_string();\n    \
         std::process::Command::new(\"kill\").args([\"-9\", &cargo]).status().unwrap();\n}\n",
    );
    let failure = place.fail("murderous");
    assert!(failure.transient, "{failure}");
    assert_eq!(failure.reason, "cargo was killed by signal 9 while it built; it is tried again");
}

/// The script reads from a pipe, so that the edit falls into the build for certain.
#[trial]
fn an_edit_while_it_is_built() {
    let dir = tempfile::tempdir().unwrap();
    let tell = dir.path().join("tell");
    pipe(&tell);
    let place = Place::apart_with(|options| {
        options.environment.push(("TELL".to_owned(), Some(tell.to_str().unwrap().to_owned())));
    });
    place.write_crate("edited", "", PLAIN);
    place.write(
        "plugins/edited/build.rs",
        "fn main() {\n    println!(\"cargo:rerun-if-changed=build.rs\");\n    \
         std::fs::read(std::env::var(\"TELL\").unwrap()).unwrap();\n}\n",
    );
    let (entry, source) = (place.entry("edited"), place.path("plugins/edited/src/lib.rs"));
    let edits = thread::spawn(move || {
        // Opening waits for the script.
        let writer = File::options().write(true).open(&tell).unwrap();
        fs::write(source, format!("// edited\n{PLAIN}")).unwrap();
        drop(writer);
    });
    let built = place.try_build("edited").unwrap();
    edits.join().unwrap();
    assert_eq!(built.fingerprint, entry.fingerprint, "it is said to be what it was when the build began");
    assert_ne!(place.entry("edited").fingerprint, entry.fingerprint, "so the edit is seen");
    place.build("edited");
}

#[trial]
fn a_hanging_build_holds_nobody_up() {
    let (place, dir) = hanging(Duration::from_secs(400));
    let entry = place.entry("hangs");
    let build = place.runtime.spawn(place.builder.build(&entry, BuildPriority::Rest, Arc::new(drop)));
    wait_for(&dir.path().join("tell"));
    place.write_crate("patient", "", PLAIN);
    place.build("patient");
    build.abort();
    expect_no_process_of(dir.path());
}

/// A script that starts a process which leaves its group and session and forgets its environment, and notes its number.
const DAEMON: &str = r#"use std::process::{Command, Stdio};

fn main() {
    let mut daemon = Command::new("setsid");
    daemon.args(["env", "-i", "/bin/sleep", "100000"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let id = daemon.spawn().unwrap().id().to_string();
    std::fs::write(std::env::var("NOTE").unwrap(), id).unwrap();
    if let Ok(tell) = std::env::var("TELL") {
        std::fs::write(tell, "up").unwrap();
        std::thread::sleep(std::time::Duration::from_secs(100000));
    }
}
"#;

fn daemonic(tell: Option<&Path>) -> (Place, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let note = dir.path().join("note").to_str().unwrap().to_owned();
    let tell = tell.map(|tell| tell.to_str().unwrap().to_owned());
    let place = Place::apart_with(|options| {
        options.environment.extend([("NOTE".to_owned(), Some(note)), ("TELL".to_owned(), tell)]);
    });
    place.write_crate("daemonic", "", PLAIN);
    place.write("plugins/daemonic/build.rs", DAEMON);
    (place, dir)
}

/// Waits until the process that was noted is gone.
fn expect_gone(dir: &Path) {
    let id = fs::read_to_string(dir.join("note")).expect("a daemon was started");
    for _ in 0..8000 {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        // One that was killed and not waited for has no command line any more.
        if !line.ends_with(b"100000\0") {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("the daemon {id} is left");
}

#[trial]
fn daemons_end_with_their_build() {
    let (place, dir) = daemonic(None);
    place.build("daemonic");
    expect_gone(dir.path());
}

#[trial]
fn daemons_end_when_nobody_wants_the_build() {
    let tells = tempfile::tempdir().unwrap();
    let tell = tells.path().join("tell");
    pipe(&tell);
    let (place, dir) = daemonic(Some(&tell));
    let entry = place.entry("daemonic");
    let build = place.runtime.spawn(place.builder.build(&entry, BuildPriority::Rest, Arc::new(drop)));
    wait_for(&tell);
    build.abort();
    expect_gone(dir.path());
}

/// Not after the builds of others.
#[trial]
fn what_cannot_be_read_as_rust_is_told_at_once() {
    let (place, dir) = hanging_and_others(Duration::from_secs(400), Duration::from_secs(3600));
    let entry = place.entry("hangs");
    let build = place.runtime.spawn(place.builder.build(&entry, BuildPriority::Rest, Arc::new(drop)));
    wait_for(&dir.path().join("tell"));
    place.write_crate("unreadable", "", "pub fn one() {\n    let x = ;\n}\n");
    let failure = place.fail("unreadable");
    assert!(failure.reason.starts_with("it does not compile: src/lib.rs:2: expected expression"), "{failure}");
    assert!(failure.diagnostics[0].rendered.contains("--> src/lib.rs:2:13"), "{:?}", failure.diagnostics);
    place.write("plugins/unreadable-file.rs", "---\n[package]\nversion = \"1.0.0\"\n---\npub fn one() { let x = ; }\n");
    let failure = place.fail("unreadable-file");
    assert!(failure.reason.contains("unreadable-file.rs:5"), "{failure}");
    build.abort();
    expect_no_process_of(dir.path());
}
