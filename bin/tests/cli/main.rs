//! The command line as people and scripts use it: the built program, its output, its exit codes.
//!
//! Commands that need no server run over real files with real builds; those that do, against a real `camlock serve`, and against a
//! server of the tests' own for what that cannot be made to answer.

mod advised;
mod asked;
mod built;
mod by_name;
mod catalogs;
mod configured;
mod demanded;
mod dev;
mod discover;
mod discovered;
mod doctor;
mod fake;
#[allow(dead_code, unreachable_pub, reason = "the tests of camlock-discovery need more of it")]
#[path = "../../../core/discovery/tests/discovery/github.rs"]
mod github;
#[allow(dead_code, reason = "the tests of reports need more of it")]
#[path = "../observe/inbox.rs"]
mod inbox;
mod interrupted;
mod live;
mod new;
mod registry;
mod shipped;
mod unsigned;
mod words;

use camlock_testing::Site;
use std::{
    path::PathBuf,
    process::{Command, Output},
};

/// A site for this program.
fn site() -> Site {
    Site::new(env!("CARGO_BIN_EXE_camlock"))
}

/// The user's cache directory in these tests. It stays, so that what was built there is not built again.
fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// A command in a site, as an ordinary user would have it.
fn command(site: &Site, arguments: &[&str]) -> Command {
    clean(site.command(), arguments)
}

/// A command anywhere.
fn camlock(arguments: &[&str]) -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_camlock")), arguments)
}

fn clean(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments).env("XDG_CACHE_HOME", cache());
    for name in
        ["CAMLOCK_SERVER", "CAMLOCK_TOKEN", "CAMLOCK_CONFIG", "CAMLOCK_DATA", "CAMLOCK_PLUGINS", "CAMLOCK_ADMIN_TOKEN"]
    {
        command.env_remove(name);
    }
    command
}

/// How a command ended.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Ended {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a command to its end.
fn end(mut command: Command) -> Ended {
    command.output().unwrap().into()
}

impl Ended {
    /// It was done: what it printed.
    #[track_caller]
    fn done(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// It was done: the document it printed.
    #[track_caller]
    fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.done()).unwrap()
    }

    /// It failed with this code: its one line.
    #[track_caller]
    fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        let line = self.stderr.strip_suffix('\n').unwrap();
        assert_eq!((line.lines().count(), &*self.stdout), (1, ""), "{line}");
        line.strip_prefix("camlock: ").unwrap().to_owned()
    }

    /// It failed with this code after it had said more: its last line.
    #[track_caller]
    fn failed(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self.stderr.lines().next_back().unwrap().strip_prefix("camlock: ").unwrap()
    }
}
