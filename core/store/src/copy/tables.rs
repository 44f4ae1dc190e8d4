//! Which tables are copied, and what their columns hold, so that a row of one database becomes one of the other.

use crate::connection::{Dialect, Value};
use serde_json::{Value as Json, json};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Text,
    Number,
    Flag,
    Time,
    /// A time, or none.
    MaybeTime,
    Json,
    Bytes,
}

use ColumnKind::{Flag, MaybeTime, Number, Text, Time};

/// A table.
pub(super) struct CopiedTable {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, ColumnKind)],
    /// A column that PostgreSQL alone has, and its value.
    pub(super) besides: Option<(&'static str, &'static str)>,
}

/// A row as it is read: a value for each column, and whatever else was asked for.
pub(super) type CopiedRow = Vec<Json>;

pub(super) const PLUGINS: CopiedTable = CopiedTable {
    name: "plugins",
    columns: &[
        ("name", Text),
        ("enabled", Flag),
        ("version", Text),
        ("kind", Text),
        ("source_path", Text),
        ("artifact_digest", Text),
        ("fingerprint", Text),
        ("config", ColumnKind::Json),
        ("reloads", Number),
        ("removed", Flag),
        ("source", Text),
        ("purge", Flag),
        ("revision", Number),
        ("registered", Number),
        ("created_at", Time),
        ("updated_at", Time),
    ],
    besides: None,
};

pub(super) const GRANTS: CopiedTable = CopiedTable {
    name: "plugin_grants",
    columns: &[("plugin", Text), ("source", Text), ("granted", Text), ("at", Time)],
    besides: None,
};

pub(super) const SECRETS: CopiedTable = CopiedTable {
    name: "plugin_secrets",
    columns: &[("plugin", Text), ("pointer", Text), ("key_id", Text), ("sealed", ColumnKind::Bytes), ("at", Time)],
    besides: None,
};

pub(super) const SECRETS_KEY: CopiedTable = CopiedTable {
    name: "secrets_key",
    columns: &[("key_id", Text), ("sealed", ColumnKind::Bytes), ("at", Time)],
    besides: None,
};

pub(super) const QUARANTINE: CopiedTable = CopiedTable {
    name: "plugin_quarantine",
    columns: &[("plugin", Text), ("digest", Text), ("reason", Text), ("at", Time)],
    besides: None,
};

pub(super) const ENDPOINTS: CopiedTable = CopiedTable {
    name: "plugin_endpoints",
    columns: &[("plugin", Text), ("method", Text), ("path", Text), ("source", Text)],
    besides: None,
};

/// Its number comes first. Transactions have other numbers elsewhere: these come before all.
pub(super) const JOURNAL: CopiedTable = CopiedTable {
    name: "plugin_journal",
    columns: &[
        ("id", Number),
        ("at", Time),
        ("node", Text),
        ("plugin", Text),
        ("generation", Number),
        ("what", Text),
        ("actor", Text),
        ("detail", ColumnKind::Json),
    ],
    besides: Some(("xact", "CAST('0' AS XID8)")),
};

pub(super) const ARTIFACTS: CopiedTable = CopiedTable {
    name: "artifacts",
    columns: &[
        ("number", Number),
        ("digest", Text),
        ("plugin", Text),
        ("fingerprint", Text),
        ("version", Text),
        ("size", Number),
        ("elsewhere", Flag),
        ("node", Text),
        ("created_at", Time),
    ],
    besides: None,
};

pub(super) const TOKENS: CopiedTable = CopiedTable {
    name: "api_tokens",
    columns: &[
        ("id", Number),
        ("name", Text),
        ("role", Text),
        ("hash", Text),
        ("created_at", Time),
        ("expires_at", MaybeTime),
        ("revoked_at", MaybeTime),
    ],
    besides: None,
};

pub(super) const LAYOUTS: CopiedTable = CopiedTable {
    name: "page_layouts",
    columns: &[("token", Text), ("layout", Text), ("changed_at", Time)],
    besides: None,
};

pub(super) const CATALOGS: CopiedTable = CopiedTable {
    name: "catalogs",
    columns: &[
        ("name", Text),
        ("url", Text),
        ("root", Text),
        ("metadata", Text),
        ("proved", Number),
        ("version", Number),
        ("priority", Number),
        ("names", Text),
        ("publishers", Text),
        ("attested_by", Text),
        ("pins", Text),
        ("unsigned", Flag),
        ("created_at", Time),
    ],
    besides: None,
};

pub(super) const CATALOG_NAMES: CopiedTable = CopiedTable {
    name: "catalog_names",
    columns: &[("plugin", Text), ("catalog", Text), ("publisher", Text)],
    besides: None,
};

