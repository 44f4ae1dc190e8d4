//! What operators may set. All of it can be changed while the plugin runs.

use serde::Deserialize;
use std::num::NonZeroU64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How many rows an answer has at most. If nobody says, as many as there are.
    pub max_rows: Option<NonZeroU64>,
}
