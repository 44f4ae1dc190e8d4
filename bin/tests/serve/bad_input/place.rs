//! What the server itself cannot use: directories, addresses, settings.

use crate::{site, sources::Form};
use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_plugins_directory_that_cannot_be_read() {
    let site = site();
    site.write("camlock.toml", "");
    Form::Prebuilt.create(&site, "one");
    allow(&site.plugins(), 0o000);
    let server = site.start_as_nobody();
    let path = site.plugins().display().to_string();
    let told = format!(
        "the plugins directory {path} cannot be read: permission denied; give the server's user leave to read it"
    );
    let trouble = |server: &camlock_testing::Server| server.get("/plugins").json()["trouble"].clone();
    server.until(trouble, |trouble| *trouble == *told);
    server.until_status("/_/ready", 200);
    server.until_serving("about");
    // It is seen when that changes.
    allow(&site.plugins(), 0o755);
    server.until_text("/api/v1/p/hello/", "one");
    server.until(trouble, |trouble| trouble.is_null());
    // While it cannot be read what was known of it holds.
    allow(&site.plugins(), 0o000);
    server.until(trouble, |trouble| *trouble == *told);
    assert_eq!(server.get("/api/v1/p/hello/").text, "one");
    assert_eq!(server.plugin("hello")["state"], "serving");
    allow(&site.plugins(), 0o755);
    server.until(trouble, |trouble| trouble.is_null());
    // One entry that cannot be read concerns nobody else.
    site.write("plugins/secret/Cargo.toml", "");
    allow(&site.path("plugins/secret"), 0o000);
    let reason = server.until_failed("secret", "manifest");
    assert!(reason.contains("`secret` cannot be read by the server: permission denied"), "{reason}");
    assert_eq!(server.generation("hello"), 1);
    allow(&site.path("plugins/secret"), 0o755);
}

/// How it ends, and its one line.
fn refused(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((told.lines().count(), output.stdout.len()), (1, 0), "{told}");
    (output.status.code(), told.trim_end().to_owned())
}

#[test]
fn an_address_that_is_taken() {
    let site = site();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let keeps = TcpListener::bind(taken).unwrap();
    let (code, told) = refused(site.command().args(["serve", "--listen", &taken.to_string()]));
    assert_eq!(code, Some(1));
    assert!(told.starts_with(&format!("camlock: {taken} cannot be listened on: Address already in use")), "{told}");
    assert!(told.ends_with("(name another with --listen)"), "{told}");
    drop(keeps);
}

#[test]
fn settings_that_are_wrong() {
    let site = site();
    site.configure("[limits]\ndrian = \"5s\"");
    let (code, told) = refused(site.command().arg("serve"));
    assert_eq!(code, Some(64));
    let file = site.path("camlock.toml").display().to_string();
    assert!(told.starts_with(&format!("camlock: {file}, line 3: unknown field `drian`, expected one of")), "{told}");
    let (code, told) = refused(site.command().args(["serve", "--config", "nowhere.toml"]));
    assert_eq!((code, told.contains("nowhere.toml cannot be read: ")), (Some(64), true), "{told}");
    // A data directory that is a file.
    site.write("camlock.toml", "data.dir = \"camlock.toml\"");
    let (code, told) = refused(site.command().arg("serve"));
    assert_eq!((code, told.contains("camlock.toml cannot be used: ")), (Some(1), true), "{told}");
}
