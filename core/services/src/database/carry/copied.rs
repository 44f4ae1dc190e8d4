//! Values of SQLite as PostgreSQL's `COPY` reads them. Pure.

use super::moment::write_moment;
use rusqlite::types::ValueRef;
use std::fmt::Write;
use tokio_postgres::types::Type;

/// What a row ends with.
pub(super) const END_OF_ROW: u8 = b'\n';

/// What stands between two values.
pub(super) const BETWEEN: u8 = b'\t';

/// Writes a value for a column of this type; an error says what it is that does not fit. What else does not fit, PostgreSQL says.
pub(super) fn write_value(value: ValueRef<'_>, kind: &Type, into: &mut Vec<u8>) -> Result<(), &'static str> {
    let is_moment = *kind == Type::TIMESTAMP || *kind == Type::TIMESTAMPTZ;
    let is_bytes = *kind == Type::BYTEA;
    match value {
        ValueRef::Null => into.extend_from_slice(b"\\N"),
        ValueRef::Integer(_) | ValueRef::Real(_) if is_bytes => return Err("a number instead of bytes"),
        ValueRef::Text(_) if is_bytes => return Err("text instead of bytes"),
        ValueRef::Integer(micros) if is_moment => write_text(into, |text| write_moment(micros, text)),
        ValueRef::Integer(number) => write_text(into, |text| _ = write!(text, "{number}")),
        ValueRef::Real(_) if is_moment => return Err("a number with a fraction instead of microseconds"),
        ValueRef::Real(number) if number.is_infinite() => {
            into.extend_from_slice(if number > 0.0 { b"Infinity" } else { b"-Infinity" });
        }
        ValueRef::Real(number) => write_text(into, |text| _ = write!(text, "{number}")),
        ValueRef::Text(text) if std::str::from_utf8(text).is_err() => return Err("text that is not UTF-8"),
        ValueRef::Text(text) if text.contains(&0) => return Err("text with a NUL, which PostgreSQL does not know,"),
        ValueRef::Text(text) => escape(text, into),
        ValueRef::Blob(bytes) if is_bytes => {
            into.extend_from_slice(b"\\\\x");
            into.extend_from_slice(data_encoding::HEXLOWER.encode(bytes).as_bytes());
        }
        ValueRef::Blob(_) => return Err("bytes instead of what the column is for"),
    }
    Ok(())
}

fn write_text(into: &mut Vec<u8>, write: impl FnOnce(&mut String)) {
    let mut text = String::with_capacity(32);
    write(&mut text);
    into.extend_from_slice(text.as_bytes());
}

fn escape(text: &[u8], into: &mut Vec<u8>) {
    into.reserve(text.len());
    for byte in text {
        match byte {
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b'\t' => into.extend_from_slice(b"\\t"),
            other => into.push(*other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: ValueRef<'_>, kind: &Type) -> Result<String, &'static str> {
        let mut into = Vec::new();
        write_value(value, kind, &mut into)?;
        Ok(String::from_utf8(into).unwrap())
    }

    #[test]
    fn values_are_written_for_their_columns() {
        for (value, kind, text) in [
            (ValueRef::Null, Type::TEXT, "\\N"),
            (ValueRef::Text(b"\\N\ta\r\n\\."), Type::TEXT, "\\\\N\\ta\\r\\n\\\\."),
            (ValueRef::Text(b""), Type::JSONB, ""),
            (ValueRef::Integer(i64::MIN), Type::INT8, "-9223372036854775808"),
            (ValueRef::Integer(1), Type::BOOL, "1"),
            (ValueRef::Integer(-1), Type::TIMESTAMPTZ, "1969-12-31 23:59:59.999999+00"),
            (ValueRef::Real(0.1), Type::FLOAT8, "0.1"),
            (ValueRef::Real(2.0), Type::INT4, "2"),
            (ValueRef::Real(f64::NEG_INFINITY), Type::FLOAT8, "-Infinity"),
            (ValueRef::Blob(b"\0\xff"), Type::BYTEA, "\\\\x00ff"),
            (ValueRef::Blob(b""), Type::BYTEA, "\\\\x"),
        ] {
            assert_eq!(written(value, &kind).unwrap(), text);
        }
        for (value, kind) in [
            (ValueRef::Blob(b"a"), Type::TEXT),
            (ValueRef::Text(b"a"), Type::BYTEA),
            (ValueRef::Text(b"a\0"), Type::TEXT),
            (ValueRef::Text(b"\xff"), Type::TEXT),
            (ValueRef::Integer(1), Type::BYTEA),
            (ValueRef::Real(1.5), Type::TIMESTAMP),
        ] {
            assert!(written(value, &kind).is_err(), "{kind}");
        }
    }
}
