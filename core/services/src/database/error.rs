//! Why a migration did not run.

use camlock_policy::{AskError, AskErrorCode};

/// Why a migration, or another change of tables, did not run. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// The database refused a statement in it, or it took too long.
    #[error("{change} failed: {why}")]
    Failed {
        /// What was to run.
        change: String,
        /// What the database said.
        why: String,
    },
    /// It did something that a migration of this plugin may not do.
    #[error("{change} was taken back: {what}")]
    Escaped {
        /// What was to run.
        change: String,
        /// What it did.
        what: String,
    },
    /// What is on record does not go with it.
    #[error("{0}")]
    Refused(String),
    /// The database cannot be used for this.
    #[error("{0}")]
    Unavailable(String),
}

impl From<MigrationError> for AskError {
    fn from(error: MigrationError) -> Self {
        let code = match error {
            MigrationError::Failed { .. } | MigrationError::Refused(_) => AskErrorCode::Invalid,
            MigrationError::Escaped { .. } => AskErrorCode::Denied,
            MigrationError::Unavailable(_) => AskErrorCode::Unavailable,
        };
        AskError::new(code, error.to_string())
    }
}
