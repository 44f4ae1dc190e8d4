//! Something that a plugin is to work out for whoever waits for it. What must not live here: how it came in.

use crate::{Error, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::fmt;

/// Something to work out at once, for whoever waits for it: see [`Plugin::execute`](crate::Plugin::execute).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Execution {
    /// The host's id of it, by which operators find it again.
    pub id: String,
    /// What it is about.
    #[serde(default)]
    pub input: Value,
    /// What whoever asks says of the circumstances; null if that is nothing.
    #[serde(default)]
    pub context: Value,
}

impl Execution {
    /// One as a host would bring it, for tests.
    pub fn new(input: impl Into<Value>) -> Self {
        Execution { id: "test".to_owned(), input: input.into(), context: Value::Null }
    }

    /// The input, as a type; the error says where it does not fit.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T> {
        serde_path_to_error::deserialize(&self.input).map_err(|error| Error::new(BadInput(error.to_string())))
    }
}

/// The input is not what the plugin takes: whoever asked is told so, and it is no failure of the plugin.
#[derive(Debug)]
pub(crate) struct BadInput(pub(crate) String);

impl fmt::Display for BadInput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the input does not fit: {}", self.0)
    }
}

impl std::error::Error for BadInput {}
