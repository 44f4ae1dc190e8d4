//! What plugins worked out.

use crate::UtcTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What came of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ExecutionStatus {
    /// There is a result.
    Success,
    /// The plugin failed at it.
    Error,
    /// It did not end in time.
    Timeout,
    /// Nobody waited any more, or the plugin had to go.
    Cancelled,
    /// It tried what the plugin may not do.
    SecurityViolation,
}

impl ExecutionStatus {
    /// All of them.
    pub const ALL: [ExecutionStatus; 5] = [
        ExecutionStatus::Success,
        ExecutionStatus::Error,
        ExecutionStatus::Timeout,
        ExecutionStatus::Cancelled,
        ExecutionStatus::SecurityViolation,
    ];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            ExecutionStatus::Success => "success",
            ExecutionStatus::Error => "error",
            ExecutionStatus::Timeout => "timeout",
            ExecutionStatus::Cancelled => "cancelled",
            ExecutionStatus::SecurityViolation => "security_violation",
        }
    }

    /// The one that is written so.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }
}

/// What came of an execution, for whoever asked for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ExecutionResult))]
pub struct ExecutionResultView {
    /// Its place in the log.
    pub id: String,
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub status: ExecutionStatus,
    /// What the plugin answered; null unless it succeeded.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub result: Value,
    /// Why it did not succeed.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error: Option<String>,
    pub execution_time_ms: u64,
    /// The generation that was at it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub generation: Option<u64>,
}

/// An execution, as it was logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Execution))]
pub struct ExecutionView {
    pub id: String,
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub status: ExecutionStatus,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub begun: UtcTime,
    pub execution_time_ms: u64,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub generation: Option<u64>,
    /// Bytes of its input and its context.
    pub input_bytes: u64,
    pub output_bytes: u64,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// Only where the server keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Only where the server keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}
