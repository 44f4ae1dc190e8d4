//! In what the two databases differ, and what is written alike.

use camlock_plugin::database::SqlValue;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// A question that only SQLite answers with yes: it compares without a look at the case.
    pub const QUESTION: &str = "SELECT CAST('a' LIKE 'A' AS INTEGER) AS is_sqlite";

    pub fn of_answer(is_sqlite: bool) -> Self {
        if is_sqlite { Engine::Sqlite } else { Engine::Postgres }
    }
}

/// A name. Those that get here have no quotes in them; should one, it stays within the name.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value, for definitions, which take no parameters.
pub fn literal(value: &SqlValue) -> String {
    match value {
        SqlValue::Bool(yes) => yes.to_string(),
        SqlValue::Integer(number) | SqlValue::Timestamp(number) => number.to_string(),
        SqlValue::Real(number) => format!("{number:?}"),
        SqlValue::Text(text) | SqlValue::Json(text) => format!("'{}'", text.replace('\'', "''")),
        _ => "NULL".to_owned(),
    }
}
