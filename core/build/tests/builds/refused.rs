//! What cargo cannot or may not build, and what people are told.

use crate::place::{PLAIN, Place, manifest};
use camlock_policy::{Sources, Stage};
use camlock_testing::trial;
use std::{fs, path::Path, process::Command};

#[trial]
fn manifests() {
    let place = Place::apart();
    let broken = |name: &str, text: &str, reason: &str| {
        place.write(&format!("plugins/{name}/Cargo.toml"), text);
        let failure = place.fail(name);
        assert_eq!(failure.stage, Stage::Manifest, "{failure}");
        assert!(failure.reason.starts_with(reason), "{failure}");
    };
    broken("no-cdylib", "[package]\nname = \"no-cdylib\"\n[lib]\n", "Cargo.toml, line 3: it builds no library");
    broken(
        "other-lib",
        &manifest("other-lib", "").replace("[lib]", "[lib]\nname = \"hello\""),
        "Cargo.toml, line 7: the library must be called like its package, `other_lib`",
    );
    broken(
        "bad-key",
        &manifest("bad-key", "[package.metadata.camlock]\nroots = []\n"),
        "Cargo.toml, line 10: unknown field `roots`",
    );
    // Only cargo knows what is wrong with these.
    place.write("plugins/bad-version/src/lib.rs", "");
    broken(
        "bad-version",
        &manifest("bad-version", "[dependencies]\nserde = \"1x\"\n"),
        "cargo cannot build it: failed to parse manifest at `Cargo.toml`: failed to parse the version requirement `1x`",
    );
    place.write("plugins/bad-type/src/lib.rs", "");
    broken(
        "bad-type",
        &manifest("bad-type", "[dependencies]\nserde = 7\n"),
        "cargo cannot build it: invalid type: integer `7`",
    );
    assert_eq!(place.fail("bad-type").diagnostics[0].line, 10);
}

#[trial]
fn too_many_files() {
    let place = Place::apart();
    place.write_crate("crowded", "", PLAIN);
    fs::create_dir(place.path("plugins/crowded/rows")).unwrap();
    for index in 0..20_100 {
        fs::write(place.path(&format!("plugins/crowded/rows/{index}")), "").unwrap();
    }
    place.write_crate("fine", "", PLAIN);
    let failure = place.fail("crowded");
    assert_eq!(
        failure.reason,
        "`crowded` has more than 20000 files, most of them in `rows`: keep data outside the plugin's folder"
    );
    place.build("fine");
}

/// All packages come from an empty folder, so that it is known without a network that there is none.
#[trial]
fn no_such_package() {
    let place = Place::apart();
    fs::create_dir(place.path("vendored")).unwrap();
    place.write(
        ".cargo/config.toml",
        "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendored\"\n",
    );
    place.write_crate("misspelt", "[dependencies]\nsrede = \"1\"\n", PLAIN);
    let failure = place.fail("misspelt");
    assert!(failure.reason.starts_with("there is no package `srede` in directory source"), "{failure}");
    assert!(!failure.transient && failure.diagnostics[0].rendered.contains("required by package `misspelt"));
}

#[trial]
fn no_network() {
    let place = Place::apart();
    let home = place.path("home");
    let place = Place::apart_with(|options| {
        // Nothing is fetched into the author's own home by a test.
        options.environment.push(("CARGO_HOME".to_owned(), Some(home.to_str().unwrap().to_owned())));
    });
    for (name, dependency) in [
        ("far-registry", "far = { version = \"1\", registry-index = \"sparse+http://127.0.0.1:1/\" }"),
        ("far-git", "far = { git = \"http://127.0.0.1:1/far.git\" }"),
    ] {
        place.write_crate(name, &format!("[dependencies]\n{dependency}\n"), PLAIN);
        let failure = place.fail(name);
        let begins = "the dependency `far` cannot be fetched, for the network does not answer: ";
        assert!(failure.transient && failure.reason.starts_with(begins), "{failure}");
        assert!(failure.reason.contains("127.0.0.1"), "{failure}");
    }
}

#[trial]
fn no_cargo() {
    let place = Place::apart_with(|options| {
        let nowhere = options.data.with_file_name("no-programs").to_str().unwrap().to_owned();
        options.environment.push(("PATH".to_owned(), Some(nowhere)));
    });
    place.write_crate("unbuilt", "", PLAIN);
    let failure = place.fail("unbuilt");
    assert!(
        failure.reason.starts_with(
            "cargo is not installed (it is not in the server's PATH), so that this server can serve prebuilt"
        ),
        "{failure}"
    );
    assert_eq!(place.builder.cannot_build(), Some(failure.reason));
    // What is built already needs none.
    place.write("plugins/libready.so", "identity of ready is made elsewhere.");
    let built = place.build("ready");
    assert_eq!(built.candidate, place.path("plugins/libready.so"));
}

#[trial]
fn no_such_toolchain() {
    if !Command::new("rustup").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("not tried: toolchains are not kept by rustup here");
        return;
    }
    let place = Place::apart_with(|options| {
        options.environment.push(("RUSTUP_AUTO_INSTALL".to_owned(), Some("0".to_owned())));
    });
    place.write_crate("pinned", "", PLAIN);
    let built = place.build("pinned");
    place.write("plugins/pinned/rust-toolchain.toml", "[toolchain]\nchannel = \"1.30.0\"\n");
    assert_ne!(place.entry("pinned").fingerprint, built.fingerprint);
    let failure = place.fail("pinned");
    assert!(failure.reason.contains("1.30.0") && failure.reason.contains("not installed"), "{failure}");
    fs::remove_file(place.path("plugins/pinned/rust-toolchain.toml")).unwrap();
    assert_eq!(place.build("pinned").fingerprint, built.fingerprint);
}

/// In a process that stands in for cargo: says what cargo says when the disk is full.
pub fn run_if_called_cargo() {
    let called = std::env::args_os().next().unwrap_or_default();
    if Path::new(&called).file_name() == Some("cargo".as_ref()) {
        eprintln!("error: failed to write x\n\nCaused by:\n  No space left on device (os error 28)");
        std::process::exit(101);
    }
}

/// A disk is not easily filled in a test.
#[trial]
fn no_room() {
    let programs = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(std::env::current_exe().unwrap(), programs.path().join("cargo")).unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let place = Place::apart_with(|options| options.environment.push(("PATH".to_owned(), Some(path))));
    place.write_crate("full", "", PLAIN);
    let failure = place.fail("full");
    assert!(failure.transient && failure.reason.starts_with("there is no space left on the disk"), "{failure}");
}

#[trial]
fn a_folder_that_is_gone() {
    let place = Place::apart();
    place.write_crate("fleeting", "", PLAIN);
    let entry = place.entry("fleeting");
    fs::remove_dir_all(place.path("plugins/fleeting")).unwrap();
    let failure = place
        .runtime
        .block_on(place.builder.build(&entry, camlock_policy::BuildPriority::Rest, std::sync::Arc::new(drop)))
        .unwrap_err();
    assert!(failure.reason.ends_with("plugins/fleeting is gone"), "{failure}");
}
