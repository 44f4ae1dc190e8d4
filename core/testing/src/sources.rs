//! Texts of the smallest plugins.

/// A single file.
pub fn single(text: &str) -> String {
    format!(
        r#"use camlock_plugin::prelude::*;

struct Plugin1;

impl Plugin for Plugin1 {{
    async fn create(_host: Host) -> Result<Self> {{
        Ok(Plugin1)
    }}

    fn routes(self: Arc<Self>) -> impl Into<Routes> {{
        Router::new().route("/", get(|| async {{ "{text}" }}))
    }}
}}

export!(Plugin1);
"#
    )
}

/// A crate's `Cargo.toml`.
pub fn manifest(name: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\ncamlock-plugin = \"1\"\n"
    )
}
