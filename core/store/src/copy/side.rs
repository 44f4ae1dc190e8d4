//! One of the two registries between which is copied: a connection, and one transaction.

use super::tables::{CopiedRow, CopiedTable};
use crate::{
    Trouble,
    address::Address,
    connection::{DatabaseConnection, Dialect, Value},
    database::Word,
};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Binary},
};
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

/// The tables that have triggers and numbers, with what is numbered.
const NUMBERED: [(&str, &str); 3] = [("plugin_journal", "id"), ("artifacts", "number"), ("api_tokens", "id")];

pub(super) struct Side {
    pub(super) address: Address,
    connection: DatabaseConnection,
    /// SQLite's triggers that are gone for the time being.
    triggers: Vec<String>,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Bytes {
    #[diesel(sql_type = Binary)]
    bytes: Vec<u8>,
}

impl Side {
    /// Nothing is changed by this. However long it takes is in order.
    async fn begin(address: &Address, mut connection: DatabaseConnection, begin: [&str; 2]) -> Result<Self, Trouble> {
        let begin = match connection.dialect {
            Dialect::Sqlite => begin[0].to_owned(),
            Dialect::Postgres => {
                format!("SET statement_timeout TO 0; SET idle_in_transaction_session_timeout TO 0; {}", begin[1])
            }
        };
        let begun = connection.batch(&begin).await;
        let side = Side { address: address.clone(), connection, triggers: Vec::new() };
        side.outcome_of(begun)?;
        Ok(side)
    }

