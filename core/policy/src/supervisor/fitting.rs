//! Configurations held against schemas: before a candidate is loaded, before what serves is offered another one, and before an order
//! is put on record; and what of them may be shown.
//!
//! What must not live here: what a schema says (the port), and what a plugin makes of a configuration that fits (`configuring`).

use super::plugin::Plugin;
use crate::{Candidate, ConfigSchema, ConfigViolation, Failure, MASK, Refused, Stage};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

impl Plugin {
    /// The configuration on record as this artifact is to get it: with its schema's defaults. A failure if it does not fit.
    pub(super) fn config_for(&self, artifact: &dyn Candidate) -> Result<Arc<str>, Failure> {
        let Some(schema) = artifact.schema() else { return Ok(self.on_record.config.clone()) };
        match schema.complete(&self.config()) {
            Ok(complete) => Ok(complete.to_string().into()),
            Err(violations) => {
                let violations = self.without_secrets(violations);
                let version = &artifact.manifest().version;
                let does_not = format!("the configuration on record does not fit the schema of version {version}");
                let reason = format!("{does_not}: {}", in_words(&violations));
                Err(Failure::new(Stage::Config, reason))
            }
        }
    }

    fn config(&self) -> Value {
        self.record().map_or_else(|| serde_json::json!({}), |record| record.config.clone())
    }

    /// A configuration that somebody orders, as it is to be put on record. What serves has to accept it.
    pub(super) fn ordered_config(&self, mut config: Value) -> Result<Value, Refused> {
        self.keep_secrets(&mut config)?;
        let Some(schema) = self.serving.as_ref().and_then(|serving| serving.artifact.schema()) else {
            return Ok(config);
        };
        match schema.complete(&config) {
            // Defaults are not put on record: a later version may have others.
            Ok(_) => Ok(config),
            Err(violations) => Err(Refused::Misfit(self.without_secrets(violations))),
        }
    }

    /// What one schema calls a secret may stand in what another one says.
    fn without_secrets(&self, mut violations: Vec<ConfigViolation>) -> Vec<ConfigViolation> {
        let config = self.config();
        let secrets: BTreeSet<_> = self.schemas().flat_map(|schema| schema.sensitive(&config)).collect();
        let is_secret = |pointer: &str| {
            let below = |secret: &String| pointer.strip_prefix(secret.as_str()).map(str::to_owned);
            secrets.iter().filter_map(below).any(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        for violation in violations.iter_mut().filter(|violation| is_secret(&violation.pointer)) {
            "a hidden value".clone_into(&mut violation.found);
        }
        violations
    }

    /// Where an order has what is shown in place of a secret, it means the secret that is on record.
    fn keep_secrets(&self, config: &mut Value) -> Result<(), Refused> {
        let known = self.config();
        let mut lacking = Vec::new();
        for pointer in self.schemas().flat_map(|schema| schema.sensitive(config)).collect::<BTreeSet<_>>() {
            let Some(value) = config.pointer_mut(&pointer).filter(|value| **value == *MASK) else { continue };
            match known.pointer(&pointer) {
                Some(secret) => value.clone_from(secret),
                None => lacking.push(ConfigViolation {
                    pointer,
                    expected: "a secret".to_owned(),
                    found: format!("`{MASK}`, which stands for the one on record, and there is none"),
                }),
            }
        }
        if lacking.is_empty() { Ok(()) } else { Err(Refused::Misfit(lacking)) }
    }

    /// The schemas that say what of its configuration is secret: of what serves, and of what was last prepared.
    fn schemas(&self) -> impl Iterator<Item = Arc<dyn ConfigSchema>> {
        let serving = self.serving.as_ref().and_then(|serving| serving.artifact.schema());
        serving.into_iter().chain(self.past.schema.clone())
    }

    /// The schema of its configuration.
    pub(super) fn schema_text(&self) -> Option<Arc<str>> {
        self.schemas().next().map(|schema| schema.text().into())
    }

    /// Its configuration without what is secret.
    pub(super) fn shown_config(&self) -> Value {
        self.schemas().fold(self.config(), |config, schema| schema.masked(&config))
    }
}

/// The places that do not fit, the first few of them.
fn in_words(violations: &[ConfigViolation]) -> String {
    const MOST: usize = 5;
    let mut words: Vec<_> = violations.iter().take(MOST).map(ConfigViolation::to_string).collect();
    if let Some(more) = violations.len().checked_sub(MOST).filter(|more| *more > 0) {
        words.push(format!("and {more} more"));
    }
    words.join("; ")
}
