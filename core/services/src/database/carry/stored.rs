//! Values of PostgreSQL as SQLite stores them. Pure.

use super::moment::write_moment;
use rusqlite::types::Value;
use tokio_postgres::types::Type;

/// What a column of SQLite makes of what is stored in it, as its declared type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    /// Numbers become text.
    Text,
    /// Text that looks like a number becomes one.
    Number,
    /// All stays as it is.
    Any,
}

impl Affinity {
    /// SQLite's own rules.
    pub(super) fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |word: &str| declared.contains(word);
        if has("INT") {
            Affinity::Number
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Affinity::Text
        } else if declared.is_empty() || declared == "ANY" || has("BLOB") {
            Affinity::Any
        } else {
            Affinity::Number
        }
    }
}

/// PostgreSQL counts from 2000: so many microseconds later.
const FROM_1970_TO_2000: i64 = 946_684_800_000_000;

/// Whether a value of this type is read as it is; others are read as text.
pub(super) fn is_read_as_it_is(kind: &Type) -> bool {
    [
        Type::BOOL,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::BYTEA,
        Type::TIMESTAMP,
        Type::TIMESTAMPTZ,
    ]
    .contains(kind)
}

/// What is stored of a value that came so; an error says what it is that does not fit.
pub(super) fn store(raw: &[u8], kind: &Type, into: Affinity) -> Result<Value, &'static str> {
    let garbled = "what cannot be read";
    Ok(match *kind {
        Type::BOOL => Value::Integer(i64::from(raw != [0])),
        Type::INT2 => Value::Integer(raw.try_into().map(i16::from_be_bytes).map_err(|_| garbled)?.into()),
        Type::INT4 => Value::Integer(raw.try_into().map(i32::from_be_bytes).map_err(|_| garbled)?.into()),
        Type::INT8 => Value::Integer(raw.try_into().map(i64::from_be_bytes).map_err(|_| garbled)?),
        Type::FLOAT4 => real(raw.try_into().map(f32::from_be_bytes).map_err(|_| garbled)?.into())?,
        Type::FLOAT8 => real(raw.try_into().map(f64::from_be_bytes).map_err(|_| garbled)?)?,
        Type::BYTEA => Value::Blob(raw.to_vec()),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let micros = raw.try_into().map(i64::from_be_bytes).map_err(|_| garbled)?;
            moment(micros, into)?
        }
        Type::NUMERIC => decimal(text(raw)?, into)?,
        _ => Value::Text(text(raw)?.to_owned()),
    })
}

fn text(raw: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(raw).map_err(|_| "text that is not UTF-8")
}

fn real(number: f64) -> Result<Value, &'static str> {
    if number.is_nan() { Err("NaN, which SQLite does not know,") } else { Ok(Value::Real(number)) }
}

fn moment(micros: i64, into: Affinity) -> Result<Value, &'static str> {
    if micros == i64::MAX || micros == i64::MIN {
        return Err("an infinite time, which SQLite does not know,");
    }
    let micros = micros.checked_add(FROM_1970_TO_2000).ok_or("a time that is too far away")?;
    if into != Affinity::Text {
        return Ok(Value::Integer(micros));
    }
    let mut text = String::with_capacity(32);
    write_moment(micros, &mut text);
    Ok(Value::Text(text))
}

/// A decimal number is stored as it is or not at all.
fn decimal(digits: &str, into: Affinity) -> Result<Value, &'static str> {
    if into != Affinity::Number {
        return Ok(Value::Text(digits.to_owned()));
    }
    if let Ok(whole) = digits.parse() {
        return Ok(Value::Integer(whole));
    }
    let too_long = "a number with more digits than SQLite keeps";
    let number: f64 = digits.parse().map_err(|_| too_long)?;
    if number.is_nan() {
        return real(number);
    }
    let plain = |digits: &str| match digits.split_once('.') {
        Some((whole, rest)) => format!("{whole}.{}", rest.trim_end_matches('0')).trim_end_matches('.').to_owned(),
        None => digits.to_owned(),
    };
    if number.is_finite() && plain(&number.to_string()) != plain(digits) {
        return Err(too_long);
    }
    Ok(Value::Real(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_stored_as_the_plugin_finds_them() {
        let text = |text: &str| Ok(Value::Text(text.to_owned()));
        let micros = |micros: i64| (micros - FROM_1970_TO_2000).to_be_bytes();
        for (raw, kind, into, stored) in [
            (&b"\x01"[..], Type::BOOL, Affinity::Number, Ok(Value::Integer(1))),
            (&i64::MIN.to_be_bytes(), Type::INT8, Affinity::Number, Ok(Value::Integer(i64::MIN))),
            (&(-2_i16).to_be_bytes(), Type::INT2, Affinity::Any, Ok(Value::Integer(-2))),
            (&1.5_f32.to_be_bytes(), Type::FLOAT4, Affinity::Number, Ok(Value::Real(1.5))),
            (&micros(-7), Type::TIMESTAMPTZ, Affinity::Number, Ok(Value::Integer(-7))),
            (&micros(0), Type::TIMESTAMP, Affinity::Text, text("1970-01-01 00:00:00.000000+00")),
            (b"\0", Type::BYTEA, Affinity::Any, Ok(Value::Blob(vec![0]))),
            (b"12", Type::NUMERIC, Affinity::Number, Ok(Value::Integer(12))),
            (b"12.50", Type::NUMERIC, Affinity::Number, Ok(Value::Real(12.5))),
            (b"12.00", Type::NUMERIC, Affinity::Number, Ok(Value::Real(12.0))),
            (b"0.12345678901234567890", Type::NUMERIC, Affinity::Text, text("0.12345678901234567890")),
            ("ü".as_bytes(), Type::TEXT, Affinity::Text, text("ü")),
        ] {
            assert_eq!(store(raw, &kind, into), stored, "{kind}");
        }
        for (raw, kind) in [
            (&f64::NAN.to_be_bytes()[..], Type::FLOAT8),
            (b"NaN", Type::NUMERIC),
            (b"0.12345678901234567890", Type::NUMERIC),
            (b"12345678901234567890123", Type::NUMERIC),
            (&i64::MAX.to_be_bytes(), Type::TIMESTAMP),
            (b"\xff", Type::TEXT),
        ] {
            assert!(store(raw, &kind, Affinity::Number).is_err(), "{kind}");
        }
    }

    #[test]
    fn affinities_are_sqlites() {
        for (declared, affinity) in [
            ("INTEGER", Affinity::Number),
            ("varchar(10)", Affinity::Text),
            ("", Affinity::Any),
            ("BLOB", Affinity::Any),
            ("TIMESTAMP", Affinity::Number),
            ("REAL", Affinity::Number),
            ("CHARINT", Affinity::Number),
        ] {
            assert_eq!(Affinity::of(declared), affinity, "{declared}");
        }
    }
}
