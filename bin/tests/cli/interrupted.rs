//! Updates and synchronizations that are cut off: servers that are killed anywhere in them, and disks that are full. What was there is
//! there, or what came.

use crate::{
    catalogs::{ask, package, publish},
    command, end, site,
};
use camlock_testing::{Postgres, Server, Site, request, rounds, single};
use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// A catalog with the greeter in two versions, and where it lies.
fn catalog() -> (Site, String) {
    let site = site();
    end(command(&site, &["package", "--new-key", "author.key"])).done();
    end(command(&site, &["catalog", "init", "catalog", "--keys", "keys"])).done();
    for version in ["0.1.0", "0.2.0"] {
        let package = package(&site, version, &single(version));
        publish(&site, &[&package, "--publisher", "author.key.pub"]).done();
    }
    let url = format!("file://{}", site.path("catalog").display());
    (site, url)
}

/// The server is killed so many milliseconds after the command began, and started again.
fn cut_off(site: &Site, server: Server, arguments: &[&str], after: u64) -> Server {
    let mut asked = command(site, arguments);
    asked.env("CAMLOCK_SERVER", format!("http://{}", server.address));
    let mut asked = asked.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_millis(after));
    server.kill();
    asked.wait().unwrap();
    site.start()
}

#[test]
fn updates_and_synchronizations_that_are_killed() {
    let (site, url) = catalog();
    for database in ["sqlite", "postgres"] {
        let follower = site.beside(database);
        if database == "postgres" {
            follower.configure(&format!("database.url = {:?}", Postgres::shared().database()));
        }
        let mut server = follower.start();
        ask(&follower, &server, &["catalog", "add", "main", &url]).done();
        ask(&follower, &server, &["install", "greeter@0.1.0"]).done();
        for attempt in 0..rounds(6) as u64 {
            server = cut_off(&follower, server, &["install", "greeter@0.2.0"], attempt * 97 % 600);
            let serves = |server: &Server| {
                request(server.address, "GET", "/api/v1/p/greeter/", &[]).map(|answer| answer.text).unwrap_or_default()
            };
            server.until(serves, |text| ["0.1.0", "0.2.0"].contains(&text.as_str()));
            let over = |server: &Server| ask(&follower, server, &["install", "greeter@0.2.0"]).code;
            server.until(over, |code| *code == 0);
            assert_eq!(serves(&server), "0.2.0");
            // So is what was cut off, whichever of them came first.
            let left = |_: &Server| fs::read_dir(follower.path(".camlock/installs")).map_or(0, Iterator::count);
            server.until(left, |left| *left == 0);
            ask(&follower, &server, &["rollback", "greeter"]).done();
            server.until_text("/api/v1/p/greeter/", "0.1.0");
        }
        for attempt in 0..rounds(6) as u64 {
            publish(&site, &[]).done();
            server = cut_off(&follower, server, &["catalog", "sync"], attempt * 13 % 80);
            let synced = ask(&follower, &server, &["catalog", "sync"]).done();
            assert!(synced.contains("1 plugin"), "{synced}");
            assert!(ask(&follower, &server, &["catalog", "search", "greeter"]).done().contains("0.2.0"));
        }
        server.end();
    }
}

/// From now on the server's files may not become larger than that; none: as large as they like.
fn limit_files(server: &Server, bytes: Option<u64>) {
    let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    let limited =
        Command::new("prlimit").args(["--pid", &server.pid().to_string(), &format!("--fsize={limit}:")]).status();
    assert!(limited.unwrap().success());
}

#[test]
fn disks_that_are_full() {
    let (site, url) = catalog();
    let before = end(command(&site, &["catalog", "mirror", &url, "before"])).done();
    // Whoever publishes: another version, and no room for it.
    let three = package(&site, "0.3.0", &single("0.3.0"));
    let program = env!("CARGO_BIN_EXE_camlock");
    for blocks in [1, 8, 64, 512] {
        let mut full = Command::new("bash");
        let publish =
            format!("trap '' XFSZ; ulimit -f {blocks}; exec {program} catalog publish catalog --keys keys {three}");
        let full = full.args(["-c", &publish]).current_dir(site.path("")).output().unwrap();
        assert!(!full.status.success(), "{blocks}");
        let why = String::from_utf8_lossy(&full.stderr).into_owned();
        assert!(why.starts_with("camlock: ") && why.lines().count() == 1, "{blocks}: {why}");
        let _ = fs::remove_dir_all(site.path("after"));
        let after = end(command(&site, &["catalog", "mirror", &url, "after"])).done();
        assert_eq!(after.replace("after", "before"), before, "{blocks}");
    }
    publish(&site, &[&three]).done();
    // A server that installs, and one that updates.
    let follower = site.beside("follower");
    let server = follower.start();
    ask(&follower, &server, &["catalog", "add", "main", &url]).done();
    let library = fs::read_dir(site.path("catalog/packages/greeter/0.1.0")).unwrap();
    let sizes = library.map(|entry| entry.unwrap().metadata().unwrap().len());
    let most = sizes.max().unwrap();
    for (version, there) in [("0.1.0", None), ("0.2.0", Some("0.1.0"))] {
        let wanted = format!("greeter@{version}");
        limit_files(&server, Some(most / 2));
        let refused = ask(&follower, &server, &["install", &wanted]);
        let why = refused.failed(1);
        assert!(why.contains("cannot be written") || why.contains("as it was before"), "{why}");
        let answer = server.get("/api/v1/p/greeter/");
        assert_eq!((answer.status == 200).then_some(&*answer.text), there);
        limit_files(&server, None);
        ask(&follower, &server, &["install", &wanted]).done();
        server.until_text("/api/v1/p/greeter/", version);
    }
    server.end();
}
