//! What is installed by name is an entry of the registry, not of one directory: every server of a fleet serves it.

use crate::{
    advised::GreeterAuthor,
    catalogs::{ask, package, publish},
};
use camlock_testing::{Postgres, Server, Site, single};
use serde_json::json;

const GREETER: &str = "/api/v1/p/greeter/";

/// What lies in a server's plugins directory.
fn lies(site: &Site) -> Vec<String> {
    let entries = std::fs::read_dir(site.plugins()).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn all_serve(nodes: &[(Site, Server)], text: &str) {
    nodes.iter().for_each(|(_, server)| server.until_text(GREETER, text));
}

#[test]
fn a_fleet_serves_what_one_of_it_installs_by_name() {
    let author = GreeterAuthor::new();
    let settings =
        format!("database.url = {:?}\ncatalogs.updates = {{ minimum_age = 0 }}", Postgres::shared().database());
    let node = |name: &str| {
        let site = author.0.beside(name);
        site.configure(&settings);
        let server = site.start();
        (site, server)
    };
    let mut nodes: Vec<_> = ["first", "second", "third"].map(node).into();
    ask(&nodes[0].0, &nodes[0].1, &["catalog", "add", "main", &author.url()]).done();
    ask(&nodes[0].0, &nodes[0].1, &["install", "greeter"]).done();
    all_serve(&nodes, "one");
    assert_eq!([0, 1, 2].map(|node: usize| lies(&nodes[node].0).len()), [1, 0, 0]);
    let shown = ask(&nodes[1].0, &nodes[1].1, &["show", "greeter"]).done();
    assert!(shown.contains("the registry: installed by name, and nothing of it lies in"), "{shown}");

    // Updated on one in whose directory it does not lie, while all answer.
    author.publish("0.2.0");
    ask(&nodes[1].0, &nodes[1].1, &["catalog", "sync"]).done();
    let loads: Vec<_> = nodes.iter().map(|(_, server)| server.load(GREETER)).collect();
    let updated = ask(&nodes[1].0, &nodes[1].1, &["update"]).done();
    assert!(updated.contains("greeter 0.2.0 is serving"), "{updated}");
    all_serve(&nodes, "0.2.0");
    for load in loads {
        let (good, bad) = load.end();
        assert!(good > 0 && bad.is_empty(), "{bad:?}");
    }

    nodes[0].1.until_plugin("greeter", |plugin| plugin["path"].is_null());
    assert_eq!(lies(&nodes[0].0), [""; 0], "what it was before lies among what was removed");

    // One that does not come to serve leaves nothing where nothing lay.
    let fails = single("0.3.0").replace("Ok(Plugin1)", "Err(Error::msg(\"it is not to be\"))");
    let fails = fails.replace(
        "    async fn create(_host: Host)",
        "    #[allow(unreachable_code)]\n    async fn create(_host: Host)",
    );
    publish(&author.0, &[&package(&author.0, "0.3.0", &fails)]).done();
    for node in [2, 0] {
        ask(&nodes[node].0, &nodes[node].1, &["catalog", "sync"]).done();
        let told = ask(&nodes[node].0, &nodes[node].1, &["update"]).failed(1).to_owned();
        assert!(told.contains("it is not to be") && told.contains("everything is as it was before"), "{told}");
        assert_eq!(lies(&nodes[node].0), [""; 0]);
        all_serve(&nodes, "0.2.0");
        assert!(nodes[node].1.plugin("greeter")["failed"].is_null());
    }

    // One that is served by all, and then does not take its configuration, is gone back from by all.
    let refuses = "let config: camlock_plugin::Value = host.config()?;
        if config[\"bad\"] == true {
            return Err(Error::msg(\"that is bad\"));
        }
        Ok(Plugin1)";
    let refuses = single("0.4.0").replace("_host: Host", "host: Host").replace("Ok(Plugin1)", refuses);
    publish(&author.0, &[&package(&author.0, "0.4.0", &refuses)]).done();
    ask(&nodes[2].0, &nodes[2].1, &["catalog", "sync"]).done();
    nodes[2].0.write("bad.json", "{\"bad\": true}");
    let told = ask(&nodes[2].0, &nodes[2].1, &["install", "greeter@0.4.0", "--config-file", "bad.json"]);
    let told = told.failed(1).to_owned();
    assert!(told.contains("that is bad") && told.contains("everything is as it was before"), "{told}");
    all_serve(&nodes, "0.2.0");
    assert_eq!(
        (lies(&nodes[2].0).len(), &nodes[2].1.get_as_admin("/api/v1/plugins/greeter").json()["config"]),
        (0, &json!({}))
    );

    // What is sent does not take its place, on any of them.
    author.0.write("sent/greeter.rs", &single("sent"));
    let path = author.0.path("sent/greeter.rs");
    for (_, server) in &nodes {
        let refused = server.act_with("POST", "/api/v1/plugins?replace=true", &json!({ "path": path }));
        let is_told = refused.text.contains("was installed by name, from the catalog `main`");
        assert!(refused.status == 409 && is_told, "{}", refused.text);
    }

    // Those in whose directories it lies go for good, and another one comes.
    for (_, server) in nodes.drain(..2) {
        server.end();
    }
    nodes.push(node("fourth"));
    all_serve(&nodes, "0.2.0");
    ask(&nodes[1].0, &nodes[1].1, &["reload", "greeter"]).done();
    ask(&nodes[1].0, &nodes[1].1, &["remove", "greeter"]).done();
    for (_, server) in nodes {
        server.until_status(GREETER, 404);
        server.end();
    }
}

#[test]
fn what_is_taken_out_of_the_directory_is_served_until_it_is_removed() {
    let author = GreeterAuthor::new();
    let site = author.0.beside("alone");
    let server = site.start();
    ask(&site, &server, &["catalog", "add", "main", &author.url()]).done();
    ask(&site, &server, &["install", "greeter"]).done();
    std::fs::remove_file(site.path("plugins/greeter.so")).unwrap();
    server.until_plugin("greeter", |plugin| plugin["path"].is_null());
    assert_eq!(server.get(GREETER).text, "one");
    server.end();
    let server = site.start();
    server.until_text(GREETER, "one");
    ask(&site, &server, &["remove", "greeter"]).done();
    server.until_status(GREETER, 404);
    server.end();
}
