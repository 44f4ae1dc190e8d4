//! Secrets of configurations in a fleet: one key for all, and what becomes of a server that has another one.

use crate::{Fleet, Node};
use camlock_testing::{Outside, Server, repository};
use serde_json::json;
use std::fs;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "HxIcGxoZGBcWFRQTEhEQDw4NDAsKCQgHBgUEAwIBAAA=";
const ORDERED: &str = "open-sesame-4711";
const BY_SQL: &str = "plain-barley-0815";
const MASK: &str = "********";

fn text(server: &Server) -> String {
    server.get("/api/v1/p/guarded/text").text
}

#[test]
fn one_key_for_all() {
    let mut fleet = Fleet::of(3, &[format!("secrets.key = {KEY:?}")]);
    let site = fleet.site.beside("stranger");
    site.configure(&format!("database.url = {:?}", fleet.database));
    site.configure("fleet.heartbeat = \"500ms\"\nfleet.alive = \"2s\"\nfleet.rollout = \"5s\"");
    site.configure(&format!("secrets.key = {OTHER:?}"));
    let server = site.start();
    fleet.nodes.push(Node { site, server });
    let library = Outside::new("guarded").with_folder(&repository().join("core/loader/fixtures/guarded")).library();
    for node in &fleet.nodes {
        fs::create_dir_all(node.site.plugins()).unwrap();
        fs::copy(&library, node.site.path("plugins/guarded.so")).unwrap();
    }
    // Without secrets it serves everywhere, whichever key there is.
    for node in &fleet.nodes {
        node.server.until_serving("guarded");
    }
    let (ours, stranger) = fleet.nodes.split_at(3);
    let stranger = &stranger[0];
    let path = "/api/v1/plugins/guarded";
    let answer = ours[0].server.act_with("PUT", path, &json!({ "config": { "password": ORDERED } }));
    assert!(answer.status == 200 && !answer.text.contains(ORDERED), "{}", answer.text);
    for node in ours {
        node.server.until(text, |text| text.contains(ORDERED));
    }
    let needed = fleet.sql("SELECT key_id FROM camlock.secrets_key");
    // What serves there goes on with what it had, and says why.
    let why = stranger.server.until_failed("guarded", "config");
    assert!(why.contains(&format!("sealed with the key {needed}, and this server has the key ")), "{why}");
    assert!(!text(&stranger.server).contains(ORDERED));

    // Written in plain by an operator, it is sealed once, by whoever sees it first.
    let set = "SELECT count(*) FROM camlock.plugin_journal WHERE what = 'secret-set'";
    assert_eq!(fleet.sql(set), "1");
    fleet.sql(&format!("UPDATE camlock.plugins SET config = '{{\"password\": \"{BY_SQL}\"}}' WHERE name = 'guarded'"));
    for node in ours {
        node.server.until(text, |text| text.contains(BY_SQL));
    }
    let config = |_: &Server| fleet.sql("SELECT config FROM camlock.plugins WHERE name = 'guarded'");
    ours[0].server.until(config, |config| config.contains(MASK) && !config.contains(BY_SQL));
    let revision: u64 = fleet.sql("SELECT revision FROM camlock.plugins WHERE name = 'guarded'").parse().unwrap();
    for node in &fleet.nodes {
        node.server.until_plugin("guarded", |plugin| plugin["revision"] == revision);
        let known = |_: &Server| fs::read_to_string(node.site.path(".camlock/last-known.json")).unwrap_or_default();
        let known = node.server.until(known, |known| known.contains(&format!("\"revision\":{revision}")));
        assert!(!known.contains(ORDERED) && !known.contains(BY_SQL), "{known}");
    }
    assert_eq!(fleet.sql(set), "2");

    // Begun anew it waits there, and nowhere else.
    let answer = ours[0].server.post(&format!("{path}/disable"));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let _ = ours[0].server.post(&format!("{path}/enable"));
    for node in ours {
        node.server.until_serving("guarded");
        node.server.until(text, |text| text.contains(BY_SQL));
    }
    let waits = stranger.server.until_plugin("guarded", |plugin| plugin["state"] == "waiting");
    assert!(waits["reason"].as_str().unwrap().contains(&needed), "{waits}");
    for table in ["plugins", "plugin_journal", "node_plugins", "plugin_secrets"] {
        let rows = fleet.sql(&format!("SELECT * FROM camlock.{table}"));
        assert!(!rows.contains(ORDERED) && !rows.contains(BY_SQL), "{table}: {rows}");
    }
}
