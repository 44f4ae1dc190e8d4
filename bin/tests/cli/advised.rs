//! Advisories and updates by policy, on both databases: warned of, refused, disabled; held, pinned, and by themselves.

use crate::{
    Ended,
    catalogs::{ask, package, publish},
    command, end, site,
};
use camlock_testing::{Postgres, Server, Site, single};
use serde_json::Value;

/// A catalog of its own, with the greeter in two versions.
pub(crate) struct GreeterAuthor(pub(crate) Site);

impl GreeterAuthor {
    pub(crate) fn new() -> Self {
        let site = site();
        end(command(&site, &["package", "--new-key", "author.key"])).done();
        end(command(&site, &["catalog", "init", "catalog", "--keys", "keys"])).done();
        let one = package(&site, "0.1.0", &single("one"));
        publish(&site, &[&one, "--publisher", "author.key.pub"]).done();
        GreeterAuthor(site)
    }

    pub(crate) fn publish(&self, version: &str) {
        let package = package(&self.0, version, &single(version));
        publish(&self.0, &[&package]).done();
    }

    /// Where its catalog is.
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.0.path("catalog").display())
    }

    /// These versions have something wrong with them.
    fn warn(&self, versions: &str) {
        let advisory = format!(
            r#"{{"advisories":[{{"id":"CAM-2026-0001","plugin":"greeter","versions":"{versions}","severity":"high",
            "title":"It greets twice","remedy":"update to 0.3.0"}}]}}"#
        );
        self.0.write("advisories.json", &advisory);
        publish(&self.0, &["--advisories", "advisories.json"]).done();
    }

    /// A server beside it that follows the catalog, in each database.
    fn followers(&self, settings: &str) -> [(Site, Server); 2] {
        ["sqlite", "postgres"].map(|database| {
            let follower = self.0.beside(&format!("{database}-{}", self.0.path("").read_dir().unwrap().count()));
            if database == "postgres" {
                follower.configure(&format!("database.url = {:?}", Postgres::shared().database()));
            }
            follower.configure(settings);
            let server = follower.start();
            ask(&follower, &server, &["catalog", "add", "main", &self.url()]).done();
            (follower, server)
        })
    }
}

fn sync((site, server): &(Site, Server)) {
    ask(site, server, &["catalog", "sync"]).done();
}

fn describe((site, server): &(Site, Server), arguments: &[&str]) -> Ended {
    ask(site, server, arguments)
}

fn journal(follower: &(Site, Server), what: &str) -> Vec<Value> {
    let events = describe(follower, &["events", "--plugin", "greeter", "--json"]).done();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["what"] == what).collect()
}

#[test]
fn advisories_warn_block_or_disable() {
    let author = GreeterAuthor::new();
    let warned = author.followers("");
    let blocking = author.followers("catalogs.advisories = \"block\"");
    let disabling = author.followers("catalogs.advisories = \"disable\"");
    for follower in warned.iter().chain(&blocking).chain(&disabling) {
        describe(follower, &["install", "greeter"]).done();
    }
    author.publish("0.2.0");
    author.warn("<=0.2.0");
    for follower in &warned {
        sync(follower);
        let outdated = describe(follower, &["outdated"]).done();
        assert!(
            outdated.contains("CAM-2026-0001 (high): greeter <=0.2.0: It greets twice; update to 0.3.0"),
            "{outdated}"
        );
        let problems = follower.1.get_as_admin("/api/v1/problems").json();
        let problem = &problems["items"][0];
        assert_eq!((&problem["rule"], &problem["recommendation"]), (&"advisory".into(), &"update to 0.3.0".into()));
        let doctor = describe(follower, &["doctor", "--listen", "127.0.0.1:0"]);
        assert!(
            doctor.stdout.contains("greeter: 0.1.0 is concerned by CAM-2026-0001: It greets twice"),
            "{}",
            doctor.stdout
        );
        sync(follower);
        let journal = journal(follower, "advisory");
        assert_eq!(journal.len(), 1, "it is told once: {journal:?}");
        assert_eq!(journal[0]["detail"]["reason"], "CAM-2026-0001 (high): It greets twice; update to 0.3.0");
        describe(follower, &["install", "greeter@0.2.0"]).done();
        assert_eq!(follower.1.get("/api/v1/p/greeter/").text, "0.2.0");
    }
    for follower in &blocking {
        sync(follower);
        let refused = describe(follower, &["install", "greeter@0.2.0"]).refused(1);
        assert!(
            refused.contains("`catalogs.advisories` of this server refuses it: CAM-2026-0001 (high): It greets twice"),
            "{refused}"
        );
        assert_eq!(follower.1.get("/api/v1/p/greeter/").text, "one", "what is there serves on");
        let shown = describe(follower, &["catalog", "show", "greeter"]).done();
        assert!(shown.contains("does not fit here: `catalogs.advisories`"), "{shown}");
    }
    for follower in &disabling {
        sync(follower);
        assert_eq!(follower.1.plugin("greeter")["state"], "disabled");
        let journal = journal(follower, "advisory-disabled");
        assert_eq!((journal.len(), &journal[0]["by"]), (1, &"catalog:main".into()), "{journal:?}");
        // An operator who has it serve all the same is obeyed.
        describe(follower, &["enable", "greeter"]).done();
        sync(follower);
        assert_eq!(follower.1.get("/api/v1/p/greeter/").text, "one");
    }
    // What mends it is taken at once, though it is new.
    author.publish("0.3.0");
    for follower in warned.into_iter().chain(blocking).chain(disabling) {
        sync(&follower);
        let updated = describe(&follower, &["update"]).done();
        assert!(updated.ends_with("greeter 0.3.0 is serving\n"), "{updated}");
        assert_eq!(follower.1.get("/api/v1/p/greeter/").text, "0.3.0");
        assert_eq!(follower.1.get_as_admin("/api/v1/problems").json()["items"], serde_json::json!([]));
        follower.1.end();
    }
}

