//! What a table is made of, and whether a row fits.

use crate::{
    cell::{Cell, Type},
    limits,
    refused::Refused,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Names that mean something else in a row or in a query.
const RESERVED: [&str; 4] = ["id", "limit", "offset", "sort"];

/// A row as it is sent: a value for each column that is to have one.
pub type Given = BTreeMap<String, serde_json::Value>;

/// A table, before there are rows in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Lower-case letters, digits and `_`, beginning with a letter.
    #[schema(example = "people")]
    pub name: String,
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// As for tables. `id`, `limit`, `offset` and `sort` are taken.
    #[schema(example = "born")]
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Whether every row must have a value here.
    #[serde(default)]
    pub required: bool,
}

fn check_name(what: &str, name: &str) -> Result<(), Refused> {
    let good = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.len() <= limits::NAME;
    match good {
        true => Ok(()),
        false => Err(Refused::unfit(format!(
            "`{}` is no name for a {what}: at most {} lower-case letters, digits and `_`, beginning with a letter",
            name.chars().take(limits::NAME).collect::<String>(),
            limits::NAME
        ))),
    }
}

impl Definition {
    /// Whether there can be such a table.
    pub fn check(&self) -> Result<(), Refused> {
        check_name("table", &self.name)?;
        if !(1..=limits::COLUMNS).contains(&self.columns.len()) {
            let count = self.columns.len();
            return Err(Refused::unfit(format!("a table has 1 to {} columns, not {count}", limits::COLUMNS)));
        }
        let mut names = BTreeSet::new();
        for column in &self.columns {
            let name = column.name.as_str();
            check_name("column", name)?;
            if RESERVED.contains(&name) {
                return Err(Refused::unfit(format!("no column may be called `{name}`: it has another meaning")));
            }
            if !names.insert(name) {
                return Err(Refused::unfit(format!("there are two columns `{name}`")));
            }
        }
        Ok(())
    }

    /// The place of a column.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// A sentence about a column that is not there.
    pub fn lacks(&self, name: &str) -> String {
        let names: Vec<_> = self.columns.iter().map(|column| format!("`{}`", column.name)).collect();
        let name: String = name.chars().take(limits::NAME).collect();
        format!("the table `{}` has no column `{name}`; it has {}", self.name, names.join(", "))
    }

    /// A new row.
    pub fn row(&self, given: Given) -> Result<Vec<Cell>, Refused> {
        self.changed(vec![Cell::Nothing; self.columns.len()], given)
    }

    /// A row with other values in the columns that are given.
    pub fn changed(&self, mut cells: Vec<Cell>, given: Given) -> Result<Vec<Cell>, Refused> {
        for (name, json) in given {
            let place = self.place(&name).ok_or_else(|| Refused::unfit(self.lacks(&name)))?;
            cells[place] = Cell::from_json(self.columns[place].kind, json)
                .map_err(|reason| Refused::unfit(format!("column `{name}` {reason}")))?;
        }
        let missing = self.columns.iter().zip(&cells).find(|(column, cell)| column.required && **cell == Cell::Nothing);
        match missing {
            Some((column, _)) => Err(Refused::unfit(format!("column `{}` must have a value", column.name))),
            None => Ok(cells),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    pub(crate) fn people() -> Definition {
        definition(json!([
            {"name": "name", "type": "text", "required": true},
            {"name": "born", "type": "integer"},
            {"name": "height", "type": "number"},
            {"name": "alive", "type": "boolean"},
        ]))
    }

    fn definition(columns: Json) -> Definition {
        serde_json::from_value(json!({"name": "people", "columns": columns})).unwrap()
    }

    pub(crate) fn given(row: Json) -> Given {
        serde_json::from_value(row).unwrap()
    }

    fn column(name: &str) -> Json {
        json!({"name": name, "type": "text"})
    }

    #[test]
    fn definitions_are_checked() {
        people().check().unwrap();
        let many: Vec<_> = (0..33).map(|number| column(&format!("c{number}"))).collect();
        let bad = [
            (json!([]), "a table has 1 to 32 columns, not 0"),
            (json!(many), "a table has 1 to 32 columns, not 33"),
            (json!([column("Name")]), "`Name` is no name for a column"),
            (json!([column("")]), "`` is no name for a column"),
            (json!([column(&"x".repeat(51))]), "is no name for a column"),
            (json!([column("sort")]), "no column may be called `sort`"),
            (json!([column("a"), column("a")]), "there are two columns `a`"),
        ];
        for (columns, reason) in bad {
            let refused = definition(columns).check().unwrap_err();
            assert!(refused.detail.contains(reason), "{refused:?}");
        }
    }

    #[test]
    fn rows_are_checked() {
        let row = people().row(given(json!({"name": "Ada", "born": 1815}))).unwrap();
        assert_eq!(row, [Cell::Text("Ada".into()), Cell::Integer(1815), Cell::Nothing, Cell::Nothing]);
        let changed = people().changed(row, given(json!({"born": null, "alive": false}))).unwrap();
        assert_eq!(changed, [Cell::Text("Ada".into()), Cell::Nothing, Cell::Nothing, Cell::Boolean(false)]);
        let bad = [
            (json!({}), "column `name` must have a value"),
            (json!({"name": null}), "column `name` must have a value"),
            (json!({"name": "Ada", "born": "1815"}), "column `born` holds integers of 64 bits, not a text"),
            (
                json!({"name": "Ada", "died": 1852}),
                "the table `people` has no column `died`; it has `name`, `born`, `height`, `alive`",
            ),
        ];
        for (row, reason) in bad {
            assert_eq!(people().row(given(row)), Err(Refused::unfit(reason)));
        }
    }
}
