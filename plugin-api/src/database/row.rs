//! One row, and what its values are read as.

use super::{SqlValue, wire::invalid};
use crate::{HostError, HostErrorCode};
use serde::{
    Deserializer,
    de::{DeserializeOwned, IntoDeserializer, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<SqlValue>,
}

impl Row {
    pub(super) fn new(columns: Arc<[String]>, values: Vec<SqlValue>) -> Self {
        Row { columns, values }
    }

    /// The value of a column, as a type that it can be read as.
    pub fn get<T: FromSql>(&self, column: &str) -> Result<T, HostError> {
        let place = self.columns.iter().position(|name| name == column);
        let value = place.and_then(|place| self.values.get(place)).ok_or_else(|| {
            let there = self.columns.join("`, `");
            HostError::new(HostErrorCode::NotFound, format!("the row has no column `{column}`, but `{there}`"))
        })?;
        T::from_sql(value).ok_or_else(|| {
            let kind = std::any::type_name::<T>();
            invalid(format!("the column `{column}` is no `{kind}`, but {}", describe(value)))
        })
    }

    /// Its values, in order.
    pub fn values(&self) -> &[SqlValue] {
        &self.values
    }

    /// All of it, as a type of the author's: a struct with fields that are called as the columns.
    pub fn into_of<T: DeserializeOwned>(self) -> Result<T, HostError> {
        let columns = self.columns.clone();
        let cells = columns.iter().map(String::as_str).zip(self.values.into_iter().map(ValueReader));
        T::deserialize(MapDeserializer::<_, serde::de::value::Error>::new(cells))
            .map_err(|error| invalid(format!("the row is not as it is read: {error}")))
    }
}

fn describe(value: &SqlValue) -> &'static str {
    match value {
        SqlValue::Null => "null",
        SqlValue::Bool(_) => "a boolean",
        SqlValue::Integer(_) => "a whole number",
        SqlValue::Real(_) => "a number",
        SqlValue::Text(_) => "text",
        SqlValue::Bytes(_) => "bytes",
        SqlValue::Json(_) => "JSON",
        SqlValue::Timestamp(_) => "a time",
    }
}

/// What a value can be read as.
pub trait FromSql: Sized {
    /// The value, if it is one.
    fn from_sql(value: &SqlValue) -> Option<Self>;
}

macro_rules! read {
    ($($kind:ty: $($pattern:pat => $made:expr),+;)*) => {
        $(impl FromSql for $kind {
            fn from_sql(value: &SqlValue) -> Option<Self> {
                match value {
                    $($pattern => $made,)+
                    _ => None,
                }
            }
        })*
    };
}

read! {
    bool: SqlValue::Bool(yes) => Some(*yes), SqlValue::Integer(0) => Some(false), SqlValue::Integer(1) => Some(true);
    i64: SqlValue::Integer(number) => Some(*number);
    i32: SqlValue::Integer(number) => i32::try_from(*number).ok();
    i16: SqlValue::Integer(number) => i16::try_from(*number).ok();
    u64: SqlValue::Integer(number) => u64::try_from(*number).ok();
    u32: SqlValue::Integer(number) => u32::try_from(*number).ok();
    f64: SqlValue::Real(number) => Some(*number), SqlValue::Integer(number) => Some(*number as f64);
    String: SqlValue::Text(text) | SqlValue::Json(text) => Some(text.clone());
    Vec<u8>: SqlValue::Bytes(bytes) => Some(bytes.clone());
    serde_json::Value: SqlValue::Json(text) | SqlValue::Text(text) => serde_json::from_str(text).ok();
    SystemTime: SqlValue::Timestamp(micros) | SqlValue::Integer(micros) => {
        let distance = Duration::from_micros(micros.unsigned_abs());
        if *micros < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
    };
}

impl FromSql for SqlValue {
    fn from_sql(value: &SqlValue) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: FromSql> FromSql for Option<T> {
    fn from_sql(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Null => Some(None),
            value => T::from_sql(value).map(Some),
        }
    }
}

/// A value, for serde.
struct ValueReader(SqlValue);

impl IntoDeserializer<'_> for ValueReader {
    type Deserializer = ValueReader;

    fn into_deserializer(self) -> ValueReader {
        self
    }
}

impl<'de> Deserializer<'de> for ValueReader {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            SqlValue::Null => visitor.visit_unit(),
            SqlValue::Bool(yes) => visitor.visit_bool(yes),
            SqlValue::Integer(number) | SqlValue::Timestamp(number) => visitor.visit_i64(number),
            SqlValue::Real(number) => visitor.visit_f64(number),
            SqlValue::Text(text) => visitor.visit_string(text),
            SqlValue::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            SqlValue::Json(text) => {
                let value = serde_json::from_str::<serde_json::Value>(&text).map_err(serde::de::Error::custom)?;
                value.deserialize_any(visitor).map_err(serde::de::Error::custom)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            SqlValue::Null => visitor.visit_none(),
            value => visitor.visit_some(ValueReader(value)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            SqlValue::Integer(number @ (0 | 1)) => visitor.visit_bool(number == 1),
            value => ValueReader(value).deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0 {
            SqlValue::Text(text) => text.into_deserializer().deserialize_enum(name, variants, visitor),
            value => ValueReader(value).deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    fn row() -> Row {
        let columns: Vec<String> = ["id", "paid", "price", "note", "tags"].map(str::to_owned).into();
        let values = vec![7.into(), 1.into(), 2.5.into(), SqlValue::Null, serde_json::json!(["a"]).into()];
        Row::new(columns.into(), values)
    }

    #[test]
    fn values_are_read_as_what_they_are() {
        let row = row();
        assert_eq!((row.get::<i64>("id"), row.get::<bool>("paid")), (Ok(7), Ok(true)));
        assert_eq!((row.get::<Option<String>>("note"), row.get::<f64>("id")), (Ok(None), Ok(7.0)));
        assert_eq!(row.get::<i64>("note").unwrap_err().message, "the column `note` is no `i64`, but null");
        let there = row.get::<i64>("nothing").unwrap_err().message;
        assert_eq!(there, "the row has no column `nothing`, but `id`, `paid`, `price`, `note`, `tags`");
        let time = SystemTime::UNIX_EPOCH - Duration::from_micros(1_500_000);
        assert_eq!(SystemTime::from_sql(&time.into()), Some(time));
    }

    #[test]
    fn rows_become_structs() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Order {
            id: u32,
            paid: bool,
            price: f64,
            note: Option<String>,
            tags: Vec<String>,
        }
        let order = Order { id: 7, paid: true, price: 2.5, note: None, tags: vec!["a".to_owned()] };
        assert_eq!(row().into_of::<Order>(), Ok(order));
        assert!(row().into_of::<std::collections::BTreeMap<String, String>>().is_err());
    }
}
