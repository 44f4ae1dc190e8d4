//! Values that plugins keep with their host, through a plugin that is really loaded, in the file beside the registry.

use crate::site;
use camlock_testing::{Fixtures, Server, Site, request_with};
use serde_json::json;
use std::{fs, time::Duration};

const PATH: &str = "/api/v1/p/keeping";

fn put_there(site: &Site) {
    fs::create_dir_all(site.path("plugins")).unwrap();
    fs::copy(Fixtures::quick().library("keeping"), site.path("plugins/keeping.so")).unwrap();
}

/// Status and body.
fn ask(server: &Server, method: &str, path: &str, body: &str) -> (u16, String) {
    let headers = [("content-type", "application/json")];
    let answer = request_with(server.address, method, &format!("{PATH}{path}"), &headers, body).unwrap();
    (answer.status, answer.text)
}

fn good(server: &Server, method: &str, path: &str, body: &str) -> String {
    let (status, text) = ask(server, method, path, body);
    assert_eq!(status, 200, "{method} {path}: {text}");
    text
}

#[test]
fn values_outlive_their_plugin() {
    let site = site();
    put_there(&site);
    let server = site.start();
    server.until_serving("keeping");
    let good = |method: &str, path: &str, body: &str| good(&server, method, path, body);
    let first: u64 = good("PUT", "/values/a/one", "1").parse().unwrap();
    let second: u64 = good("PUT", "/values/a/two", "2").parse().unwrap();
    assert!(second > first);
    assert_eq!(good("GET", "/values/a/one", ""), "1");
    assert_eq!(ask(&server, "GET", "/values/nothing", "").0, 404);
    let (status, told) = ask(&server, "PUT", "/values/a/one?absent=1", "x");
    assert!(status == 502 && told.starts_with("Conflict: "), "{told}");
    let (status, told) = ask(&server, "PUT", &format!("/values/a/one?revision={second}"), "x");
    assert!(status == 502 && told.starts_with("Conflict: "), "{told}");
    good("PUT", &format!("/values/a/one?revision={first}"), "one");
    good("PUT", "/values/soon?expires=1", "gone");
    server.until(|server| ask(server, "GET", "/values/soon", "").0, |status| *status == 404);
    assert_eq!(good("GET", "/values?prefix=a/&most=1", ""), "a/one | a/one");
    assert_eq!(good("GET", "/values?prefix=a/&after=a/one", ""), "a/two | ");
    // All of it or nothing.
    let batch = json!([{ "key": "b", "value": "1" }, { "key": "a/one", "value": "x", "absent": true }]);
    let (status, told) = ask(&server, "POST", "/batch", &batch.to_string());
    assert!(status == 502 && told.starts_with("Conflict: "), "{told}");
    assert_eq!(ask(&server, "GET", "/values/b", "").0, 404);
    let batch = json!([{ "key": "b", "value": "1" }, { "key": "a/two", "value": null }]);
    good("POST", "/batch", &batch.to_string());
    assert_eq!(good("GET", "/values?prefix=", ""), "a/one b | ");

    // Reloaded, disabled, restarted.
    assert_eq!(server.post("/api/v1/plugins/keeping/reload").status, 200);
    assert_eq!(good("GET", "/values/a/one", ""), "one");
    assert_eq!(server.post("/api/v1/plugins/keeping/disable").status, 200);
    assert_eq!(server.post("/api/v1/plugins/keeping/enable").status, 200);
    assert_eq!(good("GET", "/values/a/one", ""), "one");
    server.end();
    let server = site.start();
    server.until_serving("keeping");
    assert_eq!(ask(&server, "GET", "/values/a/one", ""), (200, "one".to_owned()));
    assert!(site.path(".camlock/plugins.db").is_file());

    // Removed, it stays; removed with what it kept, it does not.
    assert_eq!(server.act("DELETE", "/api/v1/plugins/keeping").status, 200);
    put_there(&site);
    server.until_serving("keeping");
    assert_eq!(ask(&server, "GET", "/values/a/one", "").0, 200);
    assert_eq!(server.act("DELETE", "/api/v1/plugins/keeping?purge=true").status, 200);
    put_there(&site);
    server.until_serving("keeping");
    assert_eq!(ask(&server, "GET", "/values", ""), (200, " | ".to_owned()));
}

#[test]
fn limits_and_grants() {
    let site = site();
    site.configure("services.storage.keys = 3\nservices.storage.bytes = \"2 MiB\"");
    put_there(&site);
    let server = site.start();
    server.until_serving("keeping");
    let refused = |path: &str, body: &str, code: &str| {
        let (status, told) = ask(&server, "PUT", path, body);
        assert!(status == 502 && told.starts_with(code), "{path}: {status} {told}");
    };
    for key in ["a", "b", "c"] {
        good(&server, "PUT", &format!("/values/{key}"), "x");
    }
    refused("/values/d", "x", "Limit: ");
    good(&server, "PUT", "/values/a", "another");
    refused("/values/a", &"x".repeat((1 << 20) + 1), "Limit: ");
    good(&server, "PUT", "/values/a", &"x".repeat(1 << 20));
    refused("/values/b", &"x".repeat(1 << 20), "Limit: ");
    refused(&format!("/values/{}", "k".repeat(513)), "x", "Invalid: ");

    // Taken away while it runs.
    let path = "/api/v1/plugins/keeping/grants";
    assert_eq!(server.act_with("PUT", path, &json!({ "granted": [] })).status, 200);
    refused("/values/a", "x", "Denied: `storage` is not granted to `keeping`");
    assert_eq!(server.act_with("PUT", path, &json!({ "granted": ["storage"] })).status, 200);
    assert_eq!(good(&server, "GET", "/values/b", ""), "x");
    assert!(
        server.get("/metrics").text.contains("camlock_plugin_ask_errors_total{plugin=\"keeping\",code=\"limit\"} 3")
    );
}

