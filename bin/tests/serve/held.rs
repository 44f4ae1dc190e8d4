//! Plugins that wait in some part of their lives for as long as a test holds them there.

use camlock_testing::{Server, Site, manifest, single};
use std::{fs, path::PathBuf};

/// From now on plugins wait where they come to this part: `build`, `create`, `start`, `answer`.
pub(crate) fn hold(site: &Site, part: &str) {
    let _ = fs::remove_file(reached(site, part));
    fs::write(held(site, part), "").unwrap();
}

/// They go on.
pub(crate) fn release(site: &Site, part: &str) {
    fs::remove_file(held(site, part)).unwrap();
}

/// Waits until one has come to this part. Where plugins are verified they may write nothing: of `create` this knows in the server.
pub(crate) fn until_reached(site: &Site, server: &Server, part: &str) {
    server.until(|_| reached(site, part).exists(), |is_there| *is_there);
}

/// A build script that waits at `build`.
pub(crate) fn write_script(site: &Site, name: &str) {
    let script = format!("{}\nfn main() {{\n    wait(\"build\");\n}}\n", wait(site));
    site.write(&format!("plugins/{name}/build.rs"), &script);
}

/// A crate with such a script.
pub(crate) fn write_crate(site: &Site, name: &str, text: &str) {
    write_script(site, name);
    site.write(&format!("plugins/{name}/src/lib.rs"), &single(text));
    site.write(&format!("plugins/{name}/Cargo.toml"), &manifest(name));
}

/// A single file that waits at `create` (in the verifying process, too), at `start`, and at `answer` before it answers `/late`.
pub(crate) fn write_file(site: &Site, name: &str, text: &str) {
    let wait = wait(site);
    let text = format!(
        r#"use camlock_plugin::prelude::*;

struct Held;

impl Plugin for Held {{
    async fn create(_host: Host) -> Result<Self> {{
        wait("create");
        Ok(Held)
    }}

    fn routes(self: Arc<Self>) -> impl Into<Routes> {{
        let late = || async {{
            let _ = tokio::task::spawn_blocking(|| wait("answer")).await;
            "late"
        }};
        Router::new().route("/", get(|| async {{ "{text}" }})).route("/late", get(late))
    }}

    async fn start(&self) -> Result<()> {{
        wait("start");
        Ok(())
    }}
}}

export!(Held);

{wait}"#
    );
    site.write(&format!("plugins/{name}.rs"), &text);
}

fn wait(site: &Site) -> String {
    format!(
        r#"fn wait(part: &str) {{
    let path = |what: &str| std::path::Path::new("{}").join(format!("{{what}}-{{part}}"));
    let _ = std::fs::write(path("reached"), "");
    while path("held").exists() {{
        std::thread::sleep(std::time::Duration::from_millis(5));
    }}
}}
"#,
        site.path("").display()
    )
}

fn held(site: &Site, part: &str) -> PathBuf {
    site.path(&format!("held-{part}"))
}

fn reached(site: &Site, part: &str) -> PathBuf {
    site.path(&format!("reached-{part}"))
}
