//! Plugins' tables on the registry's server: two roles a plugin, whose passwords are made of a key in the registry.
//!
//! What must not live here: what roles may.

use super::{unavailable, wholly};
use crate::{
    data::{Login, Pool, PoolTurn, PostgresServer, ServiceShares, open},
    database::{
        MigrationError, TableChange,
        kept::describe,
        plan::{Applied, RanByPlugin},
        postgres::{self, PluginRoles, RoleLimits, RolePasswords},
        service::{Ended, LONGEST, Session},
    },
};
use camlock_policy::{AskError, BoxFuture, PluginTablesView, SqlRights};
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};
use tokio::runtime::Handle;
use tokio_postgres::Client;

#[derive(Clone)]
pub(in crate::database) struct ServerTables {
    server: Arc<dyn PostgresServer>,
    pool: Pool<RoleConnection>,
    limits: RoleLimits,
}

/// A connection that logged in as a plugin's role for run time.
struct RoleConnection {
    plugin: Arc<str>,
    client: Client,
    /// Its number on the server.
    backend: i32,
}

/// A connection of the host's, and what it takes to log in as a plugin.
struct HostConnection {
    client: Client,
    roles: PluginRoles,
    passwords: RolePasswords,
}

impl fmt::Debug for ServerTables {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ServerTables").field(&self.server.schema()).finish()
    }
}

impl ServerTables {
    pub(super) fn new(server: Arc<dyn PostgresServer>, connections: usize, runtime: Handle) -> Self {
        let most = u32::try_from(connections).unwrap_or(u32::MAX);
        let limits = RoleLimits { connections: most.max(RoleLimits::default().connections), ..RoleLimits::default() };
        ServerTables { server, pool: Pool::new(connections, runtime), limits }
    }

    pub(super) fn with_shares(self, shares: ServiceShares) -> Self {
        ServerTables { pool: self.pool.with_shares(shares), ..self }
    }

    async fn host(&self, plugin: &str) -> Result<HostConnection, MigrationError> {
        let client =
            open(&*self.server, None, self.pool.runtime()).await.map_err(|error| unavailable(error.message))?;
        let (database, passwords) = postgres::passwords(&client, self.server.schema()).await?;
        let roles = PluginRoles::of(&database, self.server.schema(), plugin);
        Ok(HostConnection { client, roles, passwords })
    }

    async fn log_in(&self, host: &HostConnection, role: &str) -> Result<Client, MigrationError> {
        let login = Login { role: role.to_owned(), password: host.passwords.of(role)? };
        open(&*self.server, Some(login), self.pool.runtime()).await.map_err(|error| unavailable(error.message))
    }

    /// A connection of the role that owns a plugin's tables, as it is.
    pub(in crate::database) async fn owner(&self, plugin: &str) -> Result<Client, MigrationError> {
        let host = self.host(plugin).await?;
        self.log_in(&host, &host.roles.migrate).await
    }

    pub(in crate::database) fn schema(&self) -> &str {
        self.server.schema()
    }

    pub(super) async fn on_record(&self) -> Result<(RanByPlugin, BTreeSet<String>), MigrationError> {
        let host = open(&*self.server, None, self.pool.runtime()).await.map_err(|error| unavailable(error.message))?;
        postgres::on_record(&host, self.server.schema()).await
    }

    /// Sets the roles right, with what the plugin may, if that is known, and tells which migrations have run.
    pub(super) async fn applied(
        &self,
        plugin: &Arc<str>,
        rights: Option<&SqlRights>,
    ) -> Result<Vec<Applied>, MigrationError> {
        let (tables, plugin, rights) = (self.clone(), plugin.clone(), rights.cloned());
        wholly(self.pool.runtime(), async move {
            let mut host = tables.host(&plugin).await?;
            let limits = tables.limits;
            postgres::ensure_roles(&mut host.client, &host.roles, &host.passwords, limits, rights.as_ref()).await?;
            postgres::applied(&host.client, &host.roles.schema, &plugin).await
        })
        .await
    }

    pub(super) async fn change(
        &self,
        plugin: &Arc<str>,
        change: TableChange,
        within: Duration,
    ) -> Result<(), MigrationError> {
        let (tables, plugin) = (self.clone(), plugin.clone());
        wholly(self.pool.runtime(), async move {
            let host = tables.host(&plugin).await?;
            let mut migrating = tables.log_in(&host, &host.roles.migrate).await?;
            let backend = number(&migrating).await?;
            let done = postgres::migrate(&host.client, &mut migrating, &host.roles, &change, within).await;
            if done.is_err() {
                tables.end(&host, &host.roles.migrate, backend).await;
            }
            done
        })
        .await
    }

