//! Values that plugins keep: by key, with revisions, limits, expiry, and watching.
//!
//! All writes of one plugin come one after the other, in the database: each gets the next revision of that plugin, and what counts
//! its keys and bytes is in the same transaction. So revisions become visible in their order, and whoever watches misses none.
//! What must not live here: how it crosses (`service.rs`), and where the database is (`data`).

mod carry;
mod hub;
mod plan;
mod postgres;
mod service;
mod sqlite;
mod watching;
mod wire;

pub use carry::carry;
pub use plan::{StorageAct, StorageCondition, StorageLimits, StorageOperation};
pub use service::StorageService;
pub use watching::StorageWatch;

pub(crate) use sqlite::TABLES as SQLITE_TABLES;

use crate::data::{PluginData, ServiceShares};
use bytes::Bytes;
use camlock_policy::{AskError, AskErrorCode};
use hub::Hub;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// The longest key, in bytes.
pub const MOST_KEY: usize = 512;

/// The largest value, in bytes.
pub const MOST_VALUE: usize = 1 << 20;

/// So many operations are in a batch at most.
pub const MOST_BATCH: usize = 1_000;

/// So many keys are on a page at most.
pub const MOST_PAGE: usize = 1_000;

/// So many bytes of values are on a page: with what goes beyond that the next one begins.
const PAGE_BYTES: usize = 4 << 20;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptValue {
    /// Its bytes.
    pub bytes: Bytes,
    /// The revision at which it was put.
    pub revision: u64,
    /// When it expires, in milliseconds since 1970.
    pub expires: Option<u64>,
}

/// A key, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKey {
    /// The key.
    pub key: String,
    /// The revision at which its value was put.
    pub revision: u64,
    /// The value's size in bytes.
    pub size: u64,
    /// When it expires, in milliseconds since 1970.
    pub expires: Option<u64>,
    /// The value, if values were asked for.
    pub value: Option<Bytes>,
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoragePage {
    /// In the order of their keys' bytes.
    pub keys: Vec<KeptKey>,
    /// The last key, if there are more after it.
    pub next: Option<String>,
}

/// What is asked for of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageQuery {
    /// What keys begin with.
    pub prefix: String,
    /// They come after this one.
    pub after: Option<String>,
    /// So many at most.
    pub most: usize,
    /// Whether values come too.
    pub values: bool,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageChange {
    /// The key.
    pub key: String,
    /// The revision that this made.
    pub revision: u64,
    /// Whether it is gone now.
    pub deleted: bool,
}

/// What a plugin keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageUse {
    /// So many values.
    pub keys: u64,
    /// So many bytes, of keys and values.
    pub bytes: u64,
    /// The last revision.
    pub revision: u64,
}

/// What all plugins keep. Cheap to clone.
#[derive(Clone)]
pub struct PluginStorage {
    data: PluginData,
    limits: StorageLimits,
    hub: Arc<Hub>,
    clock: StorageClock,
}

