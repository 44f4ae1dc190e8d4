//! Values: out of JSON, out of texts, and written as JSON and CSV. Pure.

use crate::{
    problem::{OrRefused, Refused, shortened},
    schema::Type,
    time,
};
use camlock_plugin::database::SqlValue;
use serde_json::Value as Json;

/// A value out of JSON.
pub fn of_json(kind: Type, json: &Json) -> OrRefused<SqlValue> {
    let value = match (kind, json) {
        (_, Json::Null) => Some(SqlValue::Null),
        (Type::Json, json) => Some(SqlValue::Json(json.to_string())),
        (Type::Boolean, Json::Bool(yes)) => Some(SqlValue::Bool(*yes)),
        (Type::Integer, Json::Number(number)) => number.as_i64().map(SqlValue::Integer),
        (Type::Real, Json::Number(number)) => number.as_f64().map(SqlValue::Real),
        (Type::Text, Json::String(text)) if !text.contains('\0') => Some(SqlValue::Text(text.clone())),
        (Type::Timestamp, Json::String(text)) => time::read(text).map(SqlValue::Timestamp),
        _ => None,
    };
    value.filter(storable).ok_or_else(|| {
        let given = match json {
            Json::String(text) => format!("`{}`", shortened(text)),
            Json::Array(_) => "an array".to_owned(),
            Json::Object(_) => "an object".to_owned(),
            other => format!("`{other}`"),
        };
        Refused::no_value(format!("a column that holds {kind} takes no {given}"))
    })
}

/// A value out of a query, or a cell of CSV.
pub fn of_text(kind: Type, text: &str) -> OrRefused<SqlValue> {
    let value = match kind {
        Type::Text if text.contains('\0') => None,
        Type::Text => Some(SqlValue::Text(text.to_owned())),
        Type::Integer => text.parse().ok().map(SqlValue::Integer),
        Type::Real => text.parse().ok().filter(|number: &f64| number.is_finite()).map(SqlValue::Real),
        Type::Boolean => match text {
            "true" | "t" | "1" => Some(SqlValue::Bool(true)),
            "false" | "f" | "0" => Some(SqlValue::Bool(false)),
            _ => None,
        },
        Type::Json => serde_json::from_str::<Json>(text).ok().map(|json| SqlValue::Json(json.to_string())),
        Type::Timestamp => time::read(text).map(SqlValue::Timestamp),
    };
    value
        .filter(storable)
        .ok_or_else(|| Refused::no_value(format!("a column that holds {kind} takes no `{}`", shortened(text))))
}

/// PostgreSQL has no NUL in texts, nor in JSON.
fn storable(value: &SqlValue) -> bool {
    !matches!(value, SqlValue::Json(text) if text.contains("\\u0000"))
}

/// Writes a value as JSON.
pub fn write_json(kind: Type, value: &SqlValue, out: &mut Vec<u8>) {
    match value {
        SqlValue::Bool(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
        SqlValue::Integer(number) => match kind {
            Type::Boolean => out.extend_from_slice(if *number == 0 { b"false" } else { b"true" }),
            Type::Timestamp => string(&time::written(*number), out),
            Type::Real => json(&(*number as f64), out),
            _ => out.extend_from_slice(number.to_string().as_bytes()),
        },
        SqlValue::Real(number) => json(number, out),
        SqlValue::Timestamp(micros) => string(&time::written(*micros), out),
        SqlValue::Json(text) => out.extend_from_slice(text.as_bytes()),
        SqlValue::Text(text) if kind == Type::Json => out.extend_from_slice(text.as_bytes()),
        SqlValue::Text(text) => string(text, out),
        _ => out.extend_from_slice(b"null"),
    }
}

/// Writes a text as JSON.
pub fn string(text: &str, out: &mut Vec<u8>) {
    json(text, out);
}

/// What is written here can be: it is a text or a number.
fn json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, value);
}

