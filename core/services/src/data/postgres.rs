//! Connections to the registry's PostgreSQL that are plugins' own: opened when first asked for, few, and closed when nobody used
//! them for a while.
//!
//! What must not live here: how the server is reached (whoever implements [`PostgresServer`]), and SQL of services.

use super::{
    pool::{LentConnection, PATIENCE, Pool},
    shares::ServiceShares,
    unavailable,
};
use camlock_policy::{AskError, BoxFuture};
use futures_core::Stream;
use std::{collections::HashMap, fmt, pin::Pin, sync::Arc};
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::{AsyncMessage, Client, Statement};

/// The part that keeps a connection going: it has to be polled, and what it yields are the server's messages.
pub type PostgresMessages = Pin<Box<dyn Stream<Item = Result<AsyncMessage, tokio_postgres::Error>> + Send>>;

/// A connection that was just opened.
pub struct PostgresLink {
    /// What statements are sent with.
    pub client: Client,
    /// What keeps it going.
    pub messages: PostgresMessages,
}

/// Who is to be logged in, if it is not the registry's own user.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The role.
    pub role: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not its password.
        formatter.debug_struct("Login").field("role", &self.role).finish_non_exhaustive()
    }
}

/// The server on which the registry is.
pub trait PostgresServer: Send + Sync + 'static {
    /// Connects, as the registry's user or as somebody else; else a sentence.
    fn connect(&self, login: Option<Login>) -> BoxFuture<Result<PostgresLink, String>>;

    /// What another program connects with as this role, with its password in it.
    fn url(&self, login: &Login) -> String;

    /// The schema that the registry's tables are in.
    fn schema(&self) -> &str;
}

/// Connections as the registry's user. Cheap to clone.
#[derive(Clone)]
pub struct PostgresConnections {
    server: Arc<dyn PostgresServer>,
    pool: Pool<OpenConnection>,
}

/// A connection that was opened, and what it has read.
pub(crate) struct OpenConnection {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

/// A connection in use. It goes back when it is dropped, unless something was begun with it that was not ended.
pub(crate) type PooledConnection = LentConnection<OpenConnection>;

impl fmt::Debug for PostgresConnections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresConnections").field("schema", &self.schema()).finish_non_exhaustive()
    }
}

impl PostgresConnections {
    /// At most so many connections, which are kept going on that runtime.
    pub fn new(server: Arc<dyn PostgresServer>, most: usize, runtime: Handle) -> Self {
        PostgresConnections { server, pool: Pool::new(most, runtime) }
    }

    /// The same, for which plugins have these shares of time.
    pub fn with_shares(self, shares: ServiceShares) -> Self {
        PostgresConnections { pool: self.pool.with_shares(shares), ..self }
    }

    /// The schema that the registry's tables are in.
    pub fn schema(&self) -> &str {
        self.server.schema()
    }

    /// Where connections are kept going.
    pub(crate) fn runtime(&self) -> &Handle {
        self.pool.runtime()
    }

    /// A connection that is not one of these few: for listening.
    pub(crate) async fn link(&self) -> Result<PostgresLink, AskError> {
        link(&*self.server, None).await
    }

    /// A connection for a plugin's work.
    pub(crate) async fn get(&self, plugin: &Arc<str>) -> Result<PooledConnection, AskError> {
        let turn = self.pool.turn(plugin).await?;
        self.pool.forget(|connection| connection.client.is_closed());
        let connection = match self.pool.rested(|_| true) {
            Some(connection) => connection,
            None => self.open().await?,
        };
        Ok(self.pool.lend(turn, connection))
    }

    async fn open(&self) -> Result<OpenConnection, AskError> {
        let client = open(&*self.server, None, self.runtime()).await?;
        let settings = format!(
            "SET search_path TO \"{}\"; SET statement_timeout TO '5s'; SET lock_timeout TO '4s'; \
             SET idle_in_transaction_session_timeout TO '10s'",
            self.schema()
        );
        client.batch_execute(&settings).await.map_err(unavailable)?;
        Ok(OpenConnection { client, statements: HashMap::new() })
    }
}

/// Connects, within a while.
async fn link(server: &dyn PostgresServer, login: Option<Login>) -> Result<PostgresLink, AskError> {
    let opened = timeout(PATIENCE, server.connect(login)).await;
    opened.unwrap_or_else(|_| Err("the database does not answer".to_owned())).map_err(unavailable)
}

/// Connects, and keeps the connection going on that runtime.
pub(crate) async fn open(
    server: &dyn PostgresServer,
    login: Option<Login>,
    runtime: &Handle,
) -> Result<Client, AskError> {
    let PostgresLink { client, messages } = link(server, login).await?;
    runtime.spawn(drive(messages, |_| ()));
    Ok(client)
}

impl PooledConnection {
    /// What statements are sent with.
    pub(crate) fn client(&self) -> Result<&Client, AskError> {
        self.peek().map(|connection| &connection.client)
    }

    /// A statement, which the server has read once.
    pub(crate) async fn statement(&mut self, sql: &'static str) -> Result<Statement, AskError> {
        let connection = self.get()?;
        if let Some(known) = connection.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = connection.client.prepare(sql).await;
        let statement = statement.map_err(|error| match error.as_db_error() {
            Some(told) => unavailable(told.message()),
            None => unavailable(error),
        })?;
        connection.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

/// Keeps a connection going until it ends, and tells of the server's messages.
pub(crate) async fn drive(mut messages: PostgresMessages, mut told: impl FnMut(AsyncMessage) + Send) {
    while let Some(Ok(message)) = std::future::poll_fn(|context| messages.as_mut().poll_next(context)).await {
        told(message);
    }
}
