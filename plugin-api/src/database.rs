//! A plugin's own tables, in whichever database the host has. What must not live here: SQL, which is the author's.

mod row;
mod rows;
mod transaction;
mod value;
mod wire;

pub use row::{FromSql, Row};
pub use rows::RowStream;
pub use transaction::Transaction;
pub use value::{SqlParams, SqlValue};

use crate::{Host, HostError};
use axum::body::Body;
use http::Request;
use rows::Replies;

/// The tables of a plugin: those that its migrations made, called `p_<plugin>__<table>`.
///
/// Parameters are `$1`, `$2` and so on. In SQLite they are numbered as they first appear: write them in that order, and the same
/// statement goes with both databases.
///
/// Each call is a transaction of its own; [`begin`](Database::begin) makes one of several.
#[derive(Clone, Debug)]
pub struct Database(Host);

impl Host {
    /// The plugin's own tables. It needs the permission `database`.
    pub fn database(&self) -> Database {
        Database(self.clone())
    }
}

impl Database {
    /// Runs a statement that has rows. They come as they are taken.
    pub async fn query(&self, sql: &str, params: impl SqlParams) -> Result<RowStream<'static>, HostError> {
        let order = wire::statement(sql, &params.into_values())?;
        RowStream::begin(Replies::new(self.ask(Body::from(order)).await?)).await
    }

    /// Runs a statement, and says how many rows it changed.
    pub async fn execute(&self, sql: &str, params: impl SqlParams) -> Result<u64, HostError> {
        self.query(sql, params).await?.finish().await
    }

    /// Begins a transaction. Dropping it takes back what was done.
    pub async fn begin(&self) -> Result<Transaction, HostError> {
        let (orders, body) = transaction::orders();
        let answer = self.ask(Body::new(body)).await?;
        Transaction::begin(orders, Replies::new(answer)).await
    }

    /// Changes tables while the plugin runs, for those whose tables are what their users make them: statements as they stand in
    /// migrations, all of them or none. Nothing is on record of it, and what it takes away is gone for earlier versions too.
    pub async fn define(&self, sql: impl Into<String>) -> Result<(), HostError> {
        self.ask_at("/database/1/tables", Body::from(sql.into())).await.map(drop)
    }

    /// A URL with which a client of the plugin's own (diesel, sqlx) connects to PostgreSQL, as a role that reaches its tables' rows
    /// alone. It needs the permission `database:direct`; with SQLite there is none.
    ///
    /// The role, its password with it, is the plugin's as long as it is not removed with all that it kept.
    pub async fn url(&self) -> Result<String, HostError> {
        let url = self.ask_at("/database/1/url", Body::empty()).await?;
        let url = axum::body::to_bytes(url, 64 << 10).await.map_err(|error| wire::invalid(error.to_string()))?;
        String::from_utf8(url.into()).map_err(|error| wire::invalid(error.to_string()))
    }

    async fn ask(&self, body: Body) -> Result<Body, HostError> {
        self.ask_at("/database/1", body).await
    }

    async fn ask_at(&self, path: &str, body: Body) -> Result<Body, HostError> {
        let request = Request::post(path).body(body).map_err(|error| wire::invalid(error.to_string()))?;
        Ok(self.0.ask(request).await?.into_body())
    }
}
