//! Lists of plugins that nobody signed: taken explicitly, marked, installed from sources, and never changed under one version.

use crate::{catalogs::ask, command, end, site};
use camlock_testing::{Postgres, Site, manifest, single};
use std::{fs, process::Command};

/// Packs the greeter as its authors would, at the archive's top.
fn pack(site: &Site, says: &str) {
    let toml = manifest("greeter").replace("version = \"0.1.0\"", "version = \"1.0.0\"");
    site.write("greeter/Cargo.toml", &toml);
    site.write("greeter/src/lib.rs", &single(says));
    let archive = site.path("list/greeter/plugin.tar.gz");
    fs::create_dir_all(archive.parent().unwrap()).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-czf"]).arg(archive).arg("-C").arg(site.path("greeter")).args(["Cargo.toml", "src"]);
    assert!(tar.status().unwrap().success());
}

#[test]
fn lists_that_nobody_signed() {
    let site = site();
    pack(&site, "one");
    let list = r#"{"plugins":[{"name":"greeter","version":"1.0.0","displayName":"Greeter","description":"Greets whoever comes",
        "author":"Somebody","category":"Utilities","tags":["greeting"],"downloadUrl":"greeter/plugin.tar.gz","manifest":{}},
        {"name":"Not_Ours","version":"1.0.0","downloadUrl":"greeter/plugin.tar.gz"}]}"#;
    site.write("list/catalog.json", list);
    let url = format!("file://{}", site.path("list/catalog.json").display());
    for database in ["sqlite", "postgres"] {
        pack(&site, "one");
        let follower = site.beside(database);
        if database == "postgres" {
            follower.configure(&format!("database.url = {:?}", Postgres::shared().database()));
        }
        let server = follower.start();
        let ask = |arguments: &[&str]| ask(&follower, &server, arguments);
        let refused = ask(&["catalog", "add", "theirs", &url]).refused(1);
        assert!(refused.contains("is a list that nobody signed: add it with `--unsigned`"), "{refused}");
        let added = ask(&["catalog", "add", "theirs", &url, "--unsigned"]).done();
        assert!(added.contains("1 plugin") && added.contains("nobody signed"), "{added}");
        assert!(ask(&["catalog", "list"]).done().contains("nobody signed this list, nor what it names"));
        assert!(ask(&["catalog", "search", "greeting"]).done().contains("Greets whoever comes"));
        let plan = ask(&["install", "greeter", "--dry-run"]).done();
        assert!(plan.contains("nobody signed it") && plan.contains("source"), "{plan}");
        let installed = ask(&["install", "greeter"]).done();
        assert!(installed.ends_with("greeter 1.0.0 is serving\n"), "{installed}");
        assert_eq!(server.get("/api/v1/p/greeter/").text, "one");
        assert_eq!(ask(&["grants", "greeter", "--json"]).json()["source"], "catalog:theirs");
        ask(&["remove", "greeter"]).done();
        // Somebody puts something else in its place.
        pack(&site, "two");
        let refused = ask(&["install", "greeter"]).failed(1).to_owned();
        assert!(refused.contains("was installed before as sha256:"), "{refused}");
        assert_eq!(server.get("/api/v1/p/greeter/").status, 404);
        server.end();
    }
    // Whoever sets servers up by files.
    let follower = site.beside("configured");
    follower.configure(&format!("[[catalog]]\nname = \"theirs\"\nurl = {url:?}\nunsigned = true"));
    let server = follower.start();
    server.until(|server| ask(&follower, server, &["catalog", "list"]).done(), |list| list.contains("theirs"));
    server.end();
    let away = end(command(&site, &["catalog", "mirror", &url, "mirror"]));
    assert_ne!(away.code, 0, "there is nothing in it that a mirror could prove");
}