    /// One moment of a registry.
    pub(super) async fn to_read(address: &Address) -> Result<Self, Trouble> {
        let connection = DatabaseConnection::open_to_look(address, &Arc::new(AtomicU64::new(0))).await?;
        Side::begin(address, connection, ["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]).await
    }

    /// A registry that nobody else writes to meanwhile.
    pub(super) async fn to_write(address: &Address) -> Result<Self, Trouble> {
        let all = "BEGIN; LOCK TABLE plugins, plugin_secrets, secrets_key, plugin_quarantine, plugin_journal, artifacts, api_tokens, \
             nodes \
             IN SHARE ROW EXCLUSIVE MODE";
        let connection = DatabaseConnection::open_to_change(address, &Arc::new(AtomicU64::new(0))).await?;
        Side::begin(address, connection, ["PRAGMA foreign_keys = ON; BEGIN IMMEDIATE", all]).await
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.connection.dialect
    }

    fn outcome_of<T>(&self, outcome: diesel::QueryResult<T>) -> Result<T, Trouble> {
        outcome.map_err(|error| Trouble::of_using(&self.address, &error))
    }

    async fn batch(&mut self, sql: &str) -> Result<(), Trouble> {
        let outcome = self.connection.batch(sql).await;
        self.outcome_of(outcome)
    }

    async fn words(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<String>, Trouble> {
        let outcome = self.connection.rows::<Word>(sql, values).await;
        Ok(self.outcome_of(outcome)?.into_iter().map(|row| row.word).collect())
    }

    /// Rows of a table, and one expression more of each.
    pub(super) async fn rows(
        &mut self,
        table: &CopiedTable,
        more: &str,
        which: &str,
        values: Vec<Value>,
    ) -> Result<Vec<CopiedRow>, Trouble> {
        let dialect = self.dialect();
        let array = match dialect {
            Dialect::Sqlite => "json_array",
            Dialect::Postgres => "json_build_array",
        };
        let columns: Vec<_> = table.columns.iter().map(|(column, kind)| kind.read(dialect, column)).collect();
        let columns = columns.join(", ");
        let rows = format!("SELECT CAST({array}({columns}{more}) AS TEXT) AS word FROM {} {which}", table.name);
        let read = self.words(&rows, values).await?;
        let rows: Result<Vec<CopiedRow>, _> = read.iter().map(|row| serde_json::from_str(row)).collect();
        rows.map_err(|error| {
            Trouble::passing(format!(
                "{} has a row in `{}` that cannot be read: {error}",
                self.address.place(),
                table.name
            ))
        })
    }

    pub(super) async fn insert(&mut self, table: &CopiedTable, rows: &[CopiedRow]) -> Result<(), Trouble> {
        // As many parameters as either database takes at once, by far.
        for rows in rows.chunks(200) {
            let (dialect, width) = (self.dialect(), table.columns.len());
            let besides = table.besides.filter(|_| dialect == Dialect::Postgres);
            let row = |row: usize| {
                let places = table.columns.iter().enumerate();
                let places = places.map(|(at, (_, kind))| kind.write(dialect, &format!("${}", row * width + at + 1)));
                let places = places.chain(besides.map(|(_, value)| value.to_owned()));
                format!("({})", places.collect::<Vec<_>>().join(", "))
            };
            let columns = table.columns.iter().map(|(column, _)| *column).chain(besides.map(|(column, _)| column));
            let insert = format!(
                "INSERT INTO {} ({}) VALUES {}",
                table.name,
                columns.collect::<Vec<_>>().join(", "),
                (0..rows.len()).map(row).collect::<Vec<_>>().join(", ")
            );
            let of_row = |row: &CopiedRow| -> Vec<Value> {
                table.columns.iter().zip(row).map(|((_, kind), read)| kind.value(dialect, read)).collect()
            };
            let outcome = self.connection.run(&insert, rows.iter().flat_map(of_row).collect()).await;
            self.outcome_of(outcome)?;
        }
        Ok(())
    }

    /// There is no word of a key for secrets any more.
    pub(super) async fn forget_key(&mut self) -> Result<(), Trouble> {
        self.batch("DELETE FROM secrets_key").await
    }

    /// Artifacts whose bytes are there.
    pub(super) async fn digests(&mut self) -> Result<Vec<String>, Trouble> {
        self.words("SELECT digest AS word FROM artifact_bytes ORDER BY digest", vec![]).await
    }

    pub(super) async fn bytes(&mut self, digest: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let bytes = "SELECT bytes FROM artifact_bytes WHERE digest = $1";
        let outcome = self.connection.rows::<Bytes>(bytes, vec![digest.into()]).await;
        Ok(self.outcome_of(outcome)?.pop().map(|row| row.bytes))
    }

    pub(super) async fn insert_bytes(&mut self, digest: &str, bytes: Vec<u8>) -> Result<(), Trouble> {
        let insert = "INSERT INTO artifact_bytes (digest, bytes) VALUES ($1, $2)";
        let outcome = self.connection.run(insert, vec![digest.into(), bytes.into()]).await;
        self.outcome_of(outcome).map(drop)
    }

    /// Why this is not an empty registry that nobody uses.
    pub(super) async fn in_use(&mut self, silence: Duration) -> Result<Option<String>, Trouble> {
        for table in ["plugins", "plugin_journal", "artifacts", "artifact_bytes", "api_tokens", "rollouts", "catalogs"]
        {
            let any = format!("SELECT '' AS word FROM {table} LIMIT 1");
            if !self.words(&any, vec![]).await?.is_empty() {
                return Ok(Some(format!("there is something in `{table}`")));
            }
        }
        let silence = -i64::try_from(silence.as_millis()).unwrap_or(i64::MAX);
        let alive = format!("SELECT id AS word FROM nodes WHERE heard_at > {} LIMIT 1", self.dialect().later("$1"));
        let alive = self.words(&alive, vec![silence.into()]).await?.pop();
        Ok(alive.map(|node| format!("the server {node} runs on it, end it first")))
    }

    /// Nothing follows from what is written from now on.
    pub(super) async fn rest_triggers(&mut self) -> Result<(), Trouble> {
        match self.dialect() {
            // There they cannot be switched off. A transaction that fails brings them back.
            Dialect::Sqlite => {
                self.triggers = self
                    .words("SELECT sql AS word FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid", vec![])
                    .await?;
                for name in self.words("SELECT name AS word FROM sqlite_master WHERE type = 'trigger'", vec![]).await? {
                    self.batch(&format!("DROP TRIGGER \"{name}\"")).await?;
                }
                Ok(())
            }
            Dialect::Postgres => self.batch(&switch("DISABLE")).await,
        }
    }

    /// From now on everything follows again.
    pub(super) async fn wake_triggers(&mut self) -> Result<(), Trouble> {
        match self.dialect() {
            Dialect::Sqlite => {
                for trigger in std::mem::take(&mut self.triggers) {
                    self.batch(&trigger).await?;
                }
                Ok(())
            }
            Dialect::Postgres => self.batch(&switch("ENABLE")).await,
        }
    }

    /// The last revision that was given out, also if what had it is gone.
    pub(super) async fn last_revision(&mut self) -> Result<i64, Trouble> {
        let last = match self.dialect() {
            Dialect::Sqlite => {
                "SELECT max(revision, (SELECT coalesce(max(revision), 0) FROM plugins)) AS number FROM registry_clock"
            }
            Dialect::Postgres => {
                "SELECT greatest(last_value, (SELECT max(revision) FROM plugins)) AS number FROM plugin_revisions"
            }
        };
        let outcome = self.connection.rows::<Number>(last, vec![]).await;
        Ok(self.outcome_of(outcome)?.pop().map_or(0, |row| row.number))
    }

    /// Revisions and numbers that are given out later come after all that are there.
    pub(super) async fn go_on_after(&mut self, revision: i64) -> Result<(), Trouble> {
        match self.dialect() {
            // Its numbers do so by themselves.
            Dialect::Sqlite => {
                let clock = "UPDATE registry_clock SET revision = $1, fleet = fleet + 1, tokens = tokens + 1";
                let outcome = self.connection.run(clock, vec![revision.into()]).await;
                self.outcome_of(outcome).map(drop)
            }
            Dialect::Postgres => {
                let mut all = format!("SELECT setval('plugin_revisions', {})", revision.max(1));
                for (table, number) in NUMBERED {
                    all += &format!(
                        "; SELECT setval(pg_get_serial_sequence('{table}', '{number}'), (SELECT max({number}) FROM {table}))"
                    );
                }
                self.batch(&all).await
            }
        }
    }

    pub(super) async fn commit(&mut self) -> Result<(), Trouble> {
        self.batch("COMMIT").await
    }
}

/// Only a table's owner may, which is whoever made the schema.
fn switch(how: &str) -> String {
    let tables = [
        "plugins",
        "plugin_grants",
        "plugin_secrets",
        "plugin_quarantine",
        "plugin_journal",
        "artifacts",
        "api_tokens",
    ];
    tables.map(|table| format!("ALTER TABLE {table} {how} TRIGGER USER")).join("; ")
}
