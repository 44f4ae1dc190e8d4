//! Builds that cannot come to a good end.

use super::{expect_failed, expect_steady, with_steady};
use crate::{held, processes, site, sources::Form};
use camlock_testing::{manifest, single};
use std::fs;

#[test]
fn dependencies_that_cannot_be_fetched() {
    let (site, server) = with_steady();
    let crates = [
        ("misspelt", "srede = \"1\""),
        ("far-git", "far = { git = \"http://127.0.0.1:1/far.git\" }"),
        ("far-registry", "far = { version = \"1\", registry-index = \"sparse+http://127.0.0.1:1/\" }"),
        ("gone", "lost = { path = \"../../lost\" }"),
    ];
    // All packages come from an empty folder, so that it is known without a network that there is none.
    fs::create_dir_all(site.path("plugins/misspelt/vendored")).unwrap();
    let vendored = "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendored\"\n";
    site.write("plugins/misspelt/.cargo/config.toml", vendored);
    for (name, dependency) in crates {
        let manifest = manifest(name).replace("camlock-plugin = \"1\"", dependency);
        site.write(&format!("plugins/{name}/src/lib.rs"), "");
        site.write(&format!("plugins/{name}/Cargo.toml"), &manifest);
    }
    let network = ["the dependency `far` cannot be fetched, for the network does not answer: ", "127.0.0.1"];
    expect_failed(&server, "far-git", "build", &network);
    expect_failed(&server, "far-registry", "build", &network);
    let words = ["there is no package `srede` in directory source", "check its name among the dependencies"];
    expect_failed(&server, "misspelt", "build", &words);
    expect_failed(&server, "gone", "build", &["failed to load manifest for dependency `lost`", "No such file"]);
}

#[test]
fn a_build_script_that_hangs() {
    let (site, server) = with_steady();
    server.end();
    site.configure("plugin.hangs.build = \"3s\"");
    let server = site.start();
    server.until_text("/api/v1/p/steady/", "steady");
    held::hold(&site, "build");
    held::write_script(&site, "hangs");
    site.write("plugins/hangs/src/lib.rs", "");
    site.write("plugins/hangs/Cargo.toml", &manifest("hangs").replace("camlock-plugin = \"1\"", ""));
    held::until_reached(&site, &server, "build");
    expect_steady(&server);
    let words = ["it was not built within 3 s and was ended while it was at this: ", "`limits.build`"];
    expect_failed(&server, "hangs", "build", &words);
    // It would be tried again.
    fs::remove_dir_all(site.path("plugins/hangs")).unwrap();
    server.until_status("/api/v1/p/hangs/", 404);
    processes::expect_only(&site, Some(&server));
}

/// It is tried again by itself.
#[test]
fn a_killed_cargo() {
    let (site, server) = with_steady();
    held::hold(&site, "build");
    held::write_crate(&site, "murdered", "murdered");
    held::until_reached(&site, &server, "build");
    processes::kill(processes::cargo(&site, &server));
    expect_failed(&server, "murdered", "build", &["cargo was killed by signal 9 while it built; it is tried again"]);
    held::release(&site, "build");
    server.until_text("/api/v1/p/murdered/", "murdered");
    processes::expect_only(&site, Some(&server));
    expect_steady(&server);
}

#[test]
fn no_cargo() {
    let site = site();
    Form::Prebuilt.create(&site, "one");
    site.write("plugins/unbuilt.rs", &single("unbuilt"));
    let server = site.start_with(|command| _ = command.env("PATH", "/nowhere"));
    server.until_text("/api/v1/p/hello/", "one");
    let reason = server.until_failed("unbuilt", "build");
    assert!(reason.starts_with("cargo is not installed (it is not in the server's PATH), so that"), "{reason}");
    assert!(reason.contains("install Rust from https://rustup.rs"), "{reason}");
    assert!(server.printed().contains(&reason), "{}", server.printed());
    assert_eq!(server.plugin("unbuilt")["state"], "failed");
    assert_eq!(server.get("/api/v1/p/hello/").text, "one");
}
