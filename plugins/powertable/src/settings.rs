//! What operators may set. All of it can be changed while the plugin runs.

use crate::limits;
use serde::Deserialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How many rows a table may have. One that has more keeps them, and takes no others.
    pub rows_per_table: Rows,
}

/// A number of rows that can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "usize")]
pub struct Rows(pub usize);

impl Default for Rows {
    fn default() -> Self {
        Rows(limits::ROWS)
    }
}

impl TryFrom<usize> for Rows {
    type Error = String;

    fn try_from(rows: usize) -> Result<Self, String> {
        match rows {
            1..=limits::MOST_ROWS => Ok(Rows(rows)),
            _ => Err(format!("a table can have 1 to {} rows, not {rows}", limits::MOST_ROWS)),
        }
    }
}
