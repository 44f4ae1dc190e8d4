//! The one thing people come for, from beginning to end.

use crate::site;
use camlock_testing::single;
use std::fs;

#[test]
fn drop_edit_break_mend_delete() {
    let site = site();
    let server = site.start();
    site.write("plugins/steady.rs", &single("steady"));
    server.until_text("/api/v1/p/steady/", "steady");
    let untouched = server.load("/api/v1/p/steady/");

    site.write("plugins/hello.rs", &single("one"));
    server.until_text("/api/v1/p/hello/", "one");
    let load = server.load("/api/v1/p/hello/");

    site.write("plugins/hello.rs", &single("two"));
    server.until_text("/api/v1/p/hello/", "two");

    site.write("plugins/hello.rs", &single("three").replace("get(", "got("));
    let reason = server.until_failed("hello", "build");
    assert!(reason.contains("hello.rs:11"), "{reason}");
    let failed = server.plugin("hello")["failed"].clone();
    let diagnostic = &failed["diagnostics"][0];
    assert_eq!((diagnostic["file"].as_str(), diagnostic["line"].as_u64()), (Some("hello.rs"), Some(11)), "{failed:#}");
    assert!(diagnostic["rendered"].as_str().unwrap().contains("cannot find function `got`"), "{failed:#}");
    assert_eq!(server.get("/api/v1/p/hello/").text, "two");

    site.write("plugins/hello.rs", &single("three"));
    server.until_text("/api/v1/p/hello/", "three");
    assert!(server.plugin("hello")["failed"].is_null());

    let (good, bad) = load.end();
    assert!(good > 0 && bad.is_empty(), "{good} {bad:#?}");
    fs::remove_file(site.path("plugins/hello.rs")).unwrap();
    server.until_status("/api/v1/p/hello/", 404);
    server.until_plugin("hello", |plugin| plugin["state"] == "missing" && plugin["draining"] == serde_json::json!([]));
    let (good, bad) = untouched.end();
    assert!(good > 0 && bad.is_empty(), "{good} {bad:#?}");
    assert_eq!(server.generation("steady"), 1);
    let (status, _) = server.end();
    assert!(status.success());
}
