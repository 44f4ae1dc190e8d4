//! The types of columns.

use crate::sql::Dialect;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    Text,
    Integer,
    /// Numbers of 64 bits with a point.
    #[serde(alias = "number")]
    Real,
    Boolean,
    Json,
    /// Points in time, to the microsecond.
    Timestamp,
}

impl Type {
    /// In the database. Texts are compared byte by byte in both.
    pub fn in_sql(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Type::Text, Dialect::Sqlite) | (Type::Json, Dialect::Sqlite) => "TEXT",
            (Type::Text, Dialect::Postgres) => "TEXT COLLATE \"C\"",
            (Type::Integer, _) | (Type::Timestamp, Dialect::Sqlite) => "BIGINT",
            (Type::Real, _) => "DOUBLE PRECISION",
            (Type::Boolean, _) => "BOOLEAN",
            (Type::Json, Dialect::Postgres) => "JSONB",
            (Type::Timestamp, Dialect::Postgres) => "TIMESTAMPTZ",
        }
    }

    /// Whether its values have an order.
    pub fn is_ordered(self) -> bool {
        !matches!(self, Type::Json)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Type::Text => "texts",
            Type::Integer => "integers of 64 bits",
            Type::Real => "numbers",
            Type::Boolean => "true or false",
            Type::Json => "JSON",
            Type::Timestamp => "points in time such as `2026-01-31T12:00:00Z`",
        })
    }
}
