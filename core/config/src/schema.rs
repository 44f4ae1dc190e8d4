//! A schema that can be used: all that is asked of it.

use crate::{
    defaults, document,
    placeholders::{self, NoPlaceholder},
    sensitive, violations,
    walk::Place,
};
use camlock_policy::{ConfigSchema, ConfigViolation};
use jsonschema::Validator;
use referencing::Registry;
use serde_json::Value;
use std::{collections::BTreeSet, fmt};

/// A longer document is not read.
pub const LARGEST_SCHEMA: usize = 256 * 1024;

/// Why a document is no schema for a configuration: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its configuration schema cannot be used: {0}")]
pub struct UnusableSchema(pub(crate) String);

impl UnusableSchema {
    /// Why, whatever the document is the schema of.
    pub fn reason(&self) -> &str {
        &self.0
    }
}

/// What a configuration must be like.
pub struct Schema {
    text: String,
    validator: Validator,
    /// The document, and where its references lead.
    registry: Registry<'static>,
    address: referencing::Uri<String>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Schema").field(&self.text).finish()
    }
}

impl Schema {
    /// Reads a document. No reference in it may lead outside.
    pub fn read(text: &str) -> Result<Self, UnusableSchema> {
        let read = document::read(text)?;
        let validator = document::validator(&read)?;
        let (registry, address) = document::registry(&read)?;
        Ok(Schema { text: text.to_owned(), validator, registry, address })
    }

    fn root(&self) -> Option<Place<'_>> {
        let resolved = self.registry.resolver(self.address.clone()).lookup("").ok()?;
        let (schema, resolver, _) = resolved.into_inner();
        Some(Place::new(schema, resolver))
    }

    /// What of a configuration does not fit, as it is, in the order of the document's rules; nothing that is sensitive stands in it.
    pub fn check(&self, config: &Value) -> Vec<ConfigViolation> {
        violations::of(self.validator.iter_errors(config), &self.masked(config))
    }

    /// The configuration with what it does not say and the schema does.
    #[must_use]
    pub fn with_defaults(&self, mut config: Value) -> Value {
        if let Some(root) = self.root() {
            defaults::fill_in(&root, &mut config);
        }
        config
    }

    /// A configuration that fits, where nobody has written one: the schema's defaults, and placeholders for what has none.
    pub fn placeholders(&self) -> Result<Value, NoPlaceholder> {
        let Some(root) = self.root() else { return Ok(Value::Object(serde_json::Map::new())) };
        placeholders::make(&root, |config| self.check(config).into_iter().next())
    }
}

impl ConfigSchema for Schema {
    fn text(&self) -> &str {
        &self.text
    }

    fn complete(&self, config: &Value) -> Result<Value, Vec<ConfigViolation>> {
        let complete = self.with_defaults(config.clone());
        let violations = self.check(&complete);
        if violations.is_empty() { Ok(complete) } else { Err(violations) }
    }

    fn sensitive(&self, config: &Value) -> BTreeSet<String> {
        // Without its root nothing of it would be known, and everything is hidden.
        self.root().map_or_else(|| BTreeSet::from([String::new()]), |root| sensitive::pointers(&root, config))
    }

    fn masked(&self, config: &Value) -> Value {
        self.root().map_or(Value::Null, |root| sensitive::masked(&root, config))
    }
}
