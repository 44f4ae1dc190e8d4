//! Plugins that were discovered, installed by name: an operator asks for that, for nobody signed them. The forge is that of discovery's own
//! tests; the plugins are real ones, built from what it hands out as a release's sources.

use crate::{
    Ended,
    catalogs::{ask, package, publish},
    command,
    discover::VARIABLES,
    end,
    github::{GitHub, manifest as described},
    site,
};
use camlock_testing::{Server, Site, manifest, single};
use serde_json::{Value, json};
use std::{fs, process::Command};

fn start(site: &Site) -> Server {
    site.start_with(|command| VARIABLES.iter().for_each(|name| _ = command.env_remove(name)))
}

/// The archive of a repository, as forges pack them: all in one folder, of some name.
fn archive(site: &Site, top: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let root = site.path("packed");
    let _ = fs::remove_dir_all(&root);
    for (name, text) in files {
        site.write(&format!("packed/{top}/{name}"), text);
    }
    let tar = Command::new("tar").args(["-czf", "-", "-C"]).arg(root).arg(top).output().unwrap();
    assert!(tar.status.success());
    tar.stdout
}

/// The greeter's files.
fn greeter(version: &str, says: &str) -> (String, String) {
    (manifest("greeter").replace("version = \"0.1.0\"", &format!("version = \"{version}\"")), single(says))
}

struct ForgeSite {
    github: GitHub,
    _runtime: tokio::runtime::Runtime,
}

impl ForgeSite {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let github = runtime.block_on(GitHub::start());
        ForgeSite { github, _runtime: runtime }
    }

    fn settings(&self, more: &str) -> String {
        let url = &self.github.url;
        format!(
            "[discovery]\norganization = \"acme\"\napi = \"{url}\"\nmanifest = [\".camlock.yaml\", \".velox.yaml\"]\ntoken = \"t0ken\"\n{more}"
        )
    }
}

fn discovered(server: &Server, name: &str) -> Value {
    let listed = server.get_as_admin("/api/v1/plugins/discovered").json();
    listed["data"].as_array().unwrap().iter().find(|plugin| plugin["name"] == name).unwrap().clone()
}

#[test]
fn what_was_discovered_is_installed_by_name() {
    let (forge, site) = (ForgeSite::new(), site());
    let github = &forge.github;
    github.good("greeter", "v1.0.0");
    let (toml, source) = greeter("1.0.0", "one");
    let files = [("Cargo.toml", &*toml), ("src/lib.rs", &*source), (".velox.yaml", "")];
    github.packs("greeter", archive(&site, "acme-greeter-1f2e3d", &files));
    github.good("a-module", "v2.0.0");
    github.packs("a-module", archive(&site, "acme-a-module-1", &[("go.mod", "module x"), ("plugin.go", "package x")]));
    github.publish("replacing", "v1.0.0", &described("replacing", "v1.0.0", "replace: github.com/acme/other\n"));
    github.good("unpacked", "v1.0.0");
    site.configure(&format!("catalogs.updates.minimum_age = 0\n{}", forge.settings("")));
    let server = start(&site);
    let ask = |arguments: &[&str]| ask(&site, &server, arguments);
    let failed = |ended: Ended| ended.failed(1).to_owned();

    // Nobody asked for that yet.
    assert_eq!(discovered(&server, "greeter")["cannot_be_installed"], Value::Null);
    assert!(failed(ask(&["install", "greeter"])).contains("no catalog lists `greeter`"));
    let refused = ask(&["catalog", "add", "community", "discovered:acme"]).refused(1);
    assert!(refused.contains("nobody signed: add it with `--unsigned`"), "{refused}");
    let refused = ask(&["catalog", "add", "community", "discovered:others", "--unsigned"]).refused(1);
    assert!(refused.contains("this server discovers the plugins of `acme`"), "{refused}");
    let added = ask(&["catalog", "add", "community", "discovered:acme", "--unsigned"]).done();
    assert!(added.contains("4 plugins") && added.contains("nobody signed"), "{added}");
    assert!(ask(&["catalog", "list"]).done().contains("nobody signed this list, nor what it names"));
    assert!(ask(&["catalog", "search", "greeter"]).done().contains("What it is good for"));
    let plan = ask(&["install", "greeter", "--dry-run"]).done();
    assert!(plan.contains("nobody signed it") && plan.contains("source") && plan.contains("community"), "{plan}");

    // What is no plugin of ours says so, and nothing comes of it.
    let told = failed(ask(&["install", "replacing"]));
    assert!(told.contains("cannot be installed: its manifest has `replace`"), "{told}");
    let told = failed(ask(&["install", "a-module"]));
    assert!(told.contains("`a-module` v2.0.0 cannot be installed: the sources have no Cargo.toml"), "{told}");
    let told = failed(ask(&["install", "unpacked"]));
    assert!(told.contains("the forge has no archive of acme/unpacked"), "{told}");
    assert_eq!(server.get("/api/v1/p/a-module/").status, 404);

    // By name, on the command line and under each path.
    github.asked();
    let installed = ask(&["install", "greeter"]).done();
    assert!(installed.ends_with("greeter 1.0.0 is serving\n"), "{installed}");
    assert_eq!(server.get("/api/v1/p/greeter/").text, "one");
    assert_eq!(ask(&["grants", "greeter", "--json"]).json()["source"], "catalog:community");
    let commit = github.world().repositories[0].release.clone().unwrap().1;
    let paths: Vec<String> = github.asked().into_iter().map(|(path, _)| path).collect();
    assert!(
        paths.contains(&format!("/repos/acme/greeter/tarball/{commit}")),
        "what a commit is does not change: {paths:?}"
    );
    assert_eq!(discovered(&server, "greeter")["cannot_be_installed"], Value::Null, "it is that one");
    ask(&["remove", "greeter"]).done();
    let body = json!({ "plugin_id": "greeter" });
    assert_eq!(server.act_with("POST", "/api/v1/plugins", &body).status, 201);
    ask(&["remove", "greeter"]).done();
    let done = server.act_with("POST", "/api/plugins/marketplace/install/greeter", &json!({})).json();
    assert_eq!(done["message"], "Plugin installed and activated successfully", "{done:#}");

    // A version is what it was first, however it is packed.
    ask(&["remove", "greeter"]).done();
    let (_, changed) = greeter("1.0.0", "changed");
    github.packs("greeter", archive(&site, "greeter-1.0.0", &[("Cargo.toml", &toml), ("src/lib.rs", &changed)]));
    let told = failed(ask(&["install", "greeter"]));
    assert!(told.contains("was installed before as sha256:"), "{told}");
    github.packs("greeter", archive(&site, "greeter-1.0.0", &[("Cargo.toml", &toml), ("src/lib.rs", &source)]));
    ask(&["install", "greeter"]).done();

    // A new release, in a folder of its repository, is an update.
    let moved = described("greeter", "v1.1.0", "folder: plugins/greeter\n");
    github.publish("greeter", "v1.1.0", &moved);
    let (toml, source) = greeter("1.1.0", "two");
    let files = [("plugins/greeter/Cargo.toml", &*toml), ("plugins/greeter/src/lib.rs", &*source), ("README.md", "")];
    github.packs("greeter", archive(&site, "acme-greeter-2", &files));
    ask(&["discover", "--force"]).done();
    assert!(ask(&["catalog", "search", "greeter"]).done().contains("1.1.0"));
    let updated = ask(&["update"]).done();
    assert!(updated.ends_with("greeter 1.1.0 is serving\n"), "{updated}");
    assert_eq!(server.get("/api/v1/p/greeter/").text, "two");
    // A forge that is away changes nothing that runs.
    github.world().repositories.clear();
    ask(&["discover", "--force"]).refused(1);
    assert_eq!(server.get("/api/v1/p/greeter/").text, "two");
    assert!(github.world().tokens.iter().all(|shown| shown == "Bearer t0ken"));
    let (ended, printed) = server.end();
    assert!(ended.success() && !printed.contains("t0ken"), "{printed}");
}

