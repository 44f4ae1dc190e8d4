//! What comes of it that plugins' own tables are brought to what a version needs. What must not live here: SQL.

use crate::Failure;

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
