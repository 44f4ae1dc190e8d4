//! A newcomer's first minutes: the README's first command in a fresh clone of what is committed here, until the shipped plugin
//! `hello` answers. Dependencies are downloaded before; nothing is built.

use crate::common::report::{Better, Row, finish};
use camlock_testing::{Server, repository};
use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

pub fn run() -> ExitCode {
    let dir = tempfile::tempdir().expect("a directory");
    let clone = dir.path().join("camlock");
    carry_out(Command::new("git").arg("clone").arg("--quiet").arg(repository()).arg(&clone));
    carry_out(&mut in_clone(&clone, &["fetch", "--quiet", "--locked"]));

    let began = Instant::now();
    let mut serve = in_clone(&clone, &["run", "--release", "--", "serve"]);
    // The port that it has by default may be somebody else's here.
    serve.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
    let server = Server::new(serve.spawn().expect("cargo runs"), clone.join(".camlock"));
    let compiled = began.elapsed().as_secs_f64();
    server.until_status("/api/v1/p/hello/hello", 200);
    let took = began.elapsed().as_secs_f64();
    server.end();

    let rows = [
        Row::count("fresh clone → the server listens", "s", Better::Lower, compiled),
        Row::count("fresh clone → `hello` answers", "s", Better::Lower, took).must(240.0, 180.0),
    ];
    finish("first-run", &rows)
}

/// Cargo in the clone, which finds nothing of this one's builds.
fn in_clone(clone: &Path, arguments: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).current_dir(clone).env_remove("CAMLOCK_ADMIN_TOKEN");
    // What cargo sets for a benchmark is not set in a newcomer's shell.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO") && name != "CARGO_HOME") {
        cargo.env_remove(name);
    }
    cargo
}

fn carry_out(command: &mut Command) {
    assert!(command.status().expect("it starts").success(), "{command:?}");
}
