//! What is granted holds on every server; what waits for it is proposed to nobody.

use crate::Fleet;
use camlock_testing::single;

const PATH: &str = "/api/v1/p/keeper/";

fn asking(text: &str, permissions: &str) -> String {
    format!("---\n[package.metadata.camlock]\npermissions = {permissions}\n---\n{}", single(text))
}

#[test]
fn a_row_grants_to_all() {
    let fleet = Fleet::of(3, &["plugins.grant = [\"storage\"]".to_owned()]);
    for node in 0..3 {
        fleet.write(node, "keeper.rs", &asking("one", r#"["storage"]"#));
    }
    fleet.until_all(PATH, "one");
    // A successor that asks for more waits where it lies, and is no rollout.
    fleet.write(0, "keeper.rs", &asking("two", r#"["storage", "tasks"]"#));
    let waits = "version 0.1.0 asks for `tasks`, which nobody granted to it: `camlock grant keeper tasks` does";
    fleet.nodes[0].server.until_plugin("keeper", |plugin| plugin["reason"] == waits);
    assert_eq!(
        fleet.sql("SELECT count(*) FROM camlock.rollouts WHERE plugin = 'keeper' AND state <> 'committed'"),
        "0"
    );
    fleet.until_all(PATH, "one");
    fleet.sql("INSERT INTO camlock.plugin_grants (plugin, granted) VALUES ('keeper', 'storage tasks')");
    fleet.until_all(PATH, "two");
    for node in &fleet.nodes {
        let grants = node.server.get_as_admin("/api/v1/plugins/keeper/grants").json();
        assert_eq!(grants["granted"], serde_json::json!(["storage", "tasks"]), "{grants}");
    }
}
