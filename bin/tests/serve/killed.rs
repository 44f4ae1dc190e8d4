//! Servers that are killed, or ended in the middle of something: nothing is left behind, and the next one finds everything.

use crate::{held, processes, site};
use camlock_testing::{Server, Site, request, single};
use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

/// A site with `steady` and a plugin that can be held.
fn served() -> (Site, Server) {
    let site = site();
    site.write("plugins/steady.rs", &single("steady"));
    held::write_file(&site, "held", "one");
    let server = site.start();
    server.until_text("/api/v1/p/steady/", "steady");
    server.until_text("/api/v1/p/held/", "one");
    (site, server)
}

/// Kills the server, and starts another one, which must serve what the first did, and clean up after it.
fn restart(site: &Site, server: Server, part: &str) -> Server {
    server.kill();
    held::release(site, part);
    let server = site.start();
    server.until_text("/api/v1/p/steady/", "steady");
    server.until_serving("held");
    processes::expect_only(site, Some(&server));
    assert_eq!(temporaries(site), Vec::<PathBuf>::new());
    server
}

/// What nobody needs any more in the data directory.
fn temporaries(site: &Site) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Each server has directories of its own there.
    for own in ["run", "trying", "suspects"] {
        let there: Vec<_> = fs::read_dir(site.path(".camlock").join(own)).unwrap().flatten().collect();
        assert_eq!(there.len(), 1, "{own}: {there:?}");
    }
    let mut folders = vec![site.path(".camlock")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with('.') {
                found.push(entry.path());
            }
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found
}

fn until_stage(server: &Server, stage: &str) {
    server.until_plugin("held", |plugin| plugin["candidate"]["stage"] == stage);
    assert_eq!(server.get("/api/v1/p/steady/").text, "steady");
    assert_eq!(server.get("/api/v1/p/held/").status, 200);
}

fn begin_late_answer(server: &Server) -> JoinHandle<std::io::Result<camlock_testing::Answer>> {
    let address = server.address;
    thread::spawn(move || request(address, "GET", "/api/v1/p/held/late", &[]))
}

#[test]
fn killed_at_each_state() {
    let (site, server) = served();
    // Serving, with requests under way.
    held::hold(&site, "answer");
    let asks = begin_late_answer(&server);
    held::until_reached(&site, &server, "answer");
    let server = restart(&site, server, "answer");
    assert!(asks.join().unwrap().is_err());

    held::hold(&site, "create");
    held::write_file(&site, "held", "two");
    until_stage(&server, "verifying");
    // Where it is verified a plugin writes nothing that could be waited for.
    server.until(|server| processes::verifiers(&site, server).len(), |verifiers| *verifiers == 1);
    let server = restart(&site, server, "create");
    server.until_text("/api/v1/p/held/", "two");

    // Its verdict is known, so that `create` is next held in the server.
    held::hold(&site, "create");
    server.post("/api/v1/plugins/held/reload?wait=false");
    until_stage(&server, "loading");
    let server = restart(&site, server, "create");

    held::hold(&site, "start");
    server.post("/api/v1/plugins/held/reload?wait=false");
    until_stage(&server, "starting");
    let server = restart(&site, server, "start");

    held::hold(&site, "answer");
    let asks = begin_late_answer(&server);
    held::until_reached(&site, &server, "answer");
    assert_eq!(server.post("/api/v1/plugins/held/reload").status, 200);
    let plugin = server.plugin("held");
    assert_eq!(plugin["draining"][0]["why"], "1 request", "{plugin:#}");
    let server = restart(&site, server, "answer");
    assert!(asks.join().unwrap().is_err());
    assert_eq!(server.get("/api/v1/p/held/").text, "two");
    // Artifacts of both texts, and of `steady`.
    assert_eq!(fs::read_dir(site.path(".camlock/artifacts")).unwrap().count(), 3);
}

/// Its cargo outlives it, until the next server ends that.
#[test]
fn killed_while_building() {
    let (site, server) = served();
    held::hold(&site, "build");
    held::write_crate(&site, "built", "built");
    held::until_reached(&site, &server, "build");
    assert_eq!(server.plugin("built")["candidate"]["stage"], "building");
    let cargo = processes::cargo(&site, &server);
    let killed = format!("{}-", server.pid());
    server.kill();
    let server = site.start();
    server.until(|_| processes::is_there(cargo), |is_there| !is_there);
    held::release(&site, "build");
    server.until_text("/api/v1/p/built/", "built");
    server.until_text("/api/v1/p/steady/", "steady");
    server.until_text("/api/v1/p/held/", "one");
    processes::expect_only(&site, Some(&server));
    assert_eq!(temporaries(&site), Vec::<PathBuf>::new());
    // Servers of other trials build there too.
    let notes = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/builds/builds/running")).unwrap();
    let mut notes = notes.map(|note| note.unwrap().file_name().into_string().unwrap());
    assert_eq!(notes.find(|note| note.starts_with(&killed)), None, "no note of a build is left");
}

#[test]
fn told_to_end_while_building() {
    let (site, server) = served();
    held::hold(&site, "build");
    held::write_crate(&site, "built", "built");
    held::until_reached(&site, &server, "build");
    let (status, _) = server.end();
    assert!(status.success(), "{status}");
    processes::expect_only(&site, None);
    held::release(&site, "build");
    let server = site.start();
    server.until_text("/api/v1/p/built/", "built");
}

#[test]
fn told_to_end_twice() {
    let (site, server) = served();
    held::hold(&site, "answer");
    let asks = begin_late_answer(&server);
    held::until_reached(&site, &server, "answer");
    held::hold(&site, "build");
    held::write_crate(&site, "built", "built");
    held::until_reached(&site, &server, "build");
    server.signal("-TERM");
    // Once nobody is let in any more the first signal has been heard.
    server.until(|server| TcpStream::connect(server.address).is_err(), |refused| *refused);
    server.signal("-TERM");
    let (status, _) = server.wait();
    assert_eq!(status.code(), Some(1));
    assert!(asks.join().unwrap().is_err());
    processes::expect_only(&site, None);
    held::release(&site, "answer");
    held::release(&site, "build");
}
