//! Executions: what plugins work out for whoever waits for it. The port, and the words. What must not live here: how it is done, and
//! where it is kept.

use crate::{AskError, BoxFuture, ConfigViolation, registry::Actor};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

pub use camlock_api::ExecutionStatus;

/// What a manifest says of a plugin's executions: `[package.metadata.camlock.execute]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExecutionTerms {
    /// What its input must be like, as a JSON Schema.
    pub input: Option<Value>,
    /// What it answers with, as a JSON Schema.
    pub output: Option<Value>,
    /// How many seconds one may take.
    pub seconds: Option<u64>,
}

/// One that somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionOrder {
    /// Of which plugin.
    pub plugin: String,
    /// What it is about.
    pub input: Value,
    /// What the plugin is told of the circumstances.
    pub context: Value,
    /// How long it may take, if it is not as long as usual.
    pub time: Option<Duration>,
    /// Who asks.
    pub by: Actor,
    /// The W3C trace id that it belongs to, or zeros.
    pub trace_id: [u8; 16],
}

impl ExecutionOrder {
    /// One without circumstances, asked for by this program.
    pub fn new(plugin: impl Into<String>, input: Value) -> Self {
        ExecutionOrder {
            plugin: plugin.into(),
            input,
            context: Value::Null,
            time: None,
            by: Actor::Program,
            trace_id: [0; 16],
        }
    }
}

/// What came of one.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionOutcome {
    /// By which it is found in the log.
    pub id: String,
    /// In a word.
    pub status: ExecutionStatus,
    /// What the plugin answered; null unless it succeeded.
    pub result: Value,
    /// Why it did not succeed, in one sentence.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// The generation that was at it, if one was.
    pub generation: Option<u64>,
}

/// Why one was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotExecuted {
    /// Nothing of the plugin serves, and why.
    #[error("{0}")]
    NotServing(String),
    /// Its author wrote nothing that executes.
    #[error("`{0}` executes nothing: it has no `execute`")]
    NotTaken(String),
    /// The input does not fit what the plugin says of it.
    #[error("the input does not fit: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Misfit(Vec<ConfigViolation>),
    /// What was asked for is more than is taken.
    #[error("{0}")]
    TooLarge(String),
    /// As many as may be are at it already.
    #[error("{0}")]
    TooMany(String),
}

/// An execution, as it was logged.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionEntry {
    /// Its id; later ones have greater ids.
    pub id: String,
    /// Of which plugin.
    pub plugin: String,
    /// The generation that was at it, if one was.
    pub generation: Option<u64>,
    /// What came of it.
    pub status: ExecutionStatus,
    /// When it began.
    pub begun: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Bytes of its input and its context.
    pub input_bytes: u64,
    /// Bytes of its result.
    pub output_bytes: u64,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// What it was about, if that is kept.
    pub input: Option<Value>,
    /// What it came to, if that is kept.
    pub result: Option<Value>,
}

/// Which of the logged ones are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionQuery {
    /// Only those that came to this.
    pub status: Option<ExecutionStatus>,
    /// Those before this one.
    pub before: Option<String>,
    /// So many at most.
    pub most: usize,
}

/// What was counted of one plugin's executions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ExecutionCounts {
    /// What came of them, by `ExecutionStatus::ALL`.
    pub ended: [u64; ExecutionStatus::ALL.len()],
    /// How long they took, all together.
    pub seconds: f64,
    /// So many are at it now.
    pub running: u64,
    /// So many ended and are not in the log: the database could not be written to for too long.
    pub unlogged: u64,
}

/// Has plugins work things out.
pub trait Executions: Send + Sync {
    /// Has one worked out. Dropping the future cancels it.
    fn execute(&self, order: ExecutionOrder) -> BoxFuture<Result<ExecutionOutcome, NotExecuted>>;
    /// Those of a plugin that were logged, the newest first, and whether there are more.
    fn logged(&self, plugin: &str, query: ExecutionQuery) -> BoxFuture<Result<(Vec<ExecutionEntry>, bool), AskError>>;
    /// What was counted, by plugin.
    fn counts(&self) -> BTreeMap<String, ExecutionCounts>;
}
