//! What changes a plugin's tables. Pure.

use camlock_policy::MigrationFile;
use std::fmt;

/// What changes a plugin's tables.
#[derive(Clone, Copy, Debug)]
pub enum TableChange<'a> {
    /// A migration, which runs once and is on record.
    Migration(&'a MigrationFile),
    /// What the plugin itself wants while it runs.
    AtRunTime(&'a str),
}

impl TableChange<'_> {
    /// Its SQL.
    pub(super) fn text(&self) -> &str {
        match self {
            TableChange::Migration(file) => &file.text,
            TableChange::AtRunTime(text) => text,
        }
    }

    /// What goes on record.
    pub(super) fn file(&self) -> Option<&MigrationFile> {
        match self {
            TableChange::Migration(file) => Some(file),
            TableChange::AtRunTime(_) => None,
        }
    }
}

impl fmt::Display for TableChange<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableChange::Migration(file) => write!(formatter, "`migrations/{}`", file.file_name()),
            TableChange::AtRunTime(_) => formatter.write_str("the change"),
        }
    }
}
