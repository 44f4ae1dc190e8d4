//! Why a candidate did not come to serve, in the words that people see.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The stage at which a candidate failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its entry or its manifest cannot be used.
    Manifest,
    /// It was not compiled.
    Build,
    /// It did not pass the verifying process.
    Verify,
    /// It could not be opened, or `create` failed.
    Load,
    /// `restore` or `start` failed.
    Start,
    /// It was not well.
    Health,
    /// It claims what belongs to another.
    Routes,
    /// What it depends on is not there, or what depends on it would be left without it.
    Dependencies,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Stage::Manifest => "manifest",
            Stage::Build => "build",
            Stage::Verify => "verify",
            Stage::Load => "load",
            Stage::Start => "start",
            Stage::Health => "health",
            Stage::Routes => "routes",
            Stage::Dependencies => "dependencies",
        })
    }
}

/// One failure: where, why in one sentence, and what a compiler said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {reason}")]
pub struct Failure {
    /// The stage at which it happened.
    pub stage: Stage,
    /// One sentence: what is wrong, where, what to do.
    pub reason: String,
    /// What the compiler said, if it was asked.
    pub diagnostics: Vec<Diagnostic>,
    /// The same bytes may well succeed later: a time-out, no memory, no network, a full disk. It is tried again.
    pub transient: bool,
}

impl Failure {
    /// A failure that would come again.
    pub fn new(stage: Stage, reason: impl Into<String>) -> Self {
        Failure { stage, reason: reason.into(), diagnostics: Vec::new(), transient: false }
    }

    /// A failure that may pass.
    pub fn transient(stage: Stage, reason: impl Into<String>) -> Self {
        Failure { transient: true, ..Failure::new(stage, reason) }
    }
}

/// A message of the compiler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The file, relative to the plugin's own directory where it lies in it; empty if the message has no place.
    pub file: String,
    /// The line, from 1; 0 if the message has no place.
    pub line: u32,
    /// The message in one line, without its place.
    pub message: String,
    /// Whole, as the compiler prints it, without colours.
    pub rendered: String,
}
