//! What plugins say of their executions, read once for each generation. What must not live here: how a schema is read.

use camlock_policy::{ConfigSchema, ConfigViolation, ExecutionTerms};
use parking_lot::Mutex;
use serde_json::Value;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Reads a schema's document; else why it is none, in one sentence.
pub type SchemaReader = fn(&str) -> Result<Arc<dyn ConfigSchema>, String>;

/// What is known of a plugin's executions.
#[derive(Clone, Default)]
pub(super) struct KnownTerms {
    /// How long one may take, if the plugin says so.
    pub(super) time: Option<Duration>,
    input: Option<Arc<dyn ConfigSchema>>,
    output: Option<Arc<dyn ConfigSchema>>,
}

impl KnownTerms {
    /// The input with its defaults, or what of it does not fit.
    pub(super) fn input(&self, input: Value) -> Result<Value, Vec<ConfigViolation>> {
        match &self.input {
            Some(schema) => schema.complete(&input),
            None => Ok(input),
        }
    }

    /// What of a result does not fit, if something does not.
    pub(super) fn misfits(&self, result: &Value) -> Option<String> {
        let violations = self.output.as_ref()?.complete(result).err()?;
        Some(violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

/// A generation's number, and its terms.
type TermsOfGeneration = (u64, Arc<KnownTerms>);

/// Those of all plugins.
pub(super) struct ExecutionSchemas {
    reader: SchemaReader,
    known: Mutex<HashMap<Arc<str>, TermsOfGeneration>>,
}

impl ExecutionSchemas {
    pub(super) fn new(reader: SchemaReader) -> Self {
        ExecutionSchemas { reader, known: Mutex::default() }
    }

    /// That of a generation, whose manifest says this.
    pub(super) fn of(
        &self,
        plugin: &Arc<str>,
        generation: u64,
        told: &ExecutionTerms,
    ) -> Result<Arc<KnownTerms>, String> {
        if let Some((known, terms)) = self.known.lock().get(plugin)
            && *known == generation
        {
            return Ok(terms.clone());
        }
        let read =
            |schema: &Option<Value>| schema.as_ref().map(|schema| (self.reader)(&schema.to_string())).transpose();
        let terms = Arc::new(KnownTerms {
            time: told.seconds.map(Duration::from_secs),
            input: read(&told.input)?,
            output: read(&told.output)?,
        });
        self.known.lock().insert(plugin.clone(), (generation, terms.clone()));
        Ok(terms)
    }
}
