//! Files that are no libraries for this machine, or cannot be read.

use crate::place::Place;
use camlock_loader::StageError;
use camlock_testing::{Altered, Fixtures, trial};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

#[trial]
fn text() {
    refused(b"#!/bin/sh\necho hello\n", "it is not an ELF file");
}

#[trial]
fn empty() {
    refused(b"", "it is not an ELF file");
}

/// These bytes are refused with this sentence.
pub fn refused(bytes: &[u8], sentence: &str) {
    let place = Place::new();
    let candidate = place.file(bytes);
    refused_at(&place, &candidate, sentence);
}

fn refused_at(place: &Place, candidate: &Path, sentence: &str) {
    let error = place.staging.stage(candidate).expect_err("it is refused");
    assert_eq!(error.to_string(), sentence);
    place.expect_nothing();
}

#[trial]
fn truncated() {
    let good = Altered::good();
    let sections = good.number(0x28);
    for (len, what) in [
        (5, "its header"),
        (63, "its header"),
        (64, "its program header table"),
        (300, "its program header table"),
        (4096, "a segment"),
        (good.0.len() / 2, "a segment"),
        (sections + 10, "its section table"),
        (good.0.len() - 1, "its section table"),
    ] {
        refused(&good.clone().cut(len).0, &format!("it is truncated: {what} lies beyond its end"));
    }
}

#[trial]
fn another_machine() {
    let good = Altered::good();
    let here = if cfg!(target_arch = "x86_64") { "x86-64" } else { "aarch64" };
    for (machine, name) in [(243_u16, "RISC-V"), (3, "x86 (32 bits)"), (21, "machine 21")] {
        let altered = good.clone().patch(0x12, &machine.to_le_bytes());
        refused(&altered.0, &format!("it is built for {name}, this host is {here}"));
    }
    refused(&good.clone().patch(4, &[1]).0, "it is a 32-bit library, this host needs 64 bits");
    refused(&good.patch(5, &[2]).0, "it is built for a big-endian machine, this host is little-endian");
}

#[trial]
fn an_object_file() {
    let sentence = "it is not a shared library (an object file, or a core dump?)";
    refused(&Altered::good().patch(0x10, &1_u16.to_le_bytes()).0, sentence);
}

#[trial]
fn an_executable() {
    refused_at(&Place::new(), Path::new("/proc/self/exe"), "it is an executable, not a library");
    refused(&Altered::good().patch(0x10, &2_u16.to_le_bytes()).0, "it is an executable, not a library");
}

/// Offsets and sizes that make no sense are met without a panic, and without reading out of bounds.
#[trial]
fn a_header_that_lies() {
    let good = Altered::good();
    let (programs, sections) = (good.number(0x20), good.number(0x28));
    let huge = &u64::MAX.to_le_bytes();
    let segment = "it is truncated: a segment lies beyond its end";
    refused(&good.clone().patch(programs + 0x08, huge).patch(programs, &1_u32.to_le_bytes()).0, segment);
    refused(&good.clone().patch(0x20, huge).0, "it is truncated: its program header table lies beyond its end");
    refused(&good.clone().patch(0x28, huge).0, "it is truncated: its section table lies beyond its end");
    let no_meta =
        "it has no section `.camlock.meta`: it is a library, but not a Camlock plugin (is `export!` missing?)";
    refused(&good.clone().patch(good.header_of(".camlock.meta") + 0x20, huge).0, no_meta);
    // Every byte of the headers, one after the other: whatever comes of it, it comes in order.
    let place = Place::new();
    for at in (0..64).chain(sections..sections + 64 * 40) {
        let Some(byte) = good.0.get(at) else { break };
        let altered = good.clone().patch(at, &[!byte]);
        let _ = camlock_loader::inspect(&altered.0);
    }
    place.expect_nothing();
}

#[trial]
fn a_plain_library() {
    let sentence =
        "it has no section `.camlock.meta`: it is a library, but not a Camlock plugin (is `export!` missing?)";
    refused_at(&Place::new(), &Fixtures::quick().candidate("plain"), sentence);
}

#[trial]
fn no_file_at_all() {
    let place = Place::new();
    let path = place.path("candidate.so");
    refused_at(&place, &path, &format!("{} cannot be read: no such file or directory", path.display()));
}

#[trial]
fn a_directory() {
    let place = Place::new();
    let path = place.path("candidate.so");
    fs::create_dir(&path).unwrap();
    refused_at(&place, &path, &format!("{} cannot be read: it is not a file", path.display()));
}

/// Opening a pipe waits for somebody to write; that must not be waited for.
#[trial]
fn a_pipe() {
    let place = Place::new();
    let path = place.path("candidate.so");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    refused_at(&place, &path, &format!("{} cannot be read: it is not a file", path.display()));
}

#[trial]
fn a_device() {
    refused_at(&Place::new(), Path::new("/dev/zero"), "/dev/zero cannot be read: it is not a file");
}

#[trial]
fn too_large() {
    let place = Place::new();
    let path = place.path("candidate.so");
    File::create(&path).unwrap().set_len(2 << 30).unwrap();
    refused_at(&place, &path, "it is 2147483648 bytes long, more than the 1073741824 that are read");
}

/// Somebody goes on writing the file: no half of it is ever taken, and it is taken once the writer is done.
#[trial]
fn one_that_changes() {
    static DONE: AtomicBool = AtomicBool::new(false);
    let place = Place::new();
    let good = Altered::good();
    let path = place.file(&good.0);
    thread::scope(|scope| {
        let mut writer = File::options().append(true).open(&path).unwrap();
        scope.spawn(move || {
            while !DONE.load(Ordering::Relaxed) {
                writer.write_all(&[0]).unwrap();
            }
        });
        let deadline = Instant::now() + Duration::from_secs(120);
        let error = loop {
            if let Err(error) = place.staging.stage(&path) {
                break error;
            }
            assert!(Instant::now() < deadline, "it was never seen to change");
        };
        DONE.store(true, Ordering::Relaxed);
        let sentence = format!("{} changed while it was read; it is tried again when it is still", path.display());
        assert_eq!(error.to_string(), sentence);
        assert!(matches!(error, StageError::Changing(_)));
    });
    place.staging.stage(&path).expect("it is still");
    fs::remove_file(&path).unwrap();
    place.expect_clean();
}
