//! What happened.

use crate::UtcTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Entry))]
pub struct JournalEntry {
    /// Its place in the journal: `after` and `Last-Event-ID` take it.
    pub id: String,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: UtcTime,
    /// The server; null if it was decided in the database.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub node: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub plugin: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub generation: Option<u64>,
    /// What, in a word.
    pub what: String,
    /// Who: a token's name, `filesystem`, `registry`, `health`.
    pub by: String,
    /// More about it.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub detail: Value,
}