#[test]
fn a_signed_catalog_has_a_name_before_what_was_discovered() {
    let (forge, site) = (ForgeSite::new(), site());
    forge.github.good("greeter", "v1.0.0");
    let (toml, source) = greeter("1.0.0", "community");
    forge.github.packs("greeter", archive(&site, "greeter-1", &[("Cargo.toml", &toml), ("src/lib.rs", &source)]));
    end(command(&site, &["package", "--new-key", "author.key"])).done();
    end(command(&site, &["catalog", "init", "catalog", "--keys", "keys"])).done();
    let package = package(&site, "0.1.0", &single("official"));
    publish(&site, &[&package, "--publisher", "author.key.pub"]).done();
    let url = format!("file://{}", site.path("catalog").display());

    // Who discovers nothing has nothing of that sort.
    let plain = site.beside("plain");
    let server = start(&plain);
    let refused = ask(&plain, &server, &["catalog", "add", "community", "discovered:acme", "--unsigned"]).refused(1);
    assert!(refused.contains("this server discovers nothing"), "{refused}");
    server.end();

    let follower = site.beside("follower");
    follower.configure(&forge.settings(""));
    follower.write("plugins/greeter.rs", &single("ours"));
    let server = start(&follower);
    ask(&follower, &server, &["catalog", "add", "main", &url]).done();
    let add = ["catalog", "add", "community", "discovered:acme", "--unsigned", "--priority", "100"];
    ask(&follower, &server, &add).done();
    server.until_text("/api/v1/p/greeter/", "ours");
    let taken = discovered(&server, "greeter")["cannot_be_installed"].to_string();
    assert!(taken.contains("is the name of a plugin that is there already"), "{taken}");
    let told = ask(&follower, &server, &["install", "greeter"]).failed(1).to_owned();
    assert!(told.contains("came otherwise, and it stays"), "{told}");
    ask(&follower, &server, &["remove", "greeter"]).done();
    let plan = ask(&follower, &server, &["install", "greeter", "--dry-run"]).done();
    assert!(plan.contains("  main  ") && !plan.contains("community"), "{plan}");
    server.end();

    // Unless the operator grants it that name: then it has it before all others.
    let follower = site.beside("granting");
    follower.configure(&forge.settings("override = [\"greeter\"]"));
    follower.write("plugins/greeter.rs", &single("ours"));
    let server = start(&follower);
    ask(&follower, &server, &["catalog", "add", "main", &url]).done();
    ask(&follower, &server, &["catalog", "add", "community", "discovered:acme", "--unsigned"]).done();
    server.until_text("/api/v1/p/greeter/", "ours");
    assert_eq!(discovered(&server, "greeter")["cannot_be_installed"], Value::Null);
    let installed = ask(&follower, &server, &["install", "greeter"]).done();
    assert!(installed.ends_with("greeter 1.0.0 is serving\n"), "{installed}");
    assert_eq!(server.get("/api/v1/p/greeter/").text, "community");
    server.end();
}
