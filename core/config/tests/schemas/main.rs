//! Configurations held against schemas.

mod checked;
mod completed;
mod documents;
mod hidden;
mod made;
mod suite;

use camlock_config::Schema;
use camlock_policy::{ConfigSchema, ConfigViolation};
use serde_json::Value;

fn schema(document: &Value) -> Schema {
    Schema::read(&document.to_string()).expect("it is a schema")
}

fn complete(document: &Value, config: &Value) -> Result<Value, Vec<ConfigViolation>> {
    schema(document).complete(config)
}

/// Each as a sentence.
fn violations(document: &Value, config: &Value) -> Vec<String> {
    schema(document).check(config).iter().map(ConfigViolation::to_string).collect()
}
