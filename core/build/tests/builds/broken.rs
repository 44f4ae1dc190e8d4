//! Sources that do not compile, and how the author is told.

use crate::place::{PLAIN, PLUGIN, Place};
use camlock_policy::Stage;
use camlock_testing::trial;
use std::fs;

#[trial]
fn a_crate() {
    let place = Place::apart();
    place.write_crate("faulty", "", &format!("mod inner;\n\npub fn a() -> usize {{\n    missing\n}}\n{PLAIN}"));
    place.write("plugins/faulty/src/inner.rs", "pub fn b() -> u8 {\n    \"text\"\n}\n");
    let failure = place.fail("faulty");
    assert_eq!((failure.stage, failure.transient), (Stage::Build, false));
    assert!(failure.reason.starts_with("it does not compile, with 2 errors; the first: src/"), "{}", failure.reason);
    let mut places: Vec<_> = failure.diagnostics.iter().map(|one| (one.file.as_str(), one.line)).collect();
    places.sort_unstable();
    assert_eq!(places, [("src/inner.rs", 2), ("src/lib.rs", 4)]);
    let rendered = &failure.diagnostics.iter().find(|one| one.line == 4).unwrap().rendered;
    assert!(rendered.contains("--> src/lib.rs:4:5") && !rendered.contains('\u{1b}'), "{rendered}");

    place.write("plugins/faulty/src/lib.rs", PLAIN);
    place.build("faulty");
}

#[trial]
fn a_single_file() {
    let place = Place::shared();
    place.write(
        "plugins/faulty-file.rs",
        &format!("---\n[package]\nversion = \"1.0.0\"\n---\n{}", PLUGIN.replace("\"Hello!\"", "missing")),
    );
    let failure = place.fail("faulty-file");
    // Lines are those of the file as its author sees it.
    assert!(
        failure.reason.starts_with("it does not compile: faulty-file.rs:15: cannot find value `missing`"),
        "{}",
        failure.reason
    );
    assert_eq!((&*failure.diagnostics[0].file, failure.diagnostics[0].line), ("faulty-file.rs", 15));
}

/// A file that was missing, and came, is a reason to try again; that it was missing is not.
#[trial]
fn a_missing_file() {
    let place = Place::apart();
    place.write_crate("lacking", "", &format!("pub const TEXT: &str = include_str!(\"../../../later.txt\");\n{PLAIN}"));
    let before = place.entry("lacking").fingerprint;
    let failure = place.fail("lacking");
    assert!(failure.reason.contains("src/lib.rs:1: couldn't read `src/../../../later.txt`"), "{}", failure.reason);
    assert_eq!(place.entry("lacking").fingerprint, before);
    place.write("later.txt", "here it is");
    assert_ne!(place.entry("lacking").fingerprint, before);
    place.build("lacking");
}

#[trial]
fn a_build_script() {
    let place = Place::apart();
    place.write_crate("scripted", "", PLAIN);
    place.write("plugins/scripted/build.rs", "fn main() {\n    panic!(\"no protoc here\");\n}\n");
    let failure = place.fail("scripted");
    assert!(failure.reason.starts_with("the build script of `scripted` failed: thread 'main'"), "{}", failure.reason);
    assert!(failure.reason.contains("build.rs:2:5: no protoc here"), "{}", failure.reason);
}

/// It compiles, but whoever looks at the library refuses it.
#[trial]
fn not_a_plugin() {
    let place = Place::apart();
    place.write_crate("stranger", "", "pub fn nothing() {}\n");
    let failure = place.fail("stranger");
    assert_eq!((failure.stage, &*failure.reason), (Stage::Verify, "it has no identity"));
}

/// Deleted, it is as if it had never been there.
#[trial]
fn a_broken_lock_file() {
    let place = Place::apart();
    place.write_crate("locked", "", PLAIN);
    place.write("plugins/locked/Cargo.lock", "version = 4\n\n[[package]\n");
    let failure = place.fail("locked");
    assert!(failure.reason.contains("lock file"), "{failure}");
    fs::remove_file(place.path("plugins/locked/Cargo.lock")).unwrap();
    place.build("locked");
}
