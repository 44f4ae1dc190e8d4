//! Plugins' tables in a file: connections that are the host's, fenced for one plugin's session after the other.
//!
//! What must not live here: what the fence lets through.

use super::{KnownPlugin, unavailable};
use crate::{
    data::{Pool, PoolTurn, ServiceShares, SqliteFile, unavailable as no_data},
    database::{
        MigrationError, TableChange,
        plan::{Applied, RanByPlugin},
        service::{Ended, Session},
        sqlite::{self, FencedConnection},
    },
};
use camlock_policy::{AskError, BoxFuture, PluginTablesView};
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// How long a session, or a migration, waits until another's transaction has ended: longer than one may take.
const BUSY: Duration = Duration::from_secs(12);

#[derive(Clone)]
pub(in crate::database) struct FileTables {
    file: SqliteFile,
    pool: Pool<FencedConnection>,
}

impl fmt::Debug for FileTables {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("FileTables").field(&self.file).finish()
    }
}

fn open(file: &SqliteFile) -> rusqlite::Result<FencedConnection> {
    let connection = file.connect()?;
    connection.busy_timeout(BUSY)?;
    FencedConnection::new(connection)
}

impl FileTables {
    pub(super) fn new(file: SqliteFile, sessions: usize, runtime: Handle) -> Self {
        FileTables { file, pool: Pool::new(sessions, runtime) }
    }

    pub(super) fn with_shares(self, shares: ServiceShares) -> Self {
        FileTables { pool: self.pool.with_shares(shares), ..self }
    }

    /// Work of the host's, on a connection of its own.
    pub(in crate::database) async fn host<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut FencedConnection) -> Result<T, MigrationError> + Send + 'static,
    ) -> Result<T, MigrationError> {
        let file = self.file.clone();
        let work = move || {
            let opened = open(&file);
            let mut connection =
                opened.map_err(|error| unavailable(format!("{} cannot be opened ({error})", file.path().display())))?;
            work(&mut connection)
        };
        self.pool.runtime().spawn_blocking(work).await.unwrap_or_else(|error| Err(unavailable(error)))
    }

    pub(super) async fn on_record(&self) -> Result<(RanByPlugin, BTreeSet<String>), MigrationError> {
        if !self.file.path().exists() {
            return Ok(Default::default());
        }
        let read = |connection: &mut FencedConnection| {
            let connection = connection.as_host();
            Ok((sqlite::all_applied(connection)?, sqlite::of_plugins(connection)?))
        };
        self.host(move |connection| read(connection).map_err(|error: rusqlite::Error| unavailable(error))).await
    }

    pub(super) async fn applied(&self, plugin: &Arc<str>) -> Result<Vec<Applied>, MigrationError> {
        let plugin = plugin.clone();
        self.host(move |connection| sqlite::applied(connection.as_host(), &plugin).map_err(unavailable)).await
    }

    /// What a plugin has. Nobody has anything where there is no file yet.
    pub(super) async fn kept(&self, plugin: &Arc<str>) -> Result<PluginTablesView, MigrationError> {
        if !self.file.path().exists() {
            return Ok(PluginTablesView::default());
        }
        let plugin = plugin.clone();
        self.host(move |connection| sqlite::kept(connection.as_host(), &plugin).map_err(unavailable)).await
    }

    /// Waits until it is the plugin's turn to use a connection.
    pub(super) async fn turn(&self, plugin: &Arc<str>) -> Result<PoolTurn, AskError> {
        self.pool.turn(plugin).await
    }

    pub(super) async fn change(
        &self,
        plugin: &Arc<str>,
        change: TableChange,
        within: Duration,
    ) -> Result<(), MigrationError> {
        let plugin = plugin.clone();
        self.host(move |connection| sqlite::migrate(connection, &plugin, &change, within)).await
    }

    /// Nobody is told as long as nobody has a table.
    pub(super) async fn tell_plugins(&self, known: Vec<KnownPlugin>) -> Result<bool, MigrationError> {
        if !self.file.path().exists() {
            return Ok(false);
        }
        self.host(move |connection| sqlite::tell_plugins(connection.as_host(), &known).map_err(unavailable)).await?;
        Ok(true)
    }

    pub(super) async fn purge(&self, plugin: &Arc<str>) -> Result<(), MigrationError> {
        if !self.file.path().exists() {
            return Ok(());
        }
        let plugin = plugin.clone();
        self.host(move |connection| sqlite::drop_tables(connection, &plugin).map_err(unavailable)).await
    }

    /// A session has a thread of its own as long as it lasts.
    pub(super) fn start(&self, plugin: &Arc<str>, session: Session) -> BoxFuture<Result<(), AskError>> {
        let (tables, plugin) = (self.clone(), plugin.clone());
        Box::pin(async move {
            let turn = tables.pool.turn(&plugin).await?;
            let connection = match tables.pool.rested(|_| true) {
                Some(connection) => connection,
                None => {
                    let file = tables.file.clone();
                    let opened = tables.pool.runtime().spawn_blocking(move || open(&file)).await;
                    opened.map_err(no_data)?.map_err(no_data)?
                }
            };
            let mut lent = tables.pool.lend(turn, connection);
            let session = session.counting(lent.idle());
            tables.pool.runtime().spawn_blocking(move || {
                // Should it panic, the connection is closed.
                lent.spoil();
                if let Ok(connection) = lent.get()
                    && session.run_on_sqlite(connection, &plugin) == Ended::Reusable
                {
                    lent.restore();
                }
            });
            Ok(())
        })
    }
}
