//! What comes of it that plugins' own tables are brought to what a version needs. What must not live here: SQL.

use crate::Failure;

/// On what terms the tables of a version are made ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableTerms {
    /// That something was taken away which this version needs is no reason against it.
    pub back: bool,
    /// No other version needs these tables, or may come back: what takes away need not wait.
    pub alone: bool,
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
    Failed {
        /// Why.
        failure: Failure,
        /// What has run before that, and stays: names of files.
        ran: Vec<String>,
    },
}

impl TablesNotReady {
    /// It cannot be had, and nothing has run.
    pub fn failed(failure: Failure) -> Self {
        TablesNotReady::Failed { failure, ran: Vec::new() }
    }
}
