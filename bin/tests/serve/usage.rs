//! What a plugin takes of the server, told while it does: descriptors that it has open, threads that its handlers block.

use crate::site;
use camlock_testing::{Site, request};
use std::{process::Command, thread};

const SOURCE: &str = r#"use camlock_plugin::prelude::*;
use std::{fs::File, sync::Mutex, thread, time::Duration};

struct Greedy;

static OPEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

impl Plugin for Greedy {
    async fn create(_host: Host) -> Result<Self> {
        Ok(Greedy)
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        let open = || async {
            OPEN.lock().unwrap().extend((0..5).map(|_| File::open("/dev/null").unwrap()));
            "open"
        };
        let block = || async {
            thread::sleep(Duration::from_secs(4));
            "over"
        };
        Router::new().route("/open", get(open)).route("/block", get(block))
    }

    async fn shutdown(&self) {
        OPEN.lock().unwrap().clear();
    }
}

export!(Greedy);
"#;

fn printed(site: &Site, arguments: &[&str]) -> String {
    let mut command: Command = site.command();
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn descriptors_and_blocked_threads() {
    let site = site();
    site.write("plugins/greedy.rs", SOURCE);
    let server = site.start();
    let before = server.until_serving("greedy")["serving"]["descriptors"].as_u64().unwrap();
    server.until_text("/api/v1/p/greedy/open", "open");
    assert_eq!(server.plugin("greedy")["serving"]["descriptors"], before + 5);
    let shown = printed(&site, &["show", "greedy"]);
    assert!(shown.contains(&format!("{} descriptors", before + 5)), "{shown}");
    assert!(server.get("/metrics").text.contains(&format!("descriptors{{plugin=\"greedy\"}} {}", before + 5)));

    assert!(!printed(&site, &["list"]).contains("blocks"));
    let address = server.address;
    let blocked = thread::spawn(move || request(address, "GET", "/api/v1/p/greedy/block", &[]).unwrap().text);
    server.until(|_| printed(&site, &["list"]), |listed| listed.contains("greedy blocks 1 thread, for "));
    assert_eq!(blocked.join().unwrap(), "over");
    server.until(|_| printed(&site, &["list"]), |listed| !listed.contains("blocks"));
}
