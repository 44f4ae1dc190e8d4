//! What only shows in another process: with fewer rights, or killed.

use crate::{
    ended::{HANGS, expect_no_process_of, pipe, wait_for},
    place::{PLAIN, Place, manifest, plainly},
};
use camlock_build::{Builder, BuilderOptions, Identified, Identify};
use camlock_policy::Sources;
use camlock_testing::trial;
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{self, Command},
    sync::Arc,
};

const ASKED: &str = "builds-restarted";
/// Who owns nothing.
const NOBODY: u32 = 65534;

fn builder_in(dir: &Path) -> Builder {
    let identify: Identify =
        Arc::new(|path| plainly(path).map(|identity| Identified { name: identity.name, claims: Vec::new() }));
    let mut options = BuilderOptions::new(dir.join("plugins"), dir.join("data"), identify, Arc::new(plainly));
    options.environment.push(("TELL".to_owned(), Some(dir.join("tell").to_str().expect("a plain path").to_owned())));
    Builder::new(options)
}

/// In a process that one of the tests below started: does what it asks, prints what comes of it, and ends.
pub fn run_if_asked() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(ASKED) {
        return;
    }
    let what = arguments.next().expect("what to do");
    let builder = builder_in(&PathBuf::from(arguments.next().expect("a path")));
    let scan = builder.scan();
    if what == "build" {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let _ = runtime.block_on(builder.build(&scan.entries[0], camlock_policy::BuildPriority::Rest, Arc::new(drop)));
    }
    for entry in scan.entries {
        println!("{}: {}", entry.name, entry.problem.map(|problem| problem.reason).unwrap_or_default());
    }
    println!("{}", scan.trouble.unwrap_or_default());
    process::exit(0);
}

fn seen_by_somebody_else(dir: &Path) -> String {
    let mut command = Command::new("/proc/self/exe");
    command.args([ASKED, "scan"]).arg(dir);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[trial]
fn what_may_not_be_read() {
    let place = Place::apart();
    place.write_crate("hello", "", PLAIN);
    place.write_crate("secret", "", PLAIN);
    place.write_crate("shut", "", PLAIN);
    place.write_crate("closed", "", PLAIN);
    place.write("plugins/single.rs", "");
    allow(&place.path(""), 0o755);
    allow(&place.path("data"), 0o777);
    allow(&place.path("plugins/secret/src/lib.rs"), 0o000);
    allow(&place.path("plugins/shut/src"), 0o000);
    allow(&place.path("plugins/closed"), 0o000);
    allow(&place.path("plugins/single.rs"), 0o000);
    assert_eq!(
        seen_by_somebody_else(&place.path("")),
        "closed: `closed` cannot be read by the server: permission denied; give the server's user leave to read it\n\
         hello: \n\
         secret: `secret` has a file that cannot be read by the server, `src/lib.rs`: permission denied; \
         give the server's user leave to read it\n\
         shut: `shut` has a file that cannot be read by the server, `src`: permission denied; \
         give the server's user leave to read it\n\
         single: `single.rs` cannot be read by the server: permission denied; give the server's user leave to read it"
    );
    allow(&place.path("plugins"), 0o000);
    let trouble = seen_by_somebody_else(&place.path(""));
    let plugins = place.path("plugins");
    assert_eq!(
        trouble,
        format!(
            "the plugins directory {} cannot be read: permission denied; give the server's user leave to read it",
            plugins.display()
        )
    );
    allow(&plugins, 0o755);
}

/// `kill -9` of a server leaves its build behind; the next one ends it.
#[trial]
fn a_server_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("plugins/hangs/src")).unwrap();
    fs::write(dir.path().join("plugins/hangs/Cargo.toml"), manifest("hangs", "")).unwrap();
    fs::write(dir.path().join("plugins/hangs/src/lib.rs"), PLAIN).unwrap();
    fs::write(dir.path().join("plugins/hangs/build.rs"), HANGS).unwrap();
    pipe(&dir.path().join("tell"));
    let mut server = Command::new("/proc/self/exe").args([ASKED, "build"]).arg(dir.path()).spawn().unwrap();
    wait_for(&dir.path().join("tell"));
    server.kill().unwrap();
    server.wait().unwrap();
    let builder = builder_in(dir.path());
    expect_no_process_of(dir.path());
    assert_eq!(builder.scan().entries.len(), 1);
}
