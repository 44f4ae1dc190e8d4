//! Libraries that say of themselves what this host cannot take.

use crate::{files::refused, place::Place};
use camlock_testing::{Altered, Fixtures, trial};

fn meta(key: &str, value: impl AsRef<[u8]>, sentence: &str) {
    refused(&Altered::good().meta(key, value).0, sentence);
}

#[trial]
fn another_contract() {
    let host = camlock_loader::abi_version();
    for theirs in ["2.0", "0.9", "65535.65535"] {
        let sentence = format!(
            "it was built for version {theirs} of the contract, this host speaks {host}: build it with camlock-plugin 1"
        );
        meta("abi", theirs, &sentence);
    }
}

#[trial]
fn no_version_of_the_contract() {
    for text in ["", "1", "one", "1.0.0", "1.-1", "70000.0", "1.0 "] {
        meta("abi", text, &format!("`{text}` is no version of the contract"));
    }
    let not_plain = "the value of `abi` in its section `.camlock.meta` is not plain text";
    meta("abi", "1.\u{1b}[2J", not_plain);
    meta("abi", b"\xff\xfe", not_plain);
    meta("abi", "1".repeat(10 << 20), not_plain);
}

#[trial]
fn a_feature_that_is_lacking() {
    let host = camlock_loader::abi_version();
    let place = Place::new();
    let error = place.staging.stage(&Fixtures::quick().candidate("teleporting")).expect_err("it is refused");
    let sentence = format!(
        "it requires `teleport` of the host, which this host (contract {host}) lacks; it was built for contract \
         {host}: update the server, or build the plugin without that requirement"
    );
    assert_eq!(error.to_string(), sentence);
    place.expect_nothing();
    let two = sentence.replace("`teleport`", "`fly` and `swim`");
    meta("requires", "fly,log,swim,", &two);
}

#[trial]
fn panic_abort() {
    let sentence = "it was built with `panic = \"abort\"`, so that any panic in it would end the whole server; \
                    build it with `panic = \"unwind\"`";
    meta("panic", "abort", sentence);
}

#[trial]
fn linked_for_a_program() {
    let sentence = "it was built with the feature `program` of camlock-plugin, for linking into a program: as a library \
                    it could not be unloaded safely; build it with plain `cargo build`";
    meta("intercepts", "no", sentence);
}

#[trial]
fn no_entry() {
    let sentence = "it does not export the symbol `camlock_entry_another` (was it stripped too far?)";
    meta("crate", "another", sentence);
}

#[trial]
fn no_manifest() {
    let good = Altered::good();
    // Another name for the section: its offset into the table of names.
    let header = good.header_of(".camlock.manifest");
    let sentence = "it has no section `.camlock.manifest`, which `export!` would have put there";
    refused(&good.patch(header, &[0; 4]).0, sentence);
}

#[trial]
fn texts() {
    meta("description", "rings\x07", "`description` has the control character \\u{7}");
    meta("description", b"\xc3\x28", "`description` is not UTF-8");
    let long = "`description` is 10485760 bytes long, more than the 4096 that are taken";
    meta("description", "x".repeat(10 << 20), long);
    meta("authors", "A\x1b[31m", "`authors` has the control character \\u{1b}");
    meta("license", b"\xff", "`license` is not UTF-8");
    meta("version", "", "the artifact gives no version");
    meta("rustc", "rustc\n1", "the value of `rustc` in its section `.camlock.meta` is not plain text");
}

#[trial]
fn names() {
    let rule = "3 to 50 lower-case letters and digits, in words joined by hyphens, beginning with a letter";
    for (name, shown) in [
        ("Bad_Name", "Bad_Name"),
        ("", ""),
        ("../../etc", "../../etc"),
        ("a\u{202e}b", "a\\u{202e}b"),
        ("no way", "no way"),
    ] {
        meta("name", name, &format!("`{shown}` is no name for a plugin: {rule}"));
    }
    let cut = format!("`{}` is no name for a plugin: {rule}", "x".repeat(60));
    meta("name", "x".repeat(4000), &cut);
    meta("name", "marketplace", "the name `marketplace` is reserved for the server's own paths");
}

fn manifest(text: impl AsRef<[u8]>, sentence: &str) {
    refused(&Altered::good().manifest(text).0, sentence);
}

const HEAD: &str = "[package]\nname = \"candidates\"\n\n[package.metadata.camlock]\n";

#[trial]
fn mistakes_in_the_manifest() {
    let known = "`category`, `routes`, `hosts`, `rewrite`, `dependencies`, `permissions`, `runtime`, `handover`, \
                 `isolation`, `config`, `execute`, `subscriptions`, `task_types`, `schedules`, `ui`";
    manifest(
        format!("{HEAD}catgory = \"http\"\n"),
        &format!("Cargo.toml, line 5: unknown field `catgory`, expected one of {known}"),
    );
    manifest(
        format!("{HEAD}runtime = \"async-std\"\n"),
        "Cargo.toml, line 5: unknown variant `async-std`, expected `tokio` or `none`",
    );
    manifest(format!("{HEAD}routes = 7\n"), "Cargo.toml, line 5: invalid type: integer `7`, expected a sequence");
    manifest(b"[package]\nname = \"\xff\"", "Cargo.toml is not UTF-8");
    manifest(" ".repeat(10 << 20), "Cargo.toml is 10485760 bytes long, more than 262144");
    manifest(format!("{HEAD}permissions = [\"net\\u0007\"]\n"), "`permissions` has the control character \\u{7}");
}

#[trial]
fn paths() {
    for (route, own) in [("/api/v1/admin", "/api"), ("/_/live", "/_"), ("/metrics", "/metrics")] {
        manifest(
            format!("{HEAD}routes = [\"{route}\"]\n"),
            &format!("the claimed path `{route}` belongs to the server (`{own}`)"),
        );
    }
    for (route, advice) in [("hello", ": write `/hello`"), ("//", ""), ("/a/../b", ""), ("/{any}", "")] {
        manifest(
            format!("{HEAD}routes = [\"{route}\"]\n"),
            &format!("the claimed path `{route}` is neither an exact path (`/hello`) nor a tree (`/tables/*`){advice}"),
        );
    }
}
