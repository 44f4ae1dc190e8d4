//! What of the server's secrets others get to see: builds, and processes of the same user.

use crate::site;
use camlock_testing::{manifest, single};
use rustix::process::geteuid;
use std::{fs, os::unix::fs::MetadataExt};

/// Fails, and says so, if it sees what the server was given.
const NOSY: &str = r#"fn main() {
    for (name, value) in std::env::vars() {
        assert!(!value.contains("not-for-builds"), "the build script sees {name}");
    }
    assert_eq!(std::env::var("MEANT_FOR_BUILDS").as_deref(), Ok("yes"));
}
"#;

#[test]
fn builds_see_no_secrets() {
    let site = site();
    site.write("plugins/nosy/Cargo.toml", &manifest("nosy"));
    site.write("plugins/nosy/src/lib.rs", &single("built"));
    site.write("plugins/nosy/build.rs", NOSY);
    let server = site.start_with(|command| {
        for name in ["GITHUB_TOKEN", "PGPASSWORD", "CARGO_REGISTRY_TOKEN", "SOMETHING_ELSE", "CAMLOCK_ADMIN_TOKEN"] {
            command.env(name, "not-for-builds");
        }
        command.env("MEANT_FOR_BUILDS", "yes").env("CAMLOCK_BUILD_ENVIRONMENT", "TEST_SITE, MEANT_FOR_BUILDS");
    });
    server.until_text("/api/v1/p/nosy/", "built");
    assert!(server.end().0.success());
}

/// The system gives the files of such a process to root, and others of its user do not get at them.
#[test]
fn the_servers_environment_is_nobodys_to_read() {
    let site = site();
    let server = site.start_as_nobody();
    server.until_status("/_/ready", 200);
    let environment = format!("/proc/{}/environ", server.pid());
    let owner = fs::metadata(format!("/proc/{}/status", server.pid())).unwrap().uid();
    assert_eq!((owner, fs::metadata(&environment).unwrap().uid()), (0, 0));
    if !geteuid().is_root() {
        assert!(fs::read(&environment).is_err());
    }
    assert!(server.end().0.success());
}
