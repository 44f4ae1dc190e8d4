//! Plugins that are built of more than one package.

use crate::place::{PLAIN, Place, manifest};
use camlock_policy::Sources;
use camlock_testing::trial;
use std::{
    fs,
    time::{Duration, SystemTime},
};

fn package(name: &str, more: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{more}")
}

fn says(what: &str) -> String {
    format!("pub fn says() -> &'static str {{\n    \"{what}\"\n}}\n")
}

/// A library in which what this needs must lie.
fn using(expression: &str) -> String {
    format!("#[unsafe(no_mangle)]\npub extern \"C\" fn says() -> usize {{\n    {expression}\n}}\n{PLAIN}")
}

fn contains(library: &std::path::Path, text: &str) -> bool {
    fs::read(library).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

#[trial]
fn inside_and_outside() {
    let place = Place::apart();
    // The one outside belongs to a workspace, the one inside uses the one outside.
    place.write("Cargo.toml", "[workspace]\nmembers = [\"shared\"]\n[workspace.package]\nedition = \"2024\"\n");
    place.write("shared/Cargo.toml", "[package]\nname = \"shared\"\nversion = \"0.1.0\"\nedition.workspace = true\n");
    place.write("shared/src/lib.rs", &says("shared one"));
    place.write(
        "plugins/joined/helper/Cargo.toml",
        &package("helper", "[dependencies]\nshared = { path = \"../../../shared\" }\n"),
    );
    place.write(
        "plugins/joined/helper/src/lib.rs",
        "pub fn says() -> String {\n    format!(\"helper one {}\", shared::says())\n}\n",
    );
    place.write_crate(
        "joined",
        "[dependencies]\nhelper = { path = \"helper\" }\nshared = { path = \"../../shared\" }\n",
        &using("helper::says().len() + shared::says().len()"),
    );
    let before = place.everything("");
    let built = place.build("joined");
    assert!(contains(&built.candidate, "helper one") && contains(&built.candidate, "shared one"));
    let outside: Vec<_> = place.builder.outside().into_iter().collect();
    assert_eq!(outside, [place.path("Cargo.toml"), place.path("shared")]);
    let sources = |all: std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        let data = place.data("").canonicalize().unwrap();
        all.into_iter().filter(|(path, _)| !path.starts_with(&data)).collect::<Vec<_>>()
    };
    assert_eq!(sources(place.everything("")), sources(before), "nothing is written anywhere else");

    place.write("shared/src/lib.rs", &says("shared two"));
    assert_ne!(place.entry("joined").fingerprint, built.fingerprint);
    assert!(contains(&place.build("joined").candidate, "shared two"));
    place.write("plugins/joined/helper/src/lib.rs", "this is no Rust\n");
    let failure = place.fail("joined");
    assert_eq!((&*failure.diagnostics[0].file, failure.diagnostics[0].line), ("helper/src/lib.rs", 1));
}

/// Cargo goes by times; what was copied from elsewhere may be older than what it replaces.
#[trial]
fn an_older_copy_of_a_file() {
    let place = Place::apart();
    place.write("shared/Cargo.toml", &package("shared", ""));
    place.write("shared/src/lib.rs", &says("the newer"));
    place.write_crate(
        "dated",
        "[dependencies]\nshared = { path = \"../../shared\" }\n",
        &using("shared::says().as_ptr() as usize"),
    );
    assert!(contains(&place.build("dated").candidate, "the newer"));
    place.write("shared/src/lib.rs", &says("the older"));
    let file = fs::File::options().write(true).open(place.path("shared/src/lib.rs")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7 * 86_400)).unwrap();
    assert!(contains(&place.build("dated").candidate, "the older"));
}

/// One plugin uses another as a library: its cdylib is built along, and lies where the other's own would.
#[trial]
fn two_libraries_of_one_name() {
    let place = Place::apart();
    place.write_crate("base", "", PLAIN);
    place.write("plugins/base/Cargo.toml", &manifest("base", "").replace("[\"cdylib\"]", "[\"cdylib\", \"rlib\"]"));
    place.write_crate("user", "[dependencies]\nbase = { path = \"../base\" }\n", "");
    place.write(
        "plugins/user/src/lib.rs",
        &format!("pub use base as _;\nmod own {{\n{}\n}}\n", PLAIN.replace("IDENTITY", "OWN")),
    );
    place.build("base");
    let _ = place.try_build("user");
    place.build("base");
}

#[trial]
fn a_workspace_of_its_own() {
    let place = Place::apart();
    place.write_crate(
        "rooted",
        "[dependencies]\npart.workspace = true\n[workspace]\nmembers = [\"crates/*\"]\n[workspace.dependencies]\n\
         part = { path = \"crates/part\" }\nshared = { path = \"../../shared\" }\n",
        &using("part::says().as_ptr() as usize"),
    );
    place.write("plugins/rooted/crates/part/Cargo.toml", &package("part", "[dependencies]\nshared.workspace = true\n"));
    place.write("plugins/rooted/crates/part/src/lib.rs", "pub use shared::says;\n");
    place.write("shared/Cargo.toml", &package("shared", ""));
    place.write("shared/src/lib.rs", &says("of the shared"));
    assert!(contains(&place.build("rooted").candidate, "of the shared"));
    let fingerprint = place.entry("rooted").fingerprint;
    place.write("shared/src/lib.rs", &says("of the other"));
    assert_ne!(place.entry("rooted").fingerprint, fingerprint);
}
