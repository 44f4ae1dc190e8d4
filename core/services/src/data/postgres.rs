//! Connections to the registry's PostgreSQL that are plugins' own: opened when first asked for, few, and closed when nobody used
//! them for a while.
//!
//! What must not live here: how the server is reached (whoever implements [`PostgresServer`]), and SQL of services.

use super::{IDLE, WAITING, too_many, unavailable};
use camlock_policy::{AskError, BoxFuture};
use futures_core::Stream;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_postgres::{AsyncMessage, Client, Statement};

/// How long it is waited for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

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

    /// The schema that the registry's tables are in.
    fn schema(&self) -> &str;
}

/// Connections as the registry's user. Cheap to clone.
#[derive(Clone)]
pub struct PostgresConnections(Arc<SharedConnections>);

struct SharedConnections {
    server: Arc<dyn PostgresServer>,
    runtime: Handle,
    most: usize,
    open: Arc<Semaphore>,
    /// Of each plugin: so that one alone cannot have them all.
    shares: Mutex<HashMap<Arc<str>, Share>>,
    resting: Mutex<Resting>,
}

/// Connections that nobody uses for now.
#[derive(Default)]
struct Resting {
    connections: Vec<(Instant, OpenConnection)>,
    /// Whether somebody closes those that rest for long.
    looked_after: bool,
}

#[derive(Clone)]
struct Share {
    waiting: Arc<Semaphore>,
    using: Arc<Semaphore>,
}

struct OpenConnection {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

/// A connection in use. It goes back when it is dropped, unless something was begun with it that was not ended.
pub(crate) struct PooledConnection {
    connection: Option<OpenConnection>,
    shared: Weak<SharedConnections>,
    clean: bool,
    _permits: [OwnedSemaphorePermit; 3],
}

impl fmt::Debug for PostgresConnections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresConnections").field("schema", &self.schema()).finish_non_exhaustive()
    }
}

impl PostgresConnections {
    /// At most so many connections, which are kept going on that runtime.
    pub fn new(server: Arc<dyn PostgresServer>, most: usize, runtime: Handle) -> Self {
        let most = most.max(1);
        PostgresConnections(Arc::new(SharedConnections {
            server,
            runtime,
            most,
            open: Arc::new(Semaphore::new(most)),
            shares: Mutex::default(),
            resting: Mutex::default(),
        }))
    }

    /// The schema that the registry's tables are in.
    pub fn schema(&self) -> &str {
        self.0.server.schema()
    }

    /// Where connections are kept going.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// A connection that is not one of these few: for listening.
    pub(crate) async fn link(&self) -> Result<PostgresLink, AskError> {
        let opened = timeout(PATIENCE, self.0.server.connect(None)).await;
        opened.unwrap_or_else(|_| Err("the database does not answer".to_owned())).map_err(unavailable)
    }

    /// A connection for a plugin's work.
    pub(crate) async fn get(&self, plugin: &Arc<str>) -> Result<PooledConnection, AskError> {
        let share = self.share(plugin);
        let waiting = share.waiting.try_acquire_owned().map_err(|_| too_many())?;
        let turn = async { (share.using.acquire_owned().await, self.0.open.clone().acquire_owned().await) };
        let (Ok(using), Ok(open)) = timeout(PATIENCE, turn).await.map_err(|_| unavailable("it has too much to do"))?
        else {
            return Err(unavailable("it is ending"));
        };
        let rested = std::iter::from_fn(|| self.0.resting.lock().connections.pop());
        let rested = rested.map(|(_, connection)| connection).find(|connection| !connection.client.is_closed());
        let connection = match rested {
            Some(connection) => connection,
            None => self.open().await?,
        };
        let shared = Arc::downgrade(&self.0);
        let _permits = [waiting, using, open];
        Ok(PooledConnection { connection: Some(connection), shared, clean: true, _permits })
    }

    fn share(&self, plugin: &Arc<str>) -> Share {
        let most = (self.0.most - 1).max(1);
        let new = || Share { waiting: Arc::new(Semaphore::new(WAITING)), using: Arc::new(Semaphore::new(most)) };
        self.0.shares.lock().entry(plugin.clone()).or_insert_with(new).clone()
    }

    async fn open(&self) -> Result<OpenConnection, AskError> {
        let PostgresLink { client, messages } = self.link().await?;
        self.0.runtime.spawn(drive(messages, |_| ()));
        let settings = format!(
            "SET search_path TO \"{}\"; SET statement_timeout TO '5s'; SET lock_timeout TO '4s'; \
             SET idle_in_transaction_session_timeout TO '10s'",
            self.schema()
        );
        client.batch_execute(&settings).await.map_err(unavailable)?;
        Ok(OpenConnection { client, statements: HashMap::new() })
    }
}

impl SharedConnections {
    /// Keeps a connection for whoever comes next, for a while.
    fn rest(self: &Arc<Self>, connection: OpenConnection) {
        let mut resting = self.resting.lock();
        resting.connections.push((Instant::now(), connection));
        if std::mem::replace(&mut resting.looked_after, true) {
            return;
        }
        let shared = Arc::downgrade(self);
        self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(IDLE / 4).await;
                let Some(shared) = shared.upgrade() else { return };
                let mut resting = shared.resting.lock();
                resting.connections.retain(|(since, _)| since.elapsed() < IDLE);
                resting.looked_after = !resting.connections.is_empty();
                if !resting.looked_after {
                    return;
                }
            }
        });
    }
}

impl PooledConnection {
    /// What statements are sent with.
    pub(crate) fn client(&self) -> Result<&Client, AskError> {
        self.connection.as_ref().map(|connection| &connection.client).ok_or_else(|| unavailable("it is closed"))
    }

    /// A statement, which the server has read once.
    pub(crate) async fn statement(&mut self, sql: &'static str) -> Result<Statement, AskError> {
        let connection = self.connection.as_mut().ok_or_else(|| unavailable("it is closed"))?;
        if let Some(known) = connection.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = connection.client.prepare(sql).await.map_err(unavailable)?;
        connection.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    /// From now on something is open that would be in the next one's way, until it is [`ended`](Self::ended).
    pub(crate) fn begun(&mut self) {
        self.clean = false;
    }

    /// Nothing is open any more.
    pub(crate) fn ended(&mut self) {
        self.clean = true;
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take().filter(|connection| self.clean && !connection.client.is_closed())
        else {
            return;
        };
        if let Some(shared) = self.shared.upgrade() {
            shared.rest(connection);
        }
    }
}

/// Keeps a connection going until it ends, and tells of the server's messages.
pub(crate) async fn drive(mut messages: PostgresMessages, mut told: impl FnMut(AsyncMessage) + Send) {
    while let Some(Ok(message)) = std::future::poll_fn(|context| messages.as_mut().poll_next(context)).await {
        told(message);
    }
}
