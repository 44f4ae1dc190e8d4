//! What plugins log, and up to which level it is kept.

use crate::UtcTime;
use serde::{Deserialize, Deserializer, Serialize};

/// A line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// Its number, in this process.
    pub id: u64,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: UtcTime,
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub level: LogLevel,
    pub message: String,
    /// Other fields, as text.
    pub fields: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub generation: Option<u64>,
    /// The trace that it belongs to.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub trace_id: Option<String>,
    /// Where it was written.
    pub module: String,
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Level))]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// Up to which level a plugin's lines are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Loudness))]
pub struct PluginLogLevel {
    /// `null`: as the server's filter has it.
    #[serde(deserialize_with = "null_or_level")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub level: Option<LogLevel>,
}

/// It may be null, and it must be there.
fn null_or_level<'de, D: Deserializer<'de>>(value: D) -> Result<Option<LogLevel>, D::Error> {
    Option::deserialize(value)
}
