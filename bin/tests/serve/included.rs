//! Files outside of a plugin's folder that its source includes.

use crate::site;
use camlock_testing::{manifest, single};

/// What a build teaches (that there is such a file) is no change of it; a change of the file is one.
#[test]
fn a_file_outside_is_a_reason_to_reload_when_it_changes() {
    let site = site();
    let source = single("text").replace("\"text\"", "include_str!(\"../../../outside.txt\")");
    assert!(source.contains("include_str"), "{source}");
    site.write("outside.txt", "one");
    site.write("plugins/includes/Cargo.toml", &manifest("includes"));
    site.write("plugins/includes/src/lib.rs", &source);
    let server = site.start();
    let generation = || server.plugin("includes")["serving"]["generation"].as_u64().unwrap();
    server.until_text("/api/v1/p/includes/", "one");
    // A later look at the directory finds this, and nothing new of the other.
    let look_again = |name: &str| {
        site.write(&format!("plugins/{name}/Cargo.toml"), "no manifest");
        server.until(|server| server.get(&format!("/plugins/{name}")).status, |status| *status == 200);
    };
    look_again("broken-one");
    assert_eq!(generation(), 1);
    site.write("outside.txt", "two");
    server.until_text("/api/v1/p/includes/", "two");
    look_again("broken-two");
    assert_eq!(generation(), 2);
    assert!(server.end().0.success());
}
