//! Bad input, of every sort that people bring: that plugin's state and a sentence, and all others serve on.

mod builds;
mod entries;
mod isolated;
mod place;
mod store;

use crate::site;
use camlock_testing::{Server, Site, single};
use serde_json::Value;

/// A site with `steady`, which is served whatever else lies there.
fn with_steady() -> (Site, Server) {
    let site = site();
    site.write("plugins/steady.rs", &single("steady"));
    let server = site.start();
    server.until_text("/api/v1/p/steady/", "steady");
    (site, server)
}

/// Nothing has happened to it.
fn expect_steady(server: &Server) {
    assert_eq!(server.get("/api/v1/p/steady/").text, "steady");
    assert_eq!(server.generation("steady"), 1);
    assert!(server.plugin("steady")["failed"].is_null());
}

/// Waits until a plugin has failed, and expects all of these words in the reason; the others serve on.
fn expect_failed(server: &Server, name: &str, stage: &str, words: &[&str]) {
    // Looked at in one: what may go better another time is tried again, and is starting meanwhile.
    let failed = |plugin: &Value| plugin["failed"]["stage"] == stage && plugin["state"] == "failed";
    let plugin = server.until_plugin(name, failed);
    let reason = plugin["failed"]["reason"].as_str().unwrap();
    for part in words {
        assert!(reason.contains(part), "{name}: {reason}");
    }
    assert_eq!(plugin["reason"], format!("{stage}: {reason}"));
    // What is no name has no path.
    let expected = if name.contains('%') { 404 } else { 503 };
    assert_eq!(server.get(&format!("/api/v1/p/{name}/")).status, expected);
    expect_steady(server);
}
