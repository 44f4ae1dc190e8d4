//! A table as its users define it, and whether there can be one like that.

use super::{ID, KeptColumn, Type, UserTable};
use crate::{
    limits,
    problem::{OrRefused, Refused, shortened},
    value,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Names that mean something else in a path.
const TAKEN_TABLES: [&str; 3] = ["hello", "rpc", "tables"];
/// Names that mean something else in a query.
const TAKEN_COLUMNS: [&str; 10] =
    [ID, "and", "columns", "limit", "not", "offset", "on_conflict", "or", "order", "select"];

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Lower-case letters, digits and single `_`, beginning with a letter. `hello`, `rpc` and `tables` are taken.
    #[schema(example = "people", max_length = 40)]
    pub name: String,
    /// Beside `id`, which every table has by itself.
    #[schema(max_items = 100)]
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Column {
    /// As for tables; other names are taken, `id` among them.
    #[schema(example = "born", max_length = 50)]
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Whether every row must have a value here.
    #[serde(default)]
    pub required: bool,
    /// Whether no two rows may have the same value here.
    #[serde(default)]
    pub unique: bool,
    /// The value of rows that are added without one. Of a timestamp `"now"` is the time at which they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// A value is one of this other column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<Reference>,
}

/// Where a foreign key leads: to `id`, or a unique column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    pub table: String,
    #[serde(default = "id")]
    pub column: String,
    #[serde(default)]
    pub on_delete: OnDelete,
}

fn id() -> String {
    ID.to_owned()
}

/// What becomes of a row when the one that it refers to is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// It keeps the other one from being deleted.
    #[default]
    Restrict,
    /// It is deleted too.
    Cascade,
    /// It refers to nothing from then on.
    SetNull,
}

fn check_name(what: &str, name: &str, most: usize) -> OrRefused<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let good = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(plain)
        && !name.contains("__")
        && !name.ends_with('_')
        && name.len() <= most;
    if good {
        return Ok(());
    }
    Err(Refused::unfit(format!(
        "`{}` is no name for a {what}: at most {most} lower-case letters, digits and single `_` between them, beginning \
         with a letter",
        shortened(name)
    )))
}

impl Definition {
    /// Whether there can be such a table, and how it is kept.
    pub fn check(self) -> OrRefused<UserTable> {
        check_name("table", &self.name, limits::TABLE_NAME)?;
        if TAKEN_TABLES.contains(&self.name.as_str()) {
            return Err(Refused::unfit(format!(
                "no table may be called `{}`: that path has another meaning",
                self.name
            )));
        }
        if !(1..=limits::COLUMNS).contains(&self.columns.len()) {
            let count = self.columns.len();
            return Err(Refused::unfit(format!("a table has 1 to {} columns, not {count}", limits::COLUMNS)));
        }
        let mut names = BTreeSet::new();
        for column in &self.columns {
            column.check()?;
            if !names.insert(column.name.as_str()) {
                return Err(Refused::unfit(format!("there are two columns `{}`", column.name)));
            }
        }
        let mut table = UserTable { name: self.name, columns: Vec::new(), next: 0 };
        self.columns.into_iter().for_each(|column| table.push(column));
        Ok(table)
    }
}

impl Column {
    /// Whether there can be such a column.
    pub fn check(&self) -> OrRefused<()> {
        let name = &self.name;
        check_name("column", name, limits::COLUMN_NAME)?;
        if TAKEN_COLUMNS.contains(&name.as_str()) {
            return Err(Refused::unfit(format!("no column may be called `{name}`: it has another meaning")));
        }
        if let Some(default) = &self.default {
            let fits = self.is_now() || !default.is_null() && value::of_json(self.kind, default).is_ok();
            if !fits {
                return Err(Refused::unfit(format!(
                    "the default of `{name}` is none of its type: it holds {}",
                    self.kind
                )));
            }
        }
        if let Some(reference) = &self.references
            && reference.on_delete == OnDelete::SetNull
            && self.required
        {
            return Err(Refused::unfit(format!("the column `{name}` must have a value, so it cannot be set to null")));
        }
        if self.references.is_some() && self.kind == Type::Json {
            return Err(Refused::unfit(format!("the column `{name}` holds JSON, which refers to nothing")));
        }
        Ok(())
    }

    /// Whether its default is the time.
    pub fn is_now(&self) -> bool {
        self.kind == Type::Timestamp && self.default.as_ref().is_some_and(|default| default == "now")
    }
}

impl UserTable {
    pub(super) fn push(&mut self, column: Column) {
        self.columns.push(KeptColumn { number: self.next, column });
        self.next += 1;
    }
}
