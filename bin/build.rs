//! Records what the program is built with and from, for `/_/health` and bug reports.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    tell("CAMLOCK_RUSTC", said(Command::new(rustc).arg("--version")));
    // A source tree without git, an archive say, has no revision to tell.
    tell("CAMLOCK_REVISION", said(Command::new("git").args(["rev-parse", "--short=12", "HEAD"])));
    if let Some(head) = said(Command::new("git").args(["rev-parse", "--git-path", "logs/HEAD"])) {
        println!("cargo:rerun-if-changed={head}");
    }
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn tell(name: &str, value: Option<String>) {
    if let Some(value) = value {
        println!("cargo:rustc-env={name}={value}");
    }
}
