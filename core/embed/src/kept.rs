//! What plugins keep, put together: the place where it lies, and the services over it.
//!
//! What must not live here: what is kept there.

use crate::{Options, bystanders::Bystanders};
use camlock_http::Meters;
use camlock_policy::BoxFuture;
use camlock_services::{
    Login, PluginData, PluginStorage, PostgresConnections, PostgresLink, PostgresServer, ServiceShares, SqliteFile,
    StorageLimits, TaskQueue,
    database::PluginTables,
    events::{EventLimits, EventPlace, EventsUrl},
};
use camlock_store::PostgresAccess;
use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// How plugins' own tables are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// So many connections at once, for all plugins together. One plugin alone never has all of them.
    pub connections: usize,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        DatabaseSettings { connections: 20 }
    }
}

/// How much of the machine what plugins ask for may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AskSettings {
    /// Of all processors' time so much, as a part of 1, may the work of one plugin in storage and database take while others are
    /// served. 1 is no limit.
    pub share: f64,
}

impl Default for AskSettings {
    fn default() -> Self {
        AskSettings { share: 0.1 }
    }
}

/// Where events are kept that are kept, and how much waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSettings {
    /// A NATS server; in the registry's database, unless it is set.
    pub url: Option<EventsUrl>,
    /// How much waits for each subscription, and how often what fails is tried.
    pub limits: EventLimits,
}

/// How much plugins may have done later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSettings {
    /// So many tasks of each plugin may wait, about; with more, none are accepted.
    pub waiting: u64,
}

impl Default for TaskSettings {
    fn default() -> Self {
        TaskSettings { waiting: 1_000_000 }
    }
}

/// How much plugins may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// Values and bytes of each.
    pub limits: StorageLimits,
    /// So many connections to PostgreSQL, for all plugins together.
    pub connections: usize,
}

impl Default for StorageSettings {
    fn default() -> Self {
        StorageSettings { limits: StorageLimits::default(), connections: 4 }
    }
}

/// The PostgreSQL that a registry is in, as services reach it.
pub struct RegistryServer(PostgresAccess);

impl RegistryServer {
    /// The one of a registry; none if that is in SQLite.
    pub fn of(url: &str, schema: &str) -> Result<Option<Self>, String> {
        let access = PostgresAccess::of(url, schema).map_err(|trouble| trouble.sentence)?;
        Ok(access.map(RegistryServer))
    }
}

impl PostgresServer for RegistryServer {
    fn connect(&self, login: Option<Login>) -> BoxFuture<Result<PostgresLink, String>> {
        let access = self.0.clone();
        Box::pin(async move {
            let login = login.as_ref().map(|login| (login.role.as_str(), login.password.as_str()));
            let opened = access.connect(login).await.map_err(|trouble| trouble.sentence);
            opened.map(|(client, messages)| PostgresLink { client, messages })
        })
    }

    fn url(&self, login: &Login) -> String {
        self.0.url(&login.role, &login.password)
    }

    fn schema(&self) -> &str {
        self.0.schema()
    }
}

/// How much of the processors' time each plugin's work in storage and database may take while others are served.
/// That of a database on another machine is not taken from anybody here.
pub(crate) fn shares(options: &Options, data: &Path, served: Meters) -> Result<ServiceShares, String> {
    let share = options.asks.share;
    let server = RegistryServer::of(&options.registry.url(data), &options.registry.schema)?;
    if share >= 1.0 || server.is_some_and(|server| !server.0.is_on_this_machine()) {
        return Ok(ServiceShares::default());
    }
    let processors = thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    let bystanders = Bystanders::new(served);
    let are_there = move |plugin: &str| bystanders.are_there(plugin, Instant::now());
    Ok(ServiceShares::new(share * processors, Arc::new(are_there)))
}

/// The places in which plugins keep what is theirs, but for their directories.
pub(crate) struct KeptPlaces {
    pub(crate) storage: PluginStorage,
    pub(crate) tables: PluginTables,
    /// What the host itself writes down of plugins.
    pub(crate) records: PluginData,
    pub(crate) events: EventPlace,
    pub(crate) tasks: TaskQueue,
}

/// So many connections write down what the host notes of plugins, in batches.
const CONNECTIONS_FOR_RECORDS: usize = 2;

/// So many connections to PostgreSQL has the queue of tasks, beside the one that listens.
const TASK_CONNECTIONS: usize = 4;

/// How often it is looked for what has expired of plugins that ask for nothing any more.
const SWEPT: Duration = Duration::from_secs(600);

/// Removes what has expired, now and then, for as long as that runtime is there.
pub(crate) fn keep_swept(storage: PluginStorage, work: &Handle) {
    work.spawn(async move {
        loop {
            tokio::time::sleep(SWEPT).await;
            if let Err(error) = storage.sweep_everything().await {
                tracing::debug!("what has expired was not removed: {}", error.message);
            }
        }
    });
}

/// So many connections to PostgreSQL are used for events that are kept, beside the one that listens.
const EVENT_CONNECTIONS: usize = 4;

/// Those beside the registry of these options.
pub(crate) fn places(
    options: &Options,
    data: &Path,
    work: Handle,
    shares: &ServiceShares,
) -> Result<KeptPlaces, String> {
    let place = DataPlace::beside(&options.registry.url(data), &options.registry.schema, data)?;
    let tables = place.tables(options.database, work.clone()).with_shares(shares.clone());
    let records = place.data(CONNECTIONS_FOR_RECORDS, work.clone());
    let events = EventPlace::new(options.events.url.clone(), place.data(EVENT_CONNECTIONS, work.clone()));
    let tasks = place.tasks(work.clone()).with_most_waiting(options.tasks.waiting);
    let storage = place.storage(options.storage, work).with_shares(shares.clone());
    Ok(KeptPlaces { storage, tables, records, events, tasks })
}

/// Where the data of plugins lies.
pub(crate) enum DataPlace {
    /// In the registry's schema in PostgreSQL.
    Server(Arc<dyn PostgresServer>),
    /// In a file of its own in the data directory.
    File(SqliteFile),
}

impl DataPlace {
    pub(crate) fn beside(url: &str, schema: &str, data: &Path) -> Result<Self, String> {
        Ok(match RegistryServer::of(url, schema)? {
            Some(server) => DataPlace::Server(Arc::new(server)),
            None => DataPlace::File(SqliteFile::at(data.join("plugins.db"))),
        })
    }

    pub(crate) fn tables(&self, settings: DatabaseSettings, work: Handle) -> PluginTables {
        match self {
            DataPlace::Server(server) => PluginTables::on_server(server.clone(), settings.connections, work),
            DataPlace::File(file) => PluginTables::in_file(file.clone(), settings.connections, work),
        }
    }

    pub(crate) fn storage(self, settings: StorageSettings, work: Handle) -> PluginStorage {
        PluginStorage::new(self.data(settings.connections, work), settings.limits)
    }

    pub(crate) fn tasks(&self, work: Handle) -> TaskQueue {
        TaskQueue::new(self.data(TASK_CONNECTIONS, work))
    }

    /// With so many connections of its own, where there are any.
    fn data(&self, connections: usize, work: Handle) -> PluginData {
        match self {
            DataPlace::Server(server) => {
                PluginData::Postgres(PostgresConnections::new(server.clone(), connections, work))
            }
            DataPlace::File(file) => PluginData::Sqlite(file.clone()),
        }
    }
}