pub(super) const CATALOG_INSTALLS: CopiedTable = CopiedTable {
    name: "catalog_installs",
    columns: &[
        ("plugin", Text),
        ("catalog", Text),
        ("version", Text),
        ("digest", Text),
        ("wanted", Text),
        ("dependencies", Text),
        ("installed_by", Text),
        ("installed_at", Time),
        ("updated_at", Time),
    ],
    besides: None,
};

pub(super) const CATALOG_ADVISED: CopiedTable = CopiedTable {
    name: "catalog_advised",
    columns: &[("plugin", Text), ("version", Text), ("advisory", Text), ("act", Text), ("told_at", Time)],
    besides: None,
};

pub(super) const CATALOG_UPDATES: CopiedTable = CopiedTable {
    name: "catalog_updates",
    columns: &[("plugin", Text), ("version", Text), ("node", Text), ("tried_at", Time)],
    besides: None,
};

impl ColumnKind {
    /// How a column is read.
    pub(super) fn read(self, dialect: Dialect, column: &str) -> String {
        match self {
            Text | Number | Flag => column.to_owned(),
            Time | MaybeTime => dialect.milliseconds(column),
            ColumnKind::Json => format!("CAST({column} AS TEXT)"),
            ColumnKind::Bytes => match dialect {
                Dialect::Sqlite => format!("hex({column})"),
                Dialect::Postgres => format!("encode({column}, 'hex')"),
            },
        }
    }

    /// How a parameter is written.
    pub(super) fn write(self, dialect: Dialect, place: &str) -> String {
        match self {
            Text | Number | Flag | ColumnKind::Bytes => place.to_owned(),
            // A time that is none, which SQLite lets an operator write, becomes this moment.
            Time => format!("coalesce({}, {})", dialect.time(place), dialect.now()),
            MaybeTime => dialect.time(place),
            ColumnKind::Json => dialect.json(place),
        }
    }

    /// What was read, for the other side.
    pub(super) fn value(self, dialect: Dialect, read: &Json) -> Value {
        match self {
            Text => Value::Text(read.as_str().map(|text| storable(dialect, text))),
            Number | Time | MaybeTime => Value::Number(read.as_i64()),
            // SQLite says 1 or 0.
            Flag => Value::Flag(read.as_bool().unwrap_or_else(|| read.as_i64().unwrap_or(0) != 0)),
            ColumnKind::Bytes => Value::Bytes(of_hexadecimal(read.as_str().unwrap_or_default())),
            ColumnKind::Json => Value::Text(Some(document(dialect, read.as_str().unwrap_or("{}")))),
        }
    }
}

/// Bytes that were read as hexadecimal digits.
fn of_hexadecimal(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
    text.as_bytes().as_chunks().0.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

/// PostgreSQL keeps no NUL.
fn storable(dialect: Dialect, text: &str) -> String {
    match dialect {
        Dialect::Sqlite => text.to_owned(),
        Dialect::Postgres => text.replace('\0', ""),
    }
}

/// A document that PostgreSQL takes, too. SQLite checks nothing.
fn document(dialect: Dialect, text: &str) -> String {
    fn clean(document: &mut Json) {
        match document {
            Json::String(text) => *text = text.replace('\0', ""),
            Json::Array(items) => items.iter_mut().for_each(clean),
            Json::Object(members) => {
                *members = std::mem::take(members)
                    .into_iter()
                    .map(|(key, mut value)| {
                        clean(&mut value);
                        (key.replace('\0', ""), value)
                    })
                    .collect();
            }
            _ => {}
        }
    }
    let parsed = serde_json::from_str::<Json>(text);
    match parsed {
        _ if dialect == Dialect::Sqlite => text.to_owned(),
        Ok(mut document) if text.contains("\\u0000") => {
            clean(&mut document);
            document.to_string()
        }
        Ok(_) => text.to_owned(),
        Err(_) => json!({ "text": text.replace('\0', "") }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_such_as_postgresql_takes() {
        let written = |text| document(Dialect::Postgres, text);
        assert_eq!(written(r#"{"a": 1e400, "b": "\\u0041"}"#), r#"{"text":"{\"a\": 1e400, \"b\": \"\\\\u0041\"}"}"#);
        assert_eq!(written(r#"{"a":  "\u0041"}"#), r#"{"a":  "\u0041"}"#, "as it is");
        assert_eq!(written(r#"{"a\u0000":["b\u0000",{"c":"\\u0000"}]}"#), r#"{"a":["b",{"c":"\\u0000"}]}"#);
        assert_eq!(written("{\"reason\":\"a\tb\"}"), r#"{"text":"{\"reason\":\"a\tb\"}"}"#.replace("\t", "\\t"));
        assert_eq!(document(Dialect::Sqlite, "no document"), "no document");
    }
}
