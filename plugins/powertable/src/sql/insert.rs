//! Statements that add rows, many at once.

use super::{Engine, Sql, quoted};
use crate::{
    query::Resolution,
    schema::{ID, UserTable},
};
use camlock_plugin::database::SqlValue;

/// How rows are added to a table.
#[derive(Debug)]
pub struct Insert<'a> {
    pub table: &'a UserTable,
    /// The columns that are written.
    pub columns: &'a [String],
    /// So many of them, the first ones, are changed in a row that is there already.
    pub given: usize,
    pub on_conflict: Option<OnConflict>,
    pub dialect: Engine,
}

/// What becomes of a row that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnConflict {
    /// By which it is known.
    pub column: String,
    pub resolution: Resolution,
}

impl Insert<'_> {
    /// Adds these rows, each with a value for each column. None stands where the table finds one itself.
    pub fn rows(&self, rows: Vec<Vec<Option<SqlValue>>>) -> Sql {
        let names: Vec<_> = self.columns.iter().map(|name| quoted(name)).collect();
        // There is always one, so that rows without any can be written.
        let (names, by_itself) = match names.is_empty() {
            true => (vec![quoted(ID)], true),
            false => (names, false),
        };
        let into = quoted(&self.table.stored());
        let mut sql = Sql { text: format!("INSERT INTO {into} ({}) VALUES ", names.join(", ")), params: Vec::new() };
        for (at, row) in rows.into_iter().enumerate() {
            sql.text += if at == 0 { "(" } else { ",(" };
            if by_itself {
                sql.text += self.found_by_table();
            }
            for (at, value) in row.into_iter().enumerate() {
                if at > 0 {
                    sql.text.push(',');
                }
                match value {
                    Some(value) => sql.value(value),
                    None => sql.text += self.found_by_table(),
                }
            }
            sql.text.push(')');
        }
        if let Some(conflict) = &self.on_conflict {
            sql.text += &format!(" ON CONFLICT ({}) DO ", quoted(&conflict.column));
            let set = |name: &String| format!("{} = excluded.{}", quoted(name), quoted(name));
            let set: Vec<_> =
                self.columns.iter().take(self.given).filter(|name| **name != conflict.column).map(set).collect();
            sql.text += &match conflict.resolution {
                Resolution::IgnoreDuplicates => "NOTHING".to_owned(),
                // The same row once more: it is still told of.
                Resolution::MergeDuplicates if set.is_empty() => {
                    format!("UPDATE SET {0} = excluded.{0}", quoted(&conflict.column))
                }
                Resolution::MergeDuplicates => format!("UPDATE SET {}", set.join(", ")),
            };
        }
        sql
    }

    /// An id that was not given: SQLite finds one for what is null.
    fn found_by_table(&self) -> &'static str {
        match self.dialect {
            Engine::Sqlite => "NULL",
            Engine::Postgres => "DEFAULT",
        }
    }
}
