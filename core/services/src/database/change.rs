//! What changes a plugin's tables. Pure.

use camlock_policy::MigrationFile;
use std::fmt;

/// What changes a plugin's tables.
#[derive(Clone, Debug)]
pub enum TableChange {
    /// A migration, which runs once and is on record.
    Migration(MigrationFile),
    /// What the plugin itself wants while it runs.
    AtRunTime(String),
}

impl TableChange {
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

impl fmt::Display for TableChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableChange::Migration(file) => write!(formatter, "`migrations/{}`", file.file_name()),
            TableChange::AtRunTime(_) => formatter.write_str("the change"),
        }
    }
}