/// Writes a value as a cell of CSV. Nothing is an empty cell; an empty text is one in quotes.
pub fn write_csv(kind: Type, value: &SqlValue, out: &mut Vec<u8>) {
    match value {
        SqlValue::Null => {}
        SqlValue::Text(text) | SqlValue::Json(text) => cell(text, out),
        SqlValue::Integer(micros) | SqlValue::Timestamp(micros) if kind == Type::Timestamp => {
            out.extend_from_slice(time::written(*micros).as_bytes());
        }
        value => write_json(kind, value, out),
    }
}

/// Writes a text as a cell of CSV.
pub fn cell(text: &str, out: &mut Vec<u8>) {
    let needs_quotes = |byte: u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    let blank = |text: &str| text.trim() != text;
    if !text.is_empty() && text != "NULL" && !text.bytes().any(needs_quotes) && !blank(text) {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_becomes_values() {
        let good = [
            (Type::Text, json!("Ada"), SqlValue::Text("Ada".into())),
            (Type::Integer, json!(-7), SqlValue::Integer(-7)),
            (Type::Real, json!(7), SqlValue::Real(7.0)),
            (Type::Boolean, json!(true), SqlValue::Bool(true)),
            (Type::Boolean, json!(null), SqlValue::Null),
            (Type::Json, json!({"a": [1]}), SqlValue::Json(r#"{"a":[1]}"#.into())),
            (Type::Timestamp, json!("1970-01-01T00:00:01Z"), SqlValue::Timestamp(1_000_000)),
        ];
        for (kind, json, value) in good {
            assert_eq!(of_json(kind, &json), Ok(value));
        }
        let bad = [
            (Type::Text, json!(1), "holds texts takes no `1`"),
            (Type::Text, json!("a\0b"), "takes no"),
            (Type::Json, json!("a\0b"), "takes no"),
            (Type::Integer, json!(1.5), "holds integers of 64 bits takes no `1.5`"),
            (Type::Integer, json!(u64::MAX), "takes no `18446744073709551615`"),
            (Type::Real, json!([1]), "holds numbers takes no an array"),
            (Type::Timestamp, json!("yesterday"), "takes no `yesterday`"),
        ];
        for (kind, json, reason) in bad {
            let message = of_json(kind, &json).unwrap_err().message;
            assert!(message.contains(reason), "{message}");
        }
    }

    #[test]
    fn texts_become_values() {
        assert_eq!(of_text(Type::Integer, "7"), Ok(SqlValue::Integer(7)));
        assert_eq!(of_text(Type::Boolean, "f"), Ok(SqlValue::Bool(false)));
        assert_eq!(of_text(Type::Text, ""), Ok(SqlValue::Text(String::new())));
        for (kind, text) in [(Type::Integer, "7.5"), (Type::Real, "inf"), (Type::Boolean, "yes"), (Type::Json, "{")] {
            assert_eq!(of_text(kind, text).unwrap_err().code, "22P02");
        }
    }

    #[test]
    fn values_are_written() {
        let written = |kind, value| {
            let (mut json, mut csv) = (Vec::new(), Vec::new());
            write_json(kind, &value, &mut json);
            write_csv(kind, &value, &mut csv);
            (String::from_utf8(json).unwrap(), String::from_utf8(csv).unwrap())
        };
        let both = |json: &str, csv: &str| (json.to_owned(), csv.to_owned());
        assert_eq!(written(Type::Boolean, SqlValue::Integer(1)), both("true", "true"));
        assert_eq!(written(Type::Real, SqlValue::Integer(2)), both("2.0", "2.0"));
        assert_eq!(written(Type::Text, SqlValue::Null), both("null", ""));
        assert_eq!(written(Type::Text, "".into()), both("\"\"", "\"\""));
        assert_eq!(written(Type::Text, "a \"b\", c".into()), both(r#""a \"b\", c""#, r#""a ""b"", c""#));
        assert_eq!(written(Type::Json, "[1,2]".into()), both("[1,2]", "\"[1,2]\""));
        let time = "1970-01-01T00:00:00.5+00:00";
        assert_eq!(written(Type::Timestamp, SqlValue::Integer(500_000)), both(&format!("\"{time}\""), time));
    }
}
