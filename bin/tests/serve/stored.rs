//! Values that plugins keep with their host, through a plugin that is really loaded, in the file beside the registry.

use crate::site;
use camlock_testing::{Fixtures, Server, Site, request_with, rounds};
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

/// The server is killed in the middle of batches: what was acknowledged is there, and every batch is whole or not there at all.
#[test]
fn killed_in_the_middle_of_batches() {
    let site = site();
    put_there(&site);
    let mut server = site.start();
    let (mut next, mut acknowledged) = (0_u32, 0);
    for round in 0..rounds(10) {
        server.until_serving("keeping");
        let address = server.address;
        let first = next;
        let writing = std::thread::spawn(move || {
            let headers = [("content-type", "application/json")];
            for number in first.. {
                let value = number.to_string();
                let batch: Vec<_> = ["a", "b", "c"]
                    .iter()
                    .map(|part| json!({ "key": format!("{number:06}/{part}"), "value": value }))
                    .collect();
                let batch = json!(batch).to_string();
                match request_with(address, "POST", &format!("{PATH}/batch"), &headers, &batch) {
                    Ok(answer) if answer.status == 200 => {}
                    // The one after the last that was acknowledged may be there or not.
                    _ => return number,
                }
            }
            0
        });
        // Not always at the same place.
        std::thread::sleep(Duration::from_millis(40 + 13 * (round as u64 % 7)));
        server.kill();
        let unknown = writing.join().unwrap();
        acknowledged += unknown - first;
        server = site.start();
        server.until_serving("keeping");
        for number in first..=unknown {
            let keys = good(&server, "GET", &format!("/values?prefix={number:06}/"), "");
            let whole = format!("{number:06}/a {number:06}/b {number:06}/c | ");
            assert!(keys == whole || number == unknown && keys == " | ", "round {round}, {number}: {keys:?}");
        }
        next = unknown + 1;
    }
    assert!(acknowledged > 20, "only {acknowledged} batches were done");
}
