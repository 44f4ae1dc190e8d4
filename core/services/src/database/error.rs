//! Why a migration did not run.

/// Why a migration did not run. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// The database refused a statement in it, or it took too long.
    #[error("`migrations/{file}` failed: {why}")]
    Failed {
        /// The file's name.
        file: String,
        /// What the database said.
        why: String,
    },
    /// It did something that a migration of this plugin may not do.
    #[error("`migrations/{file}` was taken back: {what}")]
    Escaped {
        /// The file's name.
        file: String,
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
