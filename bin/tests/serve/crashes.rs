//! Plugins that end the server: the next start knows who it was, leaves that one out, and tells.

use crate::site;
use camlock_testing::{Server, Site, request, single};
use std::os::unix::process::ExitStatusExt;

/// The source of a plugin that does this in `start`, and this when its root is asked for.
fn source(start: &str, handler: &str) -> String {
    format!(
        r#"use camlock_plugin::prelude::*;

struct Fatal;

impl Plugin for Fatal {{
    async fn create(_host: Host) -> Result<Self> {{
        Ok(Fatal)
    }}

    async fn start(&self) -> Result<()> {{
        {start}
        Ok(())
    }}

    fn routes(self: Arc<Self>) -> impl Into<Routes> {{
        Router::new().route("/", get(|| async {{ {handler} }})).route("/well", get(|| async {{ "well" }}))
    }}
}}

export!(Fatal);
"#
    )
}

/// What a command prints.
fn printed(site: &Site, arguments: &[&str]) -> String {
    let output = site.command().args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The next server serves the others, and says of this one what it did.
fn expect_told(site: &Site, server: &Server, reason: &str) {
    server.until_text("/api/v1/p/steady/", "steady");
    let plugin = server.until_plugin("fatal", |plugin| plugin["state"] == "quarantined");
    let told = plugin["failed"]["reason"].as_str().unwrap();
    assert!(told.starts_with(&format!("these bytes are under quarantine: {reason} (")), "{told}");
    for command in [&["events", "--plugin", "fatal"][..], &["show", "fatal"], &["doctor"]] {
        let printed = printed(site, command);
        assert!(printed.contains(reason), "camlock {}: {printed}", command.join(" "));
    }
}

#[test]
fn a_plugin_that_aborts_in_start() {
    let site = site();
    site.write("plugins/steady.rs", &single("steady"));
    let server = site.start();
    server.until_text("/api/v1/p/steady/", "steady");
    site.write("plugins/fatal.rs", &source("std::process::abort();", r#""never""#));
    let (status, printed) = server.wait();
    assert_eq!(status.signal(), Some(6), "{printed}");

    // Before, every start ended like this.
    for _ in 0..2 {
        let server = site.start();
        expect_told(&site, &server, "the server ended with SIGABRT while its `start` ran");
        let (status, printed) = server.end();
        assert!(status.success(), "{status}: {printed}");
    }
    // Other bytes are another matter.
    let server = site.start();
    site.write("plugins/fatal.rs", &source("", r#""mended""#));
    server.until_text("/api/v1/p/fatal/", "mended");
}

#[test]
fn a_plugin_that_aborts_in_a_handler() {
    let site = site();
    site.write("plugins/steady.rs", &single("steady"));
    site.write("plugins/fatal.rs", &source("", r#"std::process::abort(); #[allow(unreachable_code)] "never""#));
    let server = site.start();
    server.until_text("/api/v1/p/steady/", "steady");
    server.until_text("/api/v1/p/fatal/well", "well");
    // It gets no answer.
    let _ = request(server.address, "GET", "/api/v1/p/fatal/", &[]);
    let (status, printed) = server.wait();
    assert_eq!(status.signal(), Some(6), "{printed}");
    let server = site.start();
    expect_told(&site, &server, "the server ended with SIGABRT in its code while it served");
}
