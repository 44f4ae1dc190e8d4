//! Plugins' own tables on this server: brought to what a version needs, used by sessions, and dropped with their plugin.
//!
//! What must not live here: when in a plugin's life that happens (the supervisor decides), and what a database makes of it
//! ([`on_sqlite`], [`on_postgres`]).

mod on_postgres;
mod on_sqlite;

use super::{
    MigrationError, TableChange, lint,
    plan::{Applied, Plan, RanByPlugin, may_go_back, plan},
    service::{Session, Sessions},
};
use crate::data::{PoolTurn, PostgresServer, ServiceShares, SqliteFile};
use camlock_policy::{
    AskError, AskErrorCode, BoxFuture, Failure, MigrationFile, PluginTablesView, SqlDialect, SqlRights, Stage,
    TableTerms, TablesNotReady, TablesReady,
};
pub(super) use on_postgres::ServerTables;
pub(super) use on_sqlite::FileTables;
use std::{collections::BTreeSet, fmt::Display, future::Future, sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// A migration may take so long.
const WITHIN: Duration = Duration::from_secs(300);

/// A change at run time may take so long: somebody waits, and others wait for what it holds.
const WITHIN_RUN_TIME: Duration = Duration::from_secs(10);

/// Plugins' tables. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PluginTables(TablesPlace);

/// A plugin, as others may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPlugin {
    /// Its name.
    pub name: String,
    /// The version that serves, or the last one known.
    pub version: String,
    /// Whether an operator wants it.
    pub enabled: bool,
}

#[derive(Clone, Debug)]
pub(super) enum TablesPlace {
    Sqlite(FileTables),
    Postgres(ServerTables),
}

impl PluginTables {
    /// Those in a file, with so many sessions at once.
    pub fn in_file(file: SqliteFile, sessions: usize, runtime: Handle) -> Self {
        PluginTables(TablesPlace::Sqlite(FileTables::new(file, sessions, runtime)))
    }

    /// Those in the registry's schema, with so many connections of plugins' roles.
    pub fn on_server(server: Arc<dyn PostgresServer>, connections: usize, runtime: Handle) -> Self {
        PluginTables(TablesPlace::Postgres(ServerTables::new(server, connections, runtime)))
    }

    /// The same, for which plugins have these shares of time.
    pub fn with_shares(self, shares: ServiceShares) -> Self {
        PluginTables(match self.0 {
            TablesPlace::Sqlite(tables) => TablesPlace::Sqlite(tables.with_shares(shares)),
            TablesPlace::Postgres(tables) => TablesPlace::Postgres(tables.with_shares(shares)),
        })
    }

    pub(super) fn place(&self) -> &TablesPlace {
        &self.0
    }

    pub(super) fn dialect(&self) -> SqlDialect {
        match &self.0 {
            TablesPlace::Sqlite(_) => SqlDialect::Sqlite,
            TablesPlace::Postgres(_) => SqlDialect::Postgres,
        }
    }

    /// Whether plugins have to be told what others there are: in PostgreSQL a view does that.
    pub fn have_to_be_told(&self) -> bool {
        matches!(self.0, TablesPlace::Sqlite(_))
    }

    /// Tells them: whether there was somebody to tell.
    pub async fn tell_plugins(&self, known: Vec<KnownPlugin>) -> Result<bool, MigrationError> {
        match &self.0 {
            TablesPlace::Sqlite(tables) => tables.tell_plugins(known).await,
            TablesPlace::Postgres(_) => Ok(true),
        }
    }

    /// From now on a plugin may this by SQL of its own, where it is the database that checks it: PostgreSQL. In a file the host alone
    /// emits and enqueues.
    pub async fn let_by_sql(&self, plugin: &str, rights: &SqlRights) -> Result<(), MigrationError> {
        match &self.0 {
            TablesPlace::Sqlite(_) => Ok(()),
            TablesPlace::Postgres(tables) => tables.let_by_sql(plugin, rights).await,
        }
    }

    /// Drops all tables of a plugin, and forgets which of its migrations have run. Of one that has none nothing changes.
    pub async fn purge(&self, plugin: &Arc<str>) -> Result<(), MigrationError> {
        match &self.0 {
            TablesPlace::Sqlite(tables) => tables.purge(plugin).await,
            TablesPlace::Postgres(tables) => tables.purge(plugin).await,
        }
    }

    /// What a plugin has: its tables, counted, and which of its migrations have run. Nothing changes.
    pub async fn kept(&self, plugin: &Arc<str>) -> Result<PluginTablesView, MigrationError> {
        match &self.0 {
            TablesPlace::Sqlite(tables) => tables.kept(plugin).await,
            TablesPlace::Postgres(tables) => tables.kept(plugin).await,
        }
    }

    /// Which migrations have run, of all plugins that have any, and all tables and views of plugins. Nothing changes.
    pub(super) async fn on_record(&self) -> Result<(RanByPlugin, BTreeSet<String>), MigrationError> {
        match &self.0 {
            TablesPlace::Sqlite(tables) => tables.on_record().await,
            TablesPlace::Postgres(tables) => tables.on_record().await,
        }
    }

    /// Has all that is needed, with what the plugin may by SQL, if that is known, and tells which migrations have run.
    pub(super) async fn applied(
        &self,
        plugin: &Arc<str>,
        rights: Option<&SqlRights>,
    ) -> Result<Vec<Applied>, MigrationError> {
        match &self.0 {
            TablesPlace::Sqlite(tables) => tables.applied(plugin).await,
            TablesPlace::Postgres(tables) => tables.applied(plugin, rights).await,
        }
    }

