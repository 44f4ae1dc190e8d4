//! The configuration with which a build is tried: nobody has written one, so it is made of its schema.
//!
//! What must not live here: what a schema is (`camlock-config`), and what becomes of a plugin that does not take it.

use super::SCHEMA_FILE;
use camlock_config::Schema;
use std::{fs, sync::Arc};

/// What a build is tried with.
pub(super) struct TrialConfig {
    /// The schema, as text, if there is one.
    pub(super) schema: Option<String>,
    pub(super) config: Arc<str>,
    /// Why it is not one that fits.
    pub(super) lacking: Option<String>,
}

/// Of the schema that the parent found in the library, or else of the one that the plugin told. An error: it is no schema.
pub(super) fn trial_config(told: Option<String>) -> Result<TrialConfig, String> {
    let found = fs::read_to_string(SCHEMA_FILE).ok();
    let _ = fs::remove_file(SCHEMA_FILE);
    let text = match (found, told) {
        (Some(_), Some(_)) => {
            return Err("its configuration has two schemas, the type that `export!` names and the file that its manifest names: \
                        one of them must go"
                .to_owned());
        }
        (found, told) => found.or(told),
    };
    let Some(text) = text else { return Ok(TrialConfig { schema: None, config: "{}".into(), lacking: None }) };
    let schema = Schema::read(&text).map_err(|unusable| unusable.to_string())?;
    let (config, lacking) = match schema.placeholders() {
        Ok(config) => (config, None),
        Err(none) => (schema.with_defaults(serde_json::json!({})), Some(none.to_string())),
    };
    Ok(TrialConfig { schema: Some(text), config: config.to_string().into(), lacking })
}
