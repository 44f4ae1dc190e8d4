//! Text as it lies in a row, which anybody may have written.
//!
//! SQLite keeps whatever bytes it is given as text. One column that is no UTF-8 must not make a whole table unreadable, so text
//! is read leniently, and says whether it was damaged. What must not live here: what a damaged column means.

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    sql_types::{Binary, Nullable, Text},
};
use std::ops::Deref;

/// Text of a column. What is no UTF-8 in it is replaced by `�`.
#[derive(Clone, Debug, PartialEq, Eq, FromSqlRow)]
pub(crate) struct Words {
    text: String,
    damaged: bool,
}

impl Words {
    /// Whether it was no UTF-8.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged
    }
}

impl<DB: Backend> FromSql<Text, DB> for Words
where
    Vec<u8>: FromSql<Binary, DB>,
{
    fn from_sql(raw: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let bytes = <Vec<u8> as FromSql<Binary, DB>>::from_sql(raw)?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => Words { text, damaged: false },
            Err(error) => Words { text: String::from_utf8_lossy(error.as_bytes()).into_owned(), damaged: true },
        })
    }
}

/// The same of a column that may be null.
#[derive(Clone, Debug, FromSqlRow)]
pub(crate) struct OptionalWords(Option<String>);

impl<DB: Backend> FromSql<Nullable<Text>, DB> for OptionalWords
where
    Vec<u8>: FromSql<Binary, DB>,
{
    fn from_sql(raw: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Words::from_sql(raw).map(|words| OptionalWords(Some(words.into())))
    }

    fn from_nullable_sql(raw: Option<DB::RawValue<'_>>) -> deserialize::Result<Self> {
        raw.map_or(Ok(OptionalWords(None)), Self::from_sql)
    }
}

impl From<OptionalWords> for Option<String> {
    fn from(words: OptionalWords) -> Self {
        words.0
    }
}

impl Deref for Words {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl From<Words> for String {
    fn from(words: Words) -> String {
        words.text
    }
}

/// A damaged one, in a sentence: without what would break its line.
impl std::fmt::Display for Words {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}`", crate::causes::one_line(&self.text))
    }
}
