//! Values on their way into SQL.

use std::time::{SystemTime, UNIX_EPOCH};

/// A value of SQL.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SqlValue {
    /// Nothing.
    Null,
    /// Yes or no. SQLite has 1 and 0 for it.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// Words.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// JSON, as text.
    Json(String),
    /// Microseconds since 1970, for a `TIMESTAMPTZ`. In SQLite it is a whole number.
    Timestamp(i64),
}

macro_rules! values {
    ($($from:ty, $given:ident => $made:expr;)*) => {
        $(impl From<$from> for SqlValue {
            fn from($given: $from) -> Self {
                $made
            }
        })*
    };
}

values! {
    bool, given => SqlValue::Bool(given);
    i64, given => SqlValue::Integer(given);
    i32, given => SqlValue::Integer(given.into());
    i16, given => SqlValue::Integer(given.into());
    u32, given => SqlValue::Integer(given.into());
    u16, given => SqlValue::Integer(given.into());
    u8, given => SqlValue::Integer(given.into());
    f64, given => SqlValue::Real(given);
    f32, given => SqlValue::Real(given.into());
    String, given => SqlValue::Text(given);
    &str, given => SqlValue::Text(given.to_owned());
    &String, given => SqlValue::Text(given.clone());
    Vec<u8>, given => SqlValue::Bytes(given);
    &[u8], given => SqlValue::Bytes(given.to_vec());
    serde_json::Value, given => SqlValue::Json(given.to_string());
    SystemTime, given => SqlValue::Timestamp(match given.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    });
}

impl<T: Into<SqlValue>> From<Option<T>> for SqlValue {
    fn from(given: Option<T>) -> Self {
        given.map_or(SqlValue::Null, Into::into)
    }
}

/// The parameters of a statement: `()`, a tuple such as `("a name", 7)`, an array, or a list of values.
pub trait SqlParams {
    /// As values, in order.
    fn into_values(self) -> Vec<SqlValue>;
}

impl SqlParams for () {
    fn into_values(self) -> Vec<SqlValue> {
        Vec::new()
    }
}

impl<T: Into<SqlValue>, const N: usize> SqlParams for [T; N] {
    fn into_values(self) -> Vec<SqlValue> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<SqlValue>> SqlParams for Vec<T> {
    fn into_values(self) -> Vec<SqlValue> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! tuples {
    ($(($($kind:ident $value:ident),+))*) => {
        $(impl<$($kind: Into<SqlValue>),+> SqlParams for ($($kind,)+) {
            fn into_values(self) -> Vec<SqlValue> {
                let ($($value,)+) = self;
                vec![$($value.into()),+]
            }
        })*
    };
}

tuples! {
    (A a)
    (A a, B b)
    (A a, B b, C c)
    (A a, B b, C c, D d)
    (A a, B b, C c, D d, E e)
    (A a, B b, C c, D d, E e, F f)
    (A a, B b, C c, D d, E e, F f, G g)
    (A a, B b, C c, D d, E e, F f, G g, H h)
}
