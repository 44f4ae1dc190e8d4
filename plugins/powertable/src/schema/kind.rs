//! The types of columns.

use crate::sql::Engine;
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
    pub fn in_sql(self, dialect: Engine) -> &'static str {
        match (self, dialect) {
            (Type::Text, Engine::Sqlite) | (Type::Json, Engine::Sqlite) => "TEXT",
            (Type::Text, Engine::Postgres) => "TEXT COLLATE \"C\"",
            (Type::Integer, _) | (Type::Timestamp, Engine::Sqlite) => "BIGINT",
            (Type::Real, _) => "DOUBLE PRECISION",
            (Type::Boolean, _) => "BOOLEAN",
            (Type::Json, Engine::Postgres) => "JSONB",
            (Type::Timestamp, Engine::Postgres) => "TIMESTAMPTZ",
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
