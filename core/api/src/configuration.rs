//! Where a configuration does not fit its schema.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A place of a configuration that does not fit. Nothing that is secret stands in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigViolation {
    /// The place, as a JSON pointer; empty for the whole.
    pub pointer: String,
    /// What the schema asks for there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for ConfigViolation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => write!(formatter, "expected {}, found {}", self.expected, self.found),
            pointer => write!(formatter, "at `{pointer}`: expected {}, found {}", self.expected, self.found),
        }
    }
}
