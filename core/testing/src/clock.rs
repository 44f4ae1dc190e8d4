//! Clocks that are wrong, for real programs: a library that is preloaded tells them another time of day.

use std::{fs, path::Path, process::Command};

const SOURCE: &str = include_str!("clock.c");

/// Has a program believe that it is so many seconds later; with a number below nothing, earlier. What it needs for that is made in this
/// directory, by the C compiler.
pub fn set_clock(command: &mut Command, directory: &Path, seconds: i64) {
    let (source, library) = (directory.join("clock.c"), directory.join(format!("clock{seconds}.so")));
    fs::write(&source, SOURCE).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", &format!("-DSECONDS=({seconds})"), "-o"]).arg(&library).arg(&source);
    let compiled = compiler.output().expect("a C compiler is there, as for linking");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    command.env("LD_PRELOAD", library);
}
