//! A plugin by name, from a mirror on this machine: how soon it answers, and what an update under load costs others.

use crate::common::report::{Better, Row};
use camlock_testing::{Server, Site, manifest, single};
use serde_json::json;
use std::{process::Command, time::Instant};

const PATH: &str = "/api/v1/p/greeter/";
/// How often it is installed and removed.
const INSTALLS: usize = 15;
/// How often it is updated and gone back from, under load.
const UPDATES: usize = 15;

pub fn rows() -> Vec<Row> {
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    done(&site, &["package", "--new-key", "author.key"]);
    done(&site, &["catalog", "init", "catalog", "--keys", "keys"]);
    publish(&site, "0.1.0", "one");
    publish(&site, "0.2.0", "two");
    let url = |folder: &str| format!("file://{}", site.path(folder).display());
    done(&site, &["catalog", "mirror", &url("catalog"), "mirror"]);
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error"));
    let added = server.act_with("POST", "/api/v1/catalogs", &json!({ "name": "main", "url": url("mirror") }));
    assert!(added.status < 300, "{}", added.text);

    let installs: Vec<f64> = (0..INSTALLS)
        .map(|_| {
            let began = Instant::now();
            install(&server, "0.1.0");
            server.until_text(PATH, "one");
            let took = began.elapsed().as_secs_f64();
            let removed = server.act("DELETE", "/api/v1/plugins/greeter");
            assert!(removed.status < 300, "{}", removed.text);
            server.until_status(PATH, 404);
            took
        })
        .collect();

    install(&server, "0.1.0");
    server.until_text(PATH, "one");
    let load = server.load(PATH);
    for _ in 0..UPDATES {
        install(&server, "0.2.0");
        server.until_text(PATH, "two");
        let back = server.act("POST", "/api/v1/plugins/greeter/rollback");
        assert!(back.status < 300, "{}", back.text);
        server.until_text(PATH, "one");
    }
    let (good, bad) = load.end();
    assert!(good > 100, "only {good} were answered");
    vec![
        Row::median("install from a local mirror → serving", "s", Better::Lower, &installs).must(5.0, 1.0),
        Row::count("requests failed over 15 updates and back, under load", "", Better::Lower, bad.len() as f64)
            .must(0.0, 0.0),
    ]
}

fn install(server: &Server, version: &str) {
    let wanted = json!({ "plugin_id": "greeter", "version": version });
    let answer = server.act_with("POST", "/api/v1/plugins", &wanted);
    assert!(answer.status < 300, "{}", answer.text);
}

fn publish(site: &Site, version: &str, says: &str) {
    let toml =
        manifest("greeter").replace("version = \"0.1.0\"\n", &format!("version = \"{version}\"\nlicense = \"MIT\"\n"));
    site.write("greeter/Cargo.toml", &toml);
    site.write("greeter/src/lib.rs", &single(says));
    done(site, &["package", "greeter", "--sign", "author.key", "-o", "dist"]);
    let package = format!("dist/greeter-{version}.camlock");
    done(site, &["catalog", "publish", "catalog", "--keys", "keys", &package, "--publisher", "author.key.pub"]);
}

fn done(site: &Site, arguments: &[&str]) {
    let mut command: Command = site.command();
    let ended = command.args(arguments).output().expect("the program runs");
    assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
}
