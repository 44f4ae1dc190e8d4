//! What a plugin kept outlives it, unless whoever removes it asks for that to go too.

use crate::site;
use std::fs;

const SOURCE: &str = r#"use camlock_plugin::prelude::*;

struct Keeper(Host);

impl Plugin for Keeper {
    async fn create(host: Host) -> Result<Self> {
        Ok(Keeper(host))
    }

    async fn start(&self) -> Result<()> {
        Ok(std::fs::write(self.0.dir()?.join("kept.txt"), "kept")?)
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/", get(|| async { "keeps" }))
    }
}

export!(Keeper);
"#;

#[test]
fn with_all_that_it_kept() {
    let site = site();
    let server = site.start();
    let kept = site.path(".camlock/plugins/keeper/kept.txt");
    let remove = |arguments: &[&str]| {
        let output = site.command().args(["remove", "keeper"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    site.write("plugins/keeper.rs", SOURCE);
    server.until_text("/api/v1/p/keeper/", "keeps");
    remove(&[]);
    assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
    site.write("plugins/keeper.rs", SOURCE);
    server.until_text("/api/v1/p/keeper/", "keeps");
    remove(&["--purge"]);
    assert!(!kept.parent().unwrap().exists(), "its directory went with it");
    // It begins anew, and what it keeps then is kept.
    site.write("plugins/keeper.rs", SOURCE);
    server.until_text("/api/v1/p/keeper/", "keeps");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
}
