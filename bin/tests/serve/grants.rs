//! What plugins may: asked for in a manifest, decided by operators, in the shell, over the API, with SQL.

use crate::site;
use camlock_testing::{Server, Site, single};
use serde_json::json;
use std::fs;

fn asking(text: &str, permissions: &str) -> String {
    format!("---\n[package.metadata.camlock]\npermissions = {permissions}\n---\n{}", single(text))
}

fn run(site: &Site, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = site.command().args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).collect()
}

const WAITS: &str =
    "version 0.1.0 asks for `storage`, `tasks`, which nobody granted to it: `camlock grant keeper storage tasks` does";

fn until_it_waits(server: &Server) {
    server.until_plugin("keeper", |plugin| plugin["reason"] == WAITS);
}

#[test]
fn what_waits_for_a_grant_goes_on_with_it() {
    let site = site();
    site.configure("plugins.grant = \"none\"");
    site.write("plugins/keeper.rs", &asking("kept", r#"["storage", "tasks"]"#));
    let server = site.start();
    until_it_waits(&server);
    let plugin = server.plugin("keeper");
    assert_eq!((&plugin["state"], &plugin["candidate"]["stage"]), (&json!("waiting"), &json!("waiting")));
    assert_eq!(server.get("/_/ready").status, 200, "a plugin that waits for people keeps nobody waiting");
    let (code, told, _) = run(&site, &["grants", "keeper"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        lines(&told),
        [
            "keeper comes from: directory; nothing was decided: it has what comes from there is granted; \
             checked by the host, not contained",
            "PERMISSION               WHAT FOR",
            "storage     not granted  keep values",
            "tasks       not granted  have work done later",
        ]
    );
    let (code, _, told) = run(&site, &["grant", "keeper", "storge"]);
    assert_eq!(code, Some(1));
    assert!(told.contains("`storge` is no permission; did you mean `storage`?"), "{told}");
    assert_eq!(run(&site, &["grant", "keeper", "storage"]).0, Some(0));
    let half = "version 0.1.0 asks for `tasks`, which nobody granted to it: `camlock grant keeper tasks` does";
    server.until_plugin("keeper", |plugin| plugin["reason"] == half);
    assert_eq!(run(&site, &["grant", "keeper", "tasks"]).0, Some(0));
    server.until_text("/api/v1/p/keeper/", "kept");

    // What is taken away is gone at once, and the next version waits; what serves serves on.
    let (code, told, _) = run(&site, &["revoke", "keeper", "tasks", "--json"]);
    let grants: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &grants["granted"], &grants["decided"]), (Some(0), &json!(["storage"]), &json!(true)));
    let (code, _, told) = run(&site, &["revoke", "keeper", "tasks"]);
    assert_eq!((code, told.trim()), (Some(1), "camlock: `tasks` was not granted to keeper: it has storage"));
    site.write("plugins/keeper.rs", &asking("newer", r#"["storage", "tasks"]"#));
    server.until_plugin("keeper", |plugin| plugin["reason"] == half);
    assert_eq!(server.get("/api/v1/p/keeper/").text, "kept");
    assert_eq!(run(&site, &["grant", "keeper", "--all"]).0, Some(0));
    server.until_text("/api/v1/p/keeper/", "newer");
    let granted = run(&site, &["events", "-n", "100", "--plugin", "keeper"]).1;
    assert_eq!(granted.matches("granted  granted:").count(), 4, "{granted}");
    // It holds over a restart.
    server.end();
    let server = site.start();
    server.until_text("/api/v1/p/keeper/", "newer");
}

#[test]
fn operators_at_once_do_not_undo_each_other() {
    let site = site();
    site.write("plugins/keeper.rs", &asking("kept", r#"["storage"]"#));
    let server = site.start();
    server.until_text("/api/v1/p/keeper/", "kept");
    let hosts: Vec<_> = (0..6).map(|number| format!("network:host{number}")).collect();
    std::thread::scope(|scope| {
        for host in &hosts {
            let site = &site;
            scope.spawn(move || assert_eq!(run(site, &["grant", "keeper", host]).0, Some(0)));
        }
    });
    let grants = server.get_as_admin("/api/v1/plugins/keeper/grants").json();
    let granted: Vec<String> = serde_json::from_value(grants["granted"].clone()).unwrap();
    assert!(hosts.iter().all(|host| granted.contains(host)) && granted.contains(&"storage".to_owned()), "{granted:?}");
}

#[test]
fn what_is_installed_is_decided_by_who_installs_it() {
    let site = site();
    site.write("elsewhere/keeper.rs", &asking("kept", r#"["storage", "tasks"]"#));
    let server = site.start();
    let path = json!({ "path": fs::canonicalize(site.path("elsewhere/keeper.rs")).unwrap() });
    let unknown = server.act_with("POST", "/api/v1/plugins?grant=storge", &path);
    assert_eq!(unknown.status, 400, "{}", unknown.text);
    assert!(unknown.text.contains("`grant`: `storge` is no permission"), "{}", unknown.text);

    // The directory's own would be granted all; this is not.
    let answer = server.act_with("POST", "/api/v1/plugins", &path);
    assert_eq!((answer.status, &answer.json()["state"]), (201, &json!("waiting")), "{}", answer.text);
    until_it_waits(&server);
    let grants = server.get_as_admin("/api/v1/plugins/keeper/grants").json();
    assert_eq!((&grants["source"], &grants["granted"], &grants["all"]), (&json!("upload"), &json!([]), &json!(false)));

    // With a decision it serves at once.
    let answer = server.act_with("POST", "/api/v1/plugins?replace=true&grant=storage,tasks", &path);
    assert_eq!(answer.status, 200, "{}", answer.text);
    server.until_text("/api/v1/p/keeper/", "kept");
    let grants = server.get_as_admin("/api/v1/plugins/keeper/grants");
    assert!(grants.head.contains("etag"), "{}", grants.head);
    assert_eq!(grants.json()["granted"], json!(["storage", "tasks"]));

    // Who removes it and puts it into the directory begins anew.
    assert_eq!(server.act("DELETE", "/api/v1/plugins/keeper").status, 200);
    site.write("plugins/keeper.rs", &asking("mine", r#"["storage"]"#));
    server.until_text("/api/v1/p/keeper/", "mine");
    let grants = server.get_as_admin("/api/v1/plugins/keeper/grants").json();
    assert_eq!(
        (&grants["source"], &grants["all"], &grants["decided"]),
        (&json!("directory"), &json!(true), &json!(false))
    );
}

#[test]
fn only_admins_grant() {
    let site = site();
    site.write("plugins/keeper.rs", &asking("kept", r#"["storage"]"#));
    let server = site.start();
    server.until_text("/api/v1/p/keeper/", "kept");
    let path = "/api/v1/plugins/keeper/grants";
    let token = run(&site, &["token", "create", "ops", "--role", "operator"]).1;
    let bearer = [("authorization", &*format!("Bearer {}", token.trim()))];
    let ask = |method| camlock_testing::request(server.address, method, path, &bearer).unwrap().status;
    assert_eq!((ask("GET"), ask("PUT")), (200, 403));
    for (body, why) in [
        (json!({}), "missing field `granted`"),
        (
            json!({ "granted": "everything" }),
            "granted: invalid value: string \"everything\", expected \"asked\", \"none\", or a list of permissions",
        ),
        (json!({ "granted": ["root"] }), "granted: `root` is no permission; there are `storage`"),
        (json!({ "granted": [], "more": 1 }), "unknown field `more`"),
    ] {
        let answer = server.act_with("PUT", path, &body);
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert!(answer.json()["detail"].as_str().unwrap().contains(why), "{}", answer.text);
    }
    assert_eq!(server.act_with("PUT", "/api/v1/plugins/nobody/grants", &json!({ "granted": [] })).status, 404);
    assert_eq!(server.get_as_admin(path).json()["granted"], json!(["storage"]), "nothing has changed");
}