/// What time it is, for what expires. PostgreSQL knows it itself.
pub type StorageClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl std::fmt::Debug for PluginStorage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PluginStorage")
            .field("data", &self.data)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl PluginStorage {
    /// What lies there, with these limits for each plugin.
    pub fn new(data: PluginData, limits: StorageLimits) -> Self {
        PluginStorage { hub: Arc::new(Hub::new(data.clone())), data, limits, clock: Arc::new(SystemTime::now) }
    }

    /// With another clock, for what lies in a file.
    pub fn with_clock(self, clock: StorageClock) -> Self {
        PluginStorage { clock, ..self }
    }

    /// The same, in which plugins have these shares of time.
    pub fn with_shares(self, shares: ServiceShares) -> Self {
        let data = match self.data {
            PluginData::Sqlite(file) => PluginData::Sqlite(file.with_shares(shares)),
            PluginData::Postgres(connections) => PluginData::Postgres(connections.with_shares(shares)),
        };
        PluginStorage { data, ..self }
    }

    /// In milliseconds since 1970.
    fn now(&self) -> i64 {
        let passed = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)
    }

    /// A value.
    pub async fn get(&self, plugin: &Arc<str>, key: &str) -> Result<Option<KeptValue>, AskError> {
        check_key(key)?;
        match &self.data {
            PluginData::Sqlite(file) => {
                let (owner, key, now) = (plugin.clone(), key.to_owned(), self.now());
                file.read(plugin, move |connection| sqlite::get(connection, &owner, &key, now)).await
            }
            PluginData::Postgres(connections) => postgres::get(connections, plugin, key).await,
        }
    }

    /// Does all of it or nothing: the revision of each operation, 0 of one that changed nothing.
    pub async fn write(&self, plugin: &Arc<str>, acts: Vec<StorageAct>) -> Result<Vec<u64>, AskError> {
        plan::check(&acts)?;
        let limits = self.limits;
        let acts = Arc::new(acts);
        let first = self.write_once(plugin, acts.clone(), limits).await;
        let done = match first {
            // Perhaps what is over the limit has expired. Whether this sweep removed it or one that ran beside it is all the same.
            Err(error) if error.code == AskErrorCode::Limit => {
                self.sweep(plugin).await?;
                self.write_once(plugin, acts, limits).await?
            }
            other => other?,
        };
        if done.iter().any(|revision| *revision > 0) {
            self.hub.wrote(plugin);
        }
        if self.hub.is_due(plugin) {
            let (storage, plugin) = (self.clone(), plugin.clone());
            // What cannot be done now is done later.
            tokio::spawn(async move { drop(storage.sweep(&plugin).await) });
        }
        Ok(done)
    }

    async fn write_once(
        &self,
        plugin: &Arc<str>,
        acts: Arc<Vec<StorageAct>>,
        limits: StorageLimits,
    ) -> Result<Vec<u64>, AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let (owner, clock) = (plugin.clone(), self.clone());
                // As of when it is done, not of when it began to wait.
                let write = move |connection: &mut _| sqlite::write(connection, &owner, &acts, limits, clock.now());
                file.write(plugin, write).await
            }
            PluginData::Postgres(connections) => postgres::write(connections, plugin, acts, limits).await,
        }
    }

    /// A part of the list.
    pub async fn list(&self, plugin: &Arc<str>, mut query: StorageQuery) -> Result<StoragePage, AskError> {
        if query.prefix.len() > MOST_KEY || query.prefix.contains('\0') {
            return Err(invalid("what keys are to begin with is no beginning of a key"));
        }
        query.most = query.most.clamp(1, MOST_PAGE);
        match &self.data {
            PluginData::Sqlite(file) => {
                let (owner, now) = (plugin.clone(), self.now());
                file.read(plugin, move |connection| sqlite::list(connection, &owner, &query, now)).await
            }
            PluginData::Postgres(connections) => postgres::list(connections, plugin, &query).await,
        }
    }

    /// Tells of changes to keys that begin so: of those after this revision, or from now on. Of several changes to one key the last
    /// alone may be told.
    pub async fn watch(
        &self,
        plugin: &Arc<str>,
        prefix: &str,
        after: Option<u64>,
    ) -> Result<(u64, StorageWatch), AskError> {
        watching::begin(self, plugin, prefix, after).await
    }

    /// What a plugin keeps. What has expired counts until it is swept.
    pub async fn usage(&self, plugin: &Arc<str>) -> Result<StorageUse, AskError> {
        let (ledger, _) = self.ledger(plugin).await?;
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(StorageUse { keys: number(ledger.keys), bytes: number(ledger.bytes), revision: number(ledger.revision) })
    }

    /// Removes all that a plugin keeps: how many values that were. Its revisions go on where they were.
    pub async fn purge(&self, plugin: &Arc<str>) -> Result<u64, AskError> {
        let removed = match &self.data {
            PluginData::Sqlite(file) => {
                let owner = plugin.clone();
                file.write(plugin, move |connection| sqlite::purge(connection, &owner)).await?
            }
            PluginData::Postgres(connections) => postgres::purge(connections, plugin).await?,
        };
        self.hub.wrote(plugin);
        Ok(removed)
    }

    /// Removes what has expired of a plugin's: whether there was anything.
    pub async fn sweep(&self, plugin: &Arc<str>) -> Result<bool, AskError> {
        let swept = match &self.data {
            PluginData::Sqlite(file) => {
                let (owner, now) = (plugin.clone(), self.now());
                file.write(plugin, move |connection| sqlite::sweep(connection, &owner, now)).await?
            }
            PluginData::Postgres(connections) => postgres::sweep(connections, plugin).await?,
        };
        if swept {
            self.hub.wrote(plugin);
        }
        Ok(swept)
    }

    /// Removes what has expired, whosever it is: also of plugins that ask for nothing any more.
    pub async fn sweep_everything(&self) -> Result<(), AskError> {
        let everybody: Arc<str> = "camlock".into();
        let plugins = match &self.data {
            // Who keeps nothing has no file, and gets none by this.
            PluginData::Sqlite(file) if !file.path().exists() => return Ok(()),
            PluginData::Sqlite(file) => {
                let now = self.now();
                file.read(&everybody, move |connection| sqlite::with_expired(connection, now)).await?
            }
            PluginData::Postgres(connections) => postgres::with_expired(connections, &everybody).await?,
        };
        for plugin in plugins {
            // So many at once; others may ask for something in between.
            while self.sweep(&plugin.as_str().into()).await? {}
        }
        Ok(())
    }

    async fn ledger(&self, plugin: &Arc<str>) -> Result<(plan::Ledger, i64), AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let owner = plugin.clone();
                let ledger = file.read(plugin, move |connection| sqlite::ledger(connection, &owner)).await?;
                Ok((ledger, self.now()))
            }
            PluginData::Postgres(connections) => postgres::ledger_now(connections, plugin).await,
        }
    }

    /// Changes after a revision, in their order, a page of them.
    async fn changes(&self, plugin: &Arc<str>, prefix: &str, after: u64) -> Result<Vec<StorageChange>, AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let (owner, prefix) = (plugin.clone(), prefix.to_owned());
                file.read(plugin, move |connection| sqlite::changes(connection, &owner, &prefix, after)).await
            }
            PluginData::Postgres(connections) => postgres::changes(connections, plugin, prefix, after).await,
        }
    }
}

fn check_key(key: &str) -> Result<(), AskError> {
    if key.is_empty() || key.len() > MOST_KEY || key.contains('\0') {
        return Err(invalid(format!(
            "a key is text of 1 to {MOST_KEY} bytes without zero bytes; this one has {}",
            key.len()
        )));
    }
    Ok(())
}

fn invalid(why: impl Into<String>) -> AskError {
    AskError::new(AskErrorCode::Invalid, why)
}
