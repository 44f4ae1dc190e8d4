//! A change of a table that is there.

use super::{Column, UserTable};
use crate::{
    limits,
    problem::{OrRefused, Refused},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One change of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// One more column. Where there are rows and it is required, it needs a default.
    AddColumn(Column),
    /// The column of this name goes, and what is in it.
    DropColumn(String),
    RenameColumn {
        from: String,
        to: String,
    },
    /// Whether the values of a column are unique from now on.
    SetUnique {
        column: String,
        unique: bool,
    },
}

impl Change {
    /// The table as it is afterwards.
    pub fn apply(&self, table: &UserTable) -> OrRefused<UserTable> {
        let mut changed = table.clone();
        match self {
            Change::AddColumn(column) => {
                column.check()?;
                changed.is_free(&column.name)?;
                if changed.columns.len() >= limits::COLUMNS {
                    return Err(Refused::unfit(format!("a table has at most {} columns", limits::COLUMNS)));
                }
                if column.required && (column.default.is_none() || column.is_now()) {
                    let words = "a column that must have a value is added with a default for the rows that are there";
                    return Err(Refused::unfit(words));
                }
                if column.references.is_some() && column.default.is_some() {
                    return Err(Refused::unfit("a column that refers to another is added without a default"));
                }
                changed.push(column.clone());
            }
            Change::DropColumn(name) => {
                changed.place(name)?;
                if changed.columns.len() == 1 {
                    return Err(Refused::unfit("it is the only column"));
                }
                changed.columns.retain(|kept| kept.column.name != *name);
            }
            Change::RenameColumn { from, to } => {
                changed.is_free(to)?;
                let place = changed.place(from)?;
                changed.columns[place].column.name.clone_from(to);
                changed.columns[place].column.check()?;
            }
            Change::SetUnique { column, unique } => {
                let place = changed.place(column)?;
                changed.columns[place].column.unique = *unique;
            }
        }
        Ok(changed)
    }
}

impl UserTable {
    pub(super) fn place(&self, name: &str) -> OrRefused<usize> {
        let place = self.columns.iter().position(|kept| kept.column.name == name);
        place.ok_or_else(|| self.lacks(name))
    }

    fn is_free(&self, name: &str) -> OrRefused<()> {
        match self.find(name) {
            Some(_) => Err(Refused::conflict(format!("there is a column `{name}` already"))),
            None => Ok(()),
        }
    }
}