    pub(super) async fn run(&self, plugin: &Arc<str>, file: &MigrationFile) -> Result<(), MigrationError> {
        let findings = lint::lint_file(plugin, file, self.dialect());
        if !findings.is_empty() {
            return Err(MigrationError::Refused(lint::in_words(&findings)));
        }
        self.change(plugin, TableChange::Migration(file.clone()), WITHIN).await
    }

    async fn change(&self, plugin: &Arc<str>, change: TableChange, within: Duration) -> Result<(), MigrationError> {
        match &self.0 {
            TablesPlace::Sqlite(tables) => tables.change(plugin, change, within).await,
            TablesPlace::Postgres(tables) => tables.change(plugin, change, within).await,
        }
    }

    /// No plugin has more under way at once than it may use connections.
    async fn turn(&self, plugin: &Arc<str>) -> Result<PoolTurn, AskError> {
        match &self.0 {
            TablesPlace::Sqlite(tables) => tables.turn(plugin).await,
            TablesPlace::Postgres(tables) => tables.turn(plugin).await,
        }
    }

    /// Changes tables while their plugin runs, as a migration would, and without a record of it.
    async fn define(&self, plugin: &Arc<str>, text: String) -> Result<(), MigrationError> {
        let findings = lint::lint_text(plugin, &text, self.dialect());
        if !findings.is_empty() {
            return Err(MigrationError::Refused(findings.join("; ")));
        }
        self.change(plugin, TableChange::AtRunTime(text), WITHIN_RUN_TIME).await
    }

    /// Runs what has to run before a version with these migrations starts.
    pub async fn make_ready(
        &self,
        plugin: &Arc<str>,
        files: &[MigrationFile],
        terms: TableTerms,
    ) -> Result<TablesReady, TablesNotReady> {
        let applied = self.applied(plugin, Some(&terms.rights)).await;
        let applied = applied.map_err(|error| TablesNotReady::failed(failure(&error)))?;
        if let Err(why) = may_go_back(files, &applied).or_else(|why| if terms.back { Ok(()) } else { Err(why) }) {
            return Err(TablesNotReady::failed(Failure::new(Stage::Migrate, why)));
        }
        let (now, afterwards) = match plan(files, self.dialect(), &applied, terms.alone) {
            Plan::Run { now, afterwards } => (now, afterwards),
            Plan::Waits(why) => return Err(TablesNotReady::Waits(why)),
            Plan::Refused(why) => return Err(TablesNotReady::failed(Failure::new(Stage::Migrate, why))),
        };
        let mut ran = Vec::new();
        for file in &now {
            if let Err(error) = self.run(plugin, file).await {
                return Err(TablesNotReady::Failed { failure: failure(&error), ran });
            }
            ran.push(file.file_name());
        }
        Ok(TablesReady { ran, contracts: afterwards.is_some() })
    }

    /// Takes away what only versions before this one needed: what has run.
    pub async fn contract(&self, plugin: &Arc<str>, files: &[MigrationFile]) -> Result<Vec<String>, Failure> {
        self.take_away(plugin, files).await.map_err(|error| failure(&error))
    }

    async fn take_away(&self, plugin: &Arc<str>, files: &[MigrationFile]) -> Result<Vec<String>, MigrationError> {
        let applied = self.applied(plugin, None).await?;
        match plan(files, self.dialect(), &applied, false) {
            Plan::Run { afterwards: Some(file), .. } => {
                self.run(plugin, file).await?;
                Ok(vec![file.file_name()])
            }
            // Another server was faster.
            Plan::Run { afterwards: None, .. } => Ok(Vec::new()),
            Plan::Waits(why) | Plan::Refused(why) => Err(MigrationError::Refused(why)),
        }
    }
}

impl Sessions for PluginTables {
    fn start(&self, plugin: &Arc<str>, session: Session) -> BoxFuture<Result<(), AskError>> {
        match &self.0 {
            TablesPlace::Sqlite(tables) => tables.start(plugin, session),
            TablesPlace::Postgres(tables) => tables.start(plugin, session),
        }
    }

    fn define(&self, plugin: &Arc<str>, text: String) -> BoxFuture<Result<(), AskError>> {
        let (tables, plugin) = (self.clone(), plugin.clone());
        Box::pin(async move {
            let _turn = tables.turn(&plugin).await?;
            tables.define(&plugin, text).await.map_err(AskError::from)
        })
    }

    fn url(&self, plugin: &Arc<str>) -> BoxFuture<Result<String, AskError>> {
        let (tables, plugin) = (self.clone(), plugin.clone());
        Box::pin(async move {
            let _turn = tables.turn(&plugin).await?;
            match &tables.0 {
                TablesPlace::Sqlite(_) => Err(AskError::new(
                    AskErrorCode::Unavailable,
                    "plugins' tables are in SQLite here, which the host alone opens: `host.database()` reaches them",
                )),
                TablesPlace::Postgres(tables) => tables.url(&plugin).await.map_err(AskError::from),
            }
        })
    }
}

/// What may pass is tried again.
fn failure(error: &MigrationError) -> Failure {
    match error {
        MigrationError::Unavailable(_) => Failure::transient(Stage::Migrate, error.to_string()),
        _ => Failure::new(Stage::Migrate, error.to_string()),
    }
}

fn unavailable(error: impl Display) -> MigrationError {
    MigrationError::Unavailable(error.to_string())
}

/// Runs this on the runtime that keeps connections going, and to its end: whoever waits may go away in the middle, what has begun
/// is not left half done.
async fn wholly<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = Result<T, MigrationError>> + Send + 'static,
) -> Result<T, MigrationError> {
    runtime.spawn(work).await.unwrap_or_else(|error| Err(unavailable(error)))
}
