//! A value in a row, and the types of columns.

use crate::limits;
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, fmt};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{self, ObjectBuilder, SchemaType},
    },
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    Text,
    Integer,
    Number,
    Boolean,
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Type::Text => "texts",
            Type::Integer => "integers of 64 bits",
            Type::Number => "numbers",
            Type::Boolean => "true or false",
        })
    }
}

/// What stands in a row under a column. `null` stands where there is nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    Nothing,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl PartialSchema for Cell {
    fn schema() -> RefOr<Schema> {
        use schema::Type as Json;
        let types = [Json::Null, Json::Boolean, Json::Number, Json::String];
        let description = "A text, an integer, a number or a boolean, as its column says; or null.";
        ObjectBuilder::new()
            .schema_type(types.into_iter().collect::<SchemaType>())
            .description(Some(description))
            .into()
    }
}

impl ToSchema for Cell {}

impl Cell {
    /// Takes a value out of JSON. The error ends a sentence that names the column.
    pub fn from_json(wanted: Type, json: serde_json::Value) -> Result<Cell, String> {
        use serde_json::Value as Json;
        let value = match (wanted, &json) {
            (_, Json::Null) => Some(Cell::Nothing),
            (Type::Boolean, Json::Bool(truth)) => Some(Cell::Boolean(*truth)),
            (Type::Integer, Json::Number(number)) => number.as_i64().map(Cell::Integer),
            (Type::Number, Json::Number(number)) => number.as_f64().map(Cell::Number),
            (Type::Text, Json::String(text)) => return within_bounds(text).map(Cell::Text),
            _ => None,
        };
        value.ok_or_else(|| {
            let given = match json {
                Json::Bool(_) => "a boolean".to_owned(),
                Json::Number(number) => number.to_string(),
                Json::String(_) => "a text".to_owned(),
                Json::Array(_) => "an array".to_owned(),
                Json::Object(_) => "an object".to_owned(),
                Json::Null => "null".to_owned(),
            };
            format!("holds {wanted}, not {given}")
        })
    }

    /// Takes a value out of a query. The error ends a sentence that names the column.
    pub fn from_text(wanted: Type, text: &str) -> Result<Cell, String> {
        let value = match wanted {
            Type::Text => Some(Cell::Text(text.to_owned())),
            Type::Integer => text.parse().ok().map(Cell::Integer),
            Type::Number => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Cell::Number),
            Type::Boolean => text.parse().ok().map(Cell::Boolean),
        };
        value.ok_or_else(|| format!("holds {wanted}, so nothing in it can equal `{text}`"))
    }

    /// The order of one column's values: nothing comes first, texts by their characters.
    pub fn order(&self, other: &Cell) -> Ordering {
        match (self, other) {
            (Cell::Boolean(one), Cell::Boolean(other)) => one.cmp(other),
            (Cell::Integer(one), Cell::Integer(other)) => one.cmp(other),
            (Cell::Number(one), Cell::Number(other)) => one.total_cmp(other),
            (Cell::Text(one), Cell::Text(other)) => one.cmp(other),
            // A column's values are of one type or nothing.
            _ => (*self != Cell::Nothing).cmp(&(*other != Cell::Nothing)),
        }
    }
}

fn within_bounds(text: &str) -> Result<String, String> {
    match text.len() {
        0..=limits::TEXT => Ok(text.to_owned()),
        length => Err(format!("takes texts of {} bytes, not of {length}", limits::TEXT)),
    }
}

/// About how many bytes a row takes.
pub fn size(cells: &[Cell]) -> usize {
    let cell = |value: &Cell| 32 + if let Cell::Text(text) = value { text.len() } else { 0 };
    64 + cells.iter().map(cell).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_becomes_values() {
        let good = [
            (Type::Text, json!("Ada"), Cell::Text("Ada".into())),
            (Type::Integer, json!(-7), Cell::Integer(-7)),
            (Type::Number, json!(7), Cell::Number(7.0)),
            (Type::Number, json!(0.5), Cell::Number(0.5)),
            (Type::Boolean, json!(true), Cell::Boolean(true)),
            (Type::Boolean, json!(null), Cell::Nothing),
        ];
        for (wanted, json, value) in good {
            assert_eq!(Cell::from_json(wanted, json), Ok(value));
        }
        let bad = [
            (Type::Text, json!(1), "holds texts, not 1"),
            (Type::Text, json!("x".repeat(8193)), "takes texts of 8192 bytes, not of 8193"),
            (Type::Integer, json!(1.5), "holds integers of 64 bits, not 1.5"),
            (Type::Integer, json!(u64::MAX), "holds integers of 64 bits, not 18446744073709551615"),
            (Type::Integer, json!("1"), "holds integers of 64 bits, not a text"),
            (Type::Number, json!([1]), "holds numbers, not an array"),
            (Type::Boolean, json!({}), "holds true or false, not an object"),
        ];
        for (wanted, json, reason) in bad {
            assert_eq!(Cell::from_json(wanted, json), Err(reason.to_owned()));
        }
    }

    #[test]
    fn queries_become_values() {
        let good = [
            (Type::Text, "7", Cell::Text("7".into())),
            (Type::Integer, "7", Cell::Integer(7)),
            (Type::Number, "7", Cell::Number(7.0)),
            (Type::Boolean, "false", Cell::Boolean(false)),
        ];
        for (wanted, text, value) in good {
            assert_eq!(Cell::from_text(wanted, text), Ok(value));
        }
        for (wanted, text) in
            [(Type::Integer, "7.5"), (Type::Number, "seven"), (Type::Number, "inf"), (Type::Boolean, "yes")]
        {
            let reason = Cell::from_text(wanted, text).unwrap_err();
            assert!(reason.ends_with(&format!("nothing in it can equal `{text}`")), "{reason}");
        }
    }

    #[test]
    fn nothing_comes_first() {
        let ascending = [Cell::Nothing, Cell::Number(-1.0), Cell::Number(0.0), Cell::Number(3.5)];
        for pair in ascending.windows(2) {
            assert_eq!((pair[0].order(&pair[1]), pair[1].order(&pair[0])), (Ordering::Less, Ordering::Greater));
            assert_eq!(pair[0].order(&pair[0]), Ordering::Equal);
        }
    }
}