#[test]
fn what_changes_is_told() {
    let site = site();
    put_there(&site);
    let server = site.start();
    server.until_serving("keeping");
    let address = server.address;
    let watching =
        std::thread::spawn(move || request_with(address, "GET", &format!("{PATH}/watch/4"), &[], "").unwrap().text);
    for (method, path) in [("PUT", "/values/a"), ("PUT", "/values/b"), ("DELETE", "/values/a"), ("PUT", "/values/c")] {
        std::thread::sleep(Duration::from_millis(100));
        good(&server, method, path, "x");
    }
    assert_eq!(watching.join().unwrap(), "+a +b -a +c");
}

#[test]
fn operators_see_and_change_what_is_kept() {
    let site = site();
    put_there(&site);
    let server = site.start();
    server.until_serving("keeping");
    let run = |arguments: &[&str]| {
        let output = site.command().args(["storage", "keeping"]).args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(run(&[]).1, "keeping keeps nothing like that\n");
    good(&server, "PUT", "/values/a/one", "1");
    good(&server, "PUT", "/values/b", "22");
    let (code, told, _) = run(&[]);
    assert_eq!(code, Some(0));
    let rows: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["KEY", "BYTES", "REVISION", "EXPIRES"]);
    assert_eq!((rows[1][0], rows[1][1], rows[2][0], rows[2][1]), ("a/one", "1", "b", "2"));
    assert_eq!(run(&["list", "a/"]).1.lines().count(), 2);
    assert_eq!(run(&["get", "a/one"]), (Some(0), "1".to_owned(), String::new()));
    let (code, told, _) = run(&["put", "a/two", "from a shell"]);
    assert!(code == Some(0) && told.starts_with("a/two is kept, at revision "), "{told}");
    assert_eq!(good(&server, "GET", "/values/a/two", ""), "from a shell");
    assert_eq!(run(&["delete", "b"]).1, "b is deleted\n");
    let (code, _, told) = run(&["get", "b"]);
    assert_eq!((code, told.trim()), (Some(1), "camlock: `keeping` keeps nothing under \"b\""));

    let path = "/api/v1/plugins/keeping/storage";
    let page = server.get_as_admin(&format!("{path}?limit=1")).json();
    assert_eq!((&page["items"][0]["key"], page["items"].as_array().unwrap().len()), (&json!("a/one"), 1));
    let next = page["next"].as_str().unwrap();
    let page = server.get_as_admin(&format!("{path}?limit=1&cursor={next}")).json();
    assert_eq!((&page["items"][0]["key"], &page["next"]), (&json!("a/two"), &json!(null)));
    assert_eq!(server.get_as_admin(&format!("{path}?limit=0")).status, 400);
    let value = server.get_as_admin(&format!("{path}/a%2Fone"));
    assert_eq!((value.status, &*value.text), (200, "1"));
    let bearer = fs::read_to_string(site.path(".camlock/admin-token")).unwrap();
    let bearer = format!("Bearer {}", bearer.trim());
    let put = |condition: &str, body: &str| {
        let headers = [("authorization", &*bearer), ("if-match", condition)];
        request_with(server.address, "PUT", &format!("{path}/a%2Fone"), &headers, body).unwrap().status
    };
    assert_eq!((put("\"999999\"", "x"), put("soon", "x")), (412, 400));
    let tag = value.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a revision").to_owned();
    assert_eq!(put(&tag, "now"), 200);
    assert_eq!(put(&tag, "again"), 412);
    assert_eq!(good(&server, "GET", "/values/a/one", ""), "now");
    let large = "x".repeat((1 << 20) + 1);
    let headers = [("authorization", &*bearer)];
    assert_eq!(request_with(server.address, "PUT", &format!("{path}/large"), &headers, &large).unwrap().status, 413);
    assert_eq!(server.act("DELETE", &format!("{path}/nothing")).status, 404);

    // It is on record, and not for everybody.
    let events = site.command().args(["events", "-n", "100", "--plugin", "keeping"]).output().unwrap();
    let events = String::from_utf8(events.stdout).unwrap();
    assert!(events.contains("value-put  key: a/two") && events.contains("value-deleted  key: b"), "{events}");
    let token = site.command().args(["token", "create", "ops", "--role", "operator"]).output().unwrap();
    let bearer = format!("Bearer {}", String::from_utf8(token.stdout).unwrap().trim());
    let headers = [("authorization", &*bearer)];
    assert_eq!(request_with(server.address, "GET", path, &headers, "").unwrap().status, 403);
}