#[test]
fn updates_wait_or_come_by_themselves() {
    let author = GreeterAuthor::new();
    let usual = author.followers("");
    let automatic = "catalogs.updates = { automatic = true, minimum_age = 0 }\nplugin.greeter.updates.pin = \"<0.3\"";
    let automatic = author.followers(automatic);
    for follower in usual.iter().chain(&automatic) {
        describe(follower, &["install", "greeter"]).done();
    }
    author.publish("0.2.0");
    for follower in &usual {
        sync(follower);
        let outdated = describe(follower, &["outdated"]).done();
        assert!(outdated.contains("not taken: it is too new: the update policy takes it from 2"), "{outdated}");
        let held = describe(follower, &["update"]).done();
        assert!(held.contains("; `camlock install greeter@0.2.0` takes it all the same"), "{held}");
        assert_eq!(follower.1.get("/api/v1/p/greeter/").text, "one");
        let named = describe(follower, &["install", "greeter@0.2.0"]).done();
        assert!(named.ends_with("greeter 0.2.0 is serving\n"), "{named}");
    }
    for follower in &automatic {
        let load = follower.1.load("/api/v1/p/greeter/");
        sync(follower);
        follower.1.until_text("/api/v1/p/greeter/", "0.2.0");
        let (good, bad) = load.end();
        assert!(good > 0 && bad.is_empty(), "{bad:?}");
        let unfinished = |_: &Server| describe(follower, &["outdated"]).done();
        follower.1.until(unfinished, |outdated| outdated.contains("is the newest"));
    }
    author.publish("0.3.0");
    for follower in automatic {
        sync(&follower);
        let outdated = describe(&follower, &["outdated"]).done();
        assert!(outdated.contains("not taken: the update policy pins <0.3"), "{outdated}");
        let held = describe(&follower, &["update"]).done();
        assert!(held.contains("greeter 0.3.0 is not taken: the update policy pins <0.3"), "{held}");
        assert_eq!(follower.1.get("/api/v1/p/greeter/").text, "0.2.0");
        // Also of one that was not loaded since the server started.
        describe(&follower, &["disable", "greeter"]).done();
        let (site, server) = follower;
        server.end();
        let server = site.start();
        let follower = (site, server);
        let held = describe(&follower, &["update", "greeter"]).done();
        assert!(held.contains("greeter 0.3.0 is not taken: the update policy pins <0.3"), "{held}");
        follower.1.end();
    }
    usual.into_iter().for_each(|(_, server)| drop(server.end()));
}

#[test]
fn an_update_serves_on_one_server_first() {
    let author = GreeterAuthor::new();
    let database = Postgres::shared().database();
    let settings = format!("database.url = {database:?}\ncatalogs.updates = {{ minimum_age = 0, soak = \"20s\" }}");
    let nodes = ["first", "second"].map(|name| {
        let site = author.0.beside(name);
        site.configure(&settings);
        let server = site.start();
        (site, server)
    });
    describe(&nodes[0], &["catalog", "add", "main", &author.url()]).done();
    const GREETER: &str = "/api/v1/p/greeter/";
    // The first of it has nothing to go back to, and soaks nowhere.
    describe(&nodes[0], &["install", "greeter"]).done();
    nodes.iter().for_each(|(_, server)| server.until_text(GREETER, "one"));
    author.publish("0.2.0");
    sync(&nodes[0]);
    let [load, other] = [0, 1].map(|node: usize| nodes[node].1.load(GREETER));
    let updated = describe(&nodes[0], &["update"]).done();
    let expected = "greeter 0.2.0 is serving: 0.2.0 serves on this server alone until 2";
    assert!(updated.contains(expected), "{updated}");
    assert_eq!([0, 1].map(|node: usize| nodes[node].1.get(GREETER).text), ["0.2.0", "one"]);
    let told = nodes[0].1.plugin("greeter")["reason"].clone();
    let told = told.as_str().unwrap_or_default();
    assert!(told.starts_with("0.2.0 serves on this server alone until "), "{told}");
    nodes[1].1.until_text(GREETER, "0.2.0");
    nodes[0].1.until_plugin("greeter", |plugin| plugin["reason"].is_null());
    for load in [load, other] {
        let (good, bad) = load.end();
        assert!(good > 0 && bad.is_empty(), "{bad:?}");
    }

    // One that panics is gone before anybody else has it.
    let panics = single("0.3.0").replace(
        "Router::new()",
        "Router::new().route(\"/panics\", get(|| async { if true { panic!(\"no\") } \"\" }))",
    );
    let package = package(&author.0, "0.3.0", &panics);
    publish(&author.0, &[&package]).done();
    sync(&nodes[0]);
    describe(&nodes[0], &["update"]).done();
    for _ in 0..6 {
        nodes[0].1.get("/api/v1/p/greeter/panics");
    }
    nodes[0].1.until_text(GREETER, "0.2.0");
    assert_eq!(nodes[1].1.get(GREETER).text, "0.2.0");
    let failed = nodes[0].1.plugin("greeter")["failed"]["reason"].clone();
    assert!(failed.as_str().is_some_and(|why| why.contains("is under quarantine")), "{failed}");
    nodes.into_iter().for_each(|(_, server)| drop(server.end()));
}
