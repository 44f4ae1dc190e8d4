//! The port through which plugins' own tables are brought to what a version needs. What must not live here: SQL.

use crate::{BoxFuture, Failure, MigrationFile};

/// Plugins' own tables.
pub trait Tables: Send + Sync {
    /// Runs what has to run before a version with these migrations starts. What an earlier version needs is left alone.
    ///
    /// `back`: that something was taken away which this version needs is no reason against it.
    fn make_ready(
        &self,
        plugin: &str,
        files: Vec<MigrationFile>,
        back: bool,
    ) -> BoxFuture<Result<TablesReady, TablesNotReady>>;

    /// Takes away what only versions before this one needed.
    fn contract(&self, plugin: &str, files: Vec<MigrationFile>) -> BoxFuture<Result<Vec<String>, Failure>>;
}

/// A version may start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablesReady {
    /// What has run for that just now: names of files.
    pub ran: Vec<String>,
    /// Whether something is to be taken away once the version has shown that it stays.
    pub contracts: bool,
}

/// A version may not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TablesNotReady {
    /// Not yet: a sentence says for what it waits.
    Waits(String),
    /// It cannot be had as it is.
    Failed(Failure),
}
