//! The port through which a plugin's configuration is held against its schema. What must not live here: JSON Schema.

use camlock_api::ConfigViolation;
use serde_json::Value;
use std::collections::BTreeSet;

/// What is shown in place of a secret. In a configuration that is ordered, it stands for the secret that is on record.
pub const MASK: &str = "********";

/// What a plugin's configuration must be like.
pub trait ConfigSchema: Send + Sync {
    /// The document as its author wrote it, with its titles, descriptions, and order.
    fn text(&self) -> &str;

    /// The configuration with all defaults filled in, or what of it does not fit.
    fn complete(&self, config: &Value) -> Result<Value, Vec<ConfigViolation>>;

    /// JSON pointers to what is secret in a configuration.
    fn sensitive(&self, config: &Value) -> BTreeSet<String>;

    /// The configuration as it may be shown: without what is secret.
    fn masked(&self, config: &Value) -> Value;
}
