//! Why a candidate did not come to serve, in the words that people see.

use camlock_api::{Diagnostic, FailureView, Stage};
use std::time::SystemTime;

/// One failure: where, why in one sentence, and what a compiler said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {reason}")]
pub struct Failure {
    /// Where.
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

    /// As people see it, of this candidate.
    pub fn view(&self, generation: u64, at: SystemTime) -> FailureView {
        FailureView {
            generation,
            stage: self.stage,
            reason: self.reason.clone(),
            at: at.into(),
            diagnostics: self.diagnostics.clone(),
        }
    }
}
