//! The store of artifacts: a full disk, and bytes that rot.

use super::{expect_failed, expect_steady, with_steady};
use crate::sources::Form;
use camlock_testing::{Server, Site, single};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::{fs, path::PathBuf};

/// No file that the server writes may be larger. That is the disk that can be filled everywhere, by anybody.
fn limit_files(server: &Server, bytes: Option<u64>) {
    let id = Pid::from_raw(server.pid().cast_signed());
    let before = prlimit(id, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    assert_eq!(before.maximum, None, "this test must begin without a limit");
}

#[test]
fn no_room() {
    let (site, server) = with_steady();
    // Less than a library, and enough for the registry, whose own full disk is tested elsewhere.
    limit_files(&server, Some(1 << 20));
    Form::Prebuilt.create(&site, "one");
    let artifacts = site.path(".camlock/artifacts");
    let reason = format!("no copy can be kept in {}: file too large; make room there", artifacts.display());
    expect_failed(&server, "hello", "verify", &[&reason]);
    let answer = server.post("/api/v1/plugins/steady/reload");
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.json()["detail"].as_str().unwrap().contains("no private copy can be made in"), "{}", answer.text);
    assert_eq!(server.get("/api/v1/p/steady/").text, "steady");
    assert_eq!(server.generation("steady"), 1);
    // No half of a file is left.
    assert_eq!(fs::read_dir(artifacts).unwrap().count(), 1);
    assert_eq!(fs::read_dir(site.path(".camlock/run")).unwrap().count(), 1);
    // With room again it serves by itself.
    limit_files(&server, None);
    server.until_text("/api/v1/p/hello/", "one");
}

/// Where the bytes lie that serve.
fn artifact(site: &Site, server: &Server, name: &str) -> PathBuf {
    let digest = server.until_serving(name)["serving"]["artifact"].as_str().unwrap().replace("sha256:", "");
    site.path(&format!(".camlock/artifacts/{digest}.so"))
}

fn rot(artifact: &PathBuf) {
    let mut bytes = fs::read(artifact).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(artifact, bytes).unwrap();
}

#[test]
fn bytes_that_rot_while_it_is_down() {
    let (site, server) = with_steady();
    Form::Prebuilt.create(&site, "one");
    let artifacts = ["steady", "hello"].map(|name| artifact(&site, &server, name));
    let before = artifacts.each_ref().map(|artifact| fs::read(artifact).unwrap());
    server.end();
    artifacts.iter().for_each(rot);
    let server = site.start();
    server.until_text("/api/v1/p/hello/", "one");
    server.until_text("/api/v1/p/steady/", "steady");
    // The prebuilt one was copied again. What is built need not have the same bytes.
    assert!(fs::read(&artifacts[1]).unwrap() == before[1], "it is as it was");
    expect_steady(&server);
}

#[test]
fn bytes_that_rot_while_it_is_up() {
    let (site, server) = with_steady();
    site.write("plugins/hello.rs", &single("one"));
    server.until_text("/api/v1/p/hello/", "one");
    let first = artifact(&site, &server, "hello");
    site.write("plugins/hello.rs", &single("two"));
    server.until_text("/api/v1/p/hello/", "two");
    rot(&first);
    let answer = server.post("/api/v1/plugins/hello/rollback");
    assert_eq!(answer.status, 422, "{}", answer.text);
    let reason = format!("the stored copy {} is damaged: its bytes no longer have their digest", first.display());
    assert!(answer.json()["detail"].as_str().unwrap().contains(&reason), "{}", answer.text);
    let plugin = server.plugin("hello");
    assert_eq!((plugin["state"].as_str(), plugin["failed"]["stage"].as_str()), (Some("serving"), Some("verify")));
    assert_eq!(server.get("/api/v1/p/hello/").text, "two");
    // What serves has rotted, too: a reload builds it again.
    rot(&artifact(&site, &server, "hello"));
    let answer = server.post("/api/v1/plugins/hello/reload");
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(server.get("/api/v1/p/hello/").text, "two");
    expect_steady(&server);
}