    pub(super) async fn purge(&self, plugin: &Arc<str>) -> Result<(), MigrationError> {
        let (tables, plugin) = (self.clone(), plugin.clone());
        wholly(self.pool.runtime(), async move {
            let mut host = tables.host(&plugin).await?;
            // Whoever comes second finds all of it done, and not its roles without their rights, in the middle.
            let mut turn = tables.host(&plugin).await?;
            let _turn = postgres::turn_to_purge(&mut turn.client, &host.roles.schema).await?;
            if !postgres::has_roles(&host.client, &host.roles).await? {
                return Ok(());
            }
            tables.pool.forget(|connection| connection.plugin == plugin);
            // Their passwords have to be those of this key.
            postgres::ensure_roles(&mut host.client, &host.roles, &host.passwords, tables.limits, None).await?;
            let mut migrating = tables.log_in(&host, &host.roles.migrate).await?;
            let running = tables.log_in(&host, &host.roles.run).await?;
            postgres::drop_tables(&mut host.client, &mut migrating, &running, &host.roles).await
        })
        .await
    }

    /// What a plugin has, as its own role sees it, on one of the connections that it may use.
    pub(super) async fn kept(&self, plugin: &Arc<str>) -> Result<PluginTablesView, MigrationError> {
        let (tables, plugin) = (self.clone(), plugin.clone());
        wholly(self.pool.runtime(), async move {
            let host = tables.host(&plugin).await?;
            if !postgres::has_roles(&host.client, &host.roles).await? {
                return Ok(PluginTablesView::default());
            }
            let applied = postgres::applied(&host.client, &host.roles.schema, &plugin).await?;
            let turn = tables.pool.turn(&plugin).await.map_err(|error| unavailable(error.message))?;
            tables.pool.forget(|connection| connection.client.is_closed());
            let connection = match tables.pool.rested(|connection| connection.plugin == plugin) {
                Some(connection) => connection,
                None => tables.open(&plugin).await?,
            };
            let mut lent = tables.pool.lend(turn, connection);
            // What ends in the middle is closed.
            lent.spoil();
            let connection = lent.get().map_err(|error| unavailable(error.message))?;
            let counted = postgres::kept(&connection.client, &host.roles.schema, &plugin).await?;
            lent.restore();
            Ok(describe(counted, applied))
        })
        .await
    }

    pub(super) fn start(&self, plugin: &Arc<str>, session: Session) -> BoxFuture<Result<(), AskError>> {
        let (tables, plugin) = (self.clone(), plugin.clone());
        Box::pin(async move {
            let turn = tables.pool.turn(&plugin).await?;
            tables.pool.forget(|connection| connection.client.is_closed());
            let connection = match tables.pool.rested(|connection| connection.plugin == plugin) {
                Some(connection) => connection,
                None => tables.open(&plugin).await.map_err(crate::data::unavailable)?,
            };
            let mut lent = tables.pool.lend(turn, connection);
            let session = session.counting(lent.idle());
            let (runtime, schema) = (tables.pool.runtime().clone(), tables.server.schema().to_owned());
            runtime.spawn(async move {
                // Should it panic, or end in the middle, the connection is closed.
                lent.spoil();
                let Ok(connection) = lent.get() else { return };
                let backend = connection.backend;
                if session.run_on_postgres(&connection.client, &plugin, &schema).await == Ended::Reusable {
                    lent.restore();
                } else if let Ok(host) = tables.host(&plugin).await {
                    // The server does not notice that nobody waits any more.
                    tables.end(&host, &host.roles.run, backend).await;
                }
            });
            Ok(())
        })
    }

    /// From now on the plugin's role may this by SQL. One that has no role yet is told nothing.
    pub(super) async fn let_by_sql(&self, plugin: &str, rights: &SqlRights) -> Result<(), MigrationError> {
        let mut host = self.host(plugin).await?;
        if postgres::has_roles(&host.client, &host.roles).await? {
            postgres::let_by_sql(&mut host.client, &host.roles, rights).await?;
        }
        Ok(())
    }

    /// What logs in as the plugin, for those who bring a client of their own.
    pub(super) async fn url(&self, plugin: &Arc<str>) -> Result<String, MigrationError> {
        let host = self.host(plugin).await?;
        let password = host.passwords.of(&host.roles.run)?;
        Ok(self.server.url(&Login { role: host.roles.run, password }))
    }

    async fn open(&self, plugin: &Arc<str>) -> Result<RoleConnection, MigrationError> {
        let host = self.host(plugin).await?;
        let client = self.log_in(&host, &host.roles.run).await?;
        client.batch_execute(LONGEST).await.map_err(unavailable)?;
        let backend = number(&client).await?;
        Ok(RoleConnection { plugin: plugin.clone(), client, backend })
    }

    /// Ends what goes on at another connection of a role. What cannot be reached has ended.
    async fn end(&self, host: &HostConnection, role: &str, backend: i32) {
        if let Ok(client) = self.log_in(host, role).await {
            let _ = client.query("SELECT pg_catalog.pg_terminate_backend($1)", &[&backend]).await;
        }
    }

    /// Waits until it is the plugin's turn to use a connection.
    pub(super) async fn turn(&self, plugin: &Arc<str>) -> Result<PoolTurn, AskError> {
        self.pool.turn(plugin).await
    }
}

/// A connection's number on the server.
async fn number(client: &Client) -> Result<i32, MigrationError> {
    Ok(client.query_one("SELECT pg_catalog.pg_backend_pid()", &[]).await.map_err(unavailable)?.get(0))
}
