//! Camlock's record, in SQLite or PostgreSQL.
//!
//! Here live the tables (`migrations/`), the SQL, and the feed that tells what changed in them, whoever changed it. What must not
//! live here: anything that decides what to serve.
//!
//! Two parts stand before a port, whoever implements it: [`LastKnown`] remembers what a registry told, for a start without it,
//! and [`SharedExchange`] has artifacts travel through an object store.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod access;
mod address;
mod archive;
mod catalogs;
mod causes;
mod clerk;
mod connecting;
mod connection;
mod copy;
mod database;
mod discovery;
mod exchange;
mod feed;
mod files;
mod last_known;
mod layouts;
mod link;
mod node;
mod objects;
mod record;
mod registry;
mod requests;
mod rollout;
mod schema;
mod secrets;
mod shared;
mod tls;
mod tokens;
mod trouble;
mod words;
mod writers;

pub use crate::{
    access::PostgresAccess,
    catalogs::{AdvisedPlugin, CatalogInstall, CatalogIntent, CatalogName, CatalogRecord, CatalogRecords},
    connecting::PostgresMessageStream,
    copy::Copied,
    discovery::StoredDiscovery,
    last_known::LastKnown,
    layouts::StoredLayouts,
    objects::{ObjectTrouble, Objects, SharedExchange},
    schema::Standing,
    secrets::{KeyRecord, Reseal, SecretsOnRecord},
    trouble::{Trouble, TroubleKind},
};

use crate::{address::Address, database::Database, node::NodeIdentity, shared::StoreCore};
use camlock_policy::{
    Digest, SealedSecret,
    registry::{Archive, Exchange, Registry, RegistryChange, Tokens},
};
use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

/// How a store is used. All times have defaults that fit a fleet.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// This server's data directory: its id lies there, and what it fetches.
    pub data: PathBuf,
    /// The schema in PostgreSQL. Default: `camlock`.
    pub schema: String,
    /// Where this server listens, for people.
    pub address: String,
    /// Its version, for people.
    pub version: String,
    /// So often it is heard of. Default: 15 s.
    pub heartbeat: Duration,
    /// A node that was not heard of for so long is not waited for. Default: 45 s.
    pub silence: Duration,
    /// So long a rollout waits for answers. Default: 30 s.
    pub rollout: Duration,
    /// Who builds and is not heard of for so long is replaced. Default: 30 s.
    pub right: Duration,
    /// Any call ends within this. Default: 6 s.
    pub limit: Duration,
    /// The same for moving artifacts. Default: 60 s.
    pub transfer: Duration,
    /// So long a server that lacks an artifact waits for another one to offer it again. Default: 10 s.
    pub request: Duration,
    /// So many days the journal is kept. Default: 30.
    pub journal_days: u32,
    /// So many artifacts of each plugin keep their bytes, beside those that serve. Default: 5.
    pub artifacts: u32,
}

impl StoreOptions {
    /// The defaults, with this data directory.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        StoreOptions {
            data: data.into(),
            schema: "camlock".to_owned(),
            address: String::new(),
            version: String::new(),
            heartbeat: Duration::from_secs(15),
            silence: Duration::from_secs(45),
            rollout: Duration::from_secs(30),
            right: Duration::from_secs(30),
            limit: Duration::from_secs(6),
            transfer: Duration::from_secs(60),
            request: Duration::from_secs(10),
            journal_days: 30,
            artifacts: 5,
        }
    }
}

/// A registry in a database, as this node uses it.
pub struct Store {
    shared: StoreCore,
    ending: watch::Sender<bool>,
    link: Option<JoinHandle<()>>,
    clerk: Option<JoinHandle<()>>,
    answering: Option<JoinHandle<()>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("database", &self.shared.database).field("node", &self.node()).finish()
    }
}

impl Store {
    /// Opens a registry, and makes or updates its tables.
    ///
    /// A database that is away for now is no error: [`Store::trouble`] says why, and the store connects when it can. An error is
    /// what does not pass by itself: see [`TroubleKind`]. It runs on the runtime that this is called on.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, Trouble> {
        let address = Address::parse(url, &options.schema)?;
        let host = node::host();
        let identity = NodeIdentity::of(&options.data, &host)?;
        let database = Database::new(address, options.limit);
        let shared = StoreCore::new(database, identity, host, options);
        shared.clear_fetched();
        let first = link::come_up(&shared).await;
        if let Err(trouble) = &first
            && !trouble.passes()
        {
            return Err(trouble.clone());
        }
        let (ending, ended) = watch::channel(false);
        let link = Some(tokio::spawn(link::keep(shared.clone(), first, ended.clone())));
        let clerk = Some(tokio::spawn(clerk::keep(shared.clone(), ended)));
        Ok(Store { shared, ending, link, clerk, answering: None })
    }

    /// How the schema stands, without a change to anything.
    pub async fn check(url: &str, options: &StoreOptions) -> Result<Standing, Trouble> {
        let address = Address::parse(url, &options.schema)?;
        let look = tokio::time::timeout(options.limit, schema::look(&address));
        look.await.unwrap_or_else(|_| Err(Trouble::silence(&address)))
    }

    /// Where that is, for people: without what lets one in.
    pub fn place(url: &str, options: &StoreOptions) -> Result<String, Trouble> {
        Ok(Address::parse(url, &options.schema)?.place())
    }

    /// Brings the schema up to date, without becoming a node of the fleet: how it stood before.
    pub async fn bring_up(url: &str, options: &StoreOptions) -> Result<Standing, Trouble> {
        let before = Store::check(url, options).await?;
        if before != Standing::Current {
            schema::bring_up(&Address::parse(url, &options.schema)?, &Arc::default()).await?;
        }
        Ok(before)
    }

    /// Copies the registry at a URL into the empty one at another: all or nothing. The first is only read; who else writes to it
    /// meanwhile does not disturb, but what they write later is not in the copy.
    pub async fn copy(from: &str, to: &str, options: &StoreOptions) -> Result<Copied, Trouble> {
        let (from, to) = (Address::parse(from, &options.schema)?, Address::parse(to, &options.schema)?);
        copy::copy(&from, &to, options).await
    }

    /// What is on record of secrets, without a change to anything.
    pub async fn secrets(url: &str, options: &StoreOptions) -> Result<SecretsOnRecord, Trouble> {
        let address = Address::parse(url, &options.schema)?;
        let look = tokio::time::timeout(options.limit, secrets::look(&address));
        look.await.unwrap_or_else(|_| Err(Trouble::silence(&address)))
    }

    /// Seals all secrets anew, all or nothing: from the key with this id to the one that this is proof of. How many they were.
    pub async fn reseal(
        url: &str,
        options: &StoreOptions,
        keys: (&str, SealedSecret),
        reseal: Reseal<'_>,
    ) -> Result<usize, Trouble> {
        secrets::reseal(Address::parse(url, &options.schema)?, options, keys, reseal).await
    }

    /// Takes the last migrations back, so many of them. With their tables goes what is in them.
    pub async fn take_down(url: &str, options: &StoreOptions, steps: usize) -> Result<(), Trouble> {
        schema::take_down(&Address::parse(url, &options.schema)?, steps).await
    }

    /// This node's id.
    pub fn node(&self) -> &str {
        self.shared.node()
    }

    /// Why the database cannot be used for now, if it cannot.
    pub fn trouble(&self) -> Option<Trouble> {
        self.shared.database.trouble()
    }

    /// Counts how often it was connected to anew.
    pub fn reconnects(&self) -> Arc<AtomicU64> {
        self.shared.reconnects.clone()
    }

    /// Waits until the database can be used.
    pub async fn usable(&self) {
        let mut trouble = self.shared.database.follow_trouble();
        // The sender lives as long as this store.
        let _ = trouble.wait_for(Option::is_none).await;
    }

    /// The port of the supervisor.
    pub fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(self.shared.clone())
    }

    /// What people look up.
    pub fn archive(&self) -> Arc<dyn Archive> {
        Arc::new(self.shared.clone())
    }

    /// Who may do what.
    pub fn tokens(&self) -> Arc<dyn Tokens> {
        Arc::new(self.shared.clone())
    }

    /// What is on record of the key that seals secrets.
    pub fn key(&self) -> KeyRecord {
        KeyRecord(self.shared.clone())
    }

    /// What is on record of catalogs.
    pub fn catalogs(&self) -> CatalogRecords {
        CatalogRecords(self.shared.clone())
    }

    /// What was discovered in organisations' repositories.
    pub fn discovery(&self) -> StoredDiscovery {
        StoredDiscovery(self.shared.clone())
    }

    /// How people arranged their dashboards.
    pub fn layouts(&self) -> StoredLayouts {
        StoredLayouts(self.shared.clone())
    }

    /// Artifacts that are shared through the database, and the right to build.
    pub fn exchange(&self) -> Arc<dyn Exchange> {
        Arc::new(self.shared.clone())
    }

    /// From now on this server offers the artifacts that others lack and `holding` finds here. They are offered through `exchange`,
    /// so that their bytes go where all of them go.
    pub fn answer_requests(
        &mut self,
        exchange: Arc<dyn Exchange>,
        holding: impl Fn(Digest) -> Option<PathBuf> + Send + Sync + 'static,
    ) {
        let answering = tokio::spawn(requests::answer(self.shared.clone(), exchange, Arc::new(holding)));
        if let Some(before) = self.answering.replace(answering) {
            before.abort();
        }
    }

    /// Tells of every change from now on, whoever made it; everything once, at the beginning and whenever something may have been
    /// missed. What is told may have been known already. `listener` only passes the word on.
    pub fn feed(&self, listener: impl Fn(RegistryChange) + Send + Sync + 'static) {
        self.shared.listen(Arc::new(listener));
    }

    /// How many statements were sent to the database so far.
    pub fn queries(&self) -> u64 {
        self.shared.queries()
    }

    /// Ends: what was noted is written, if the database can be used, and nobody waits for this node any more.
    pub async fn end(mut self) {
        self.ending.send_replace(true);
        if let Some(answering) = self.answering.take() {
            answering.abort();
        }
        for task in [self.clerk.take(), self.link.take()].into_iter().flatten() {
            let _ = task.await;
        }
        if self.shared.database.trouble().is_none_or(|trouble| trouble.passes()) {
            // The last one who closes a file of SQLite brings its log into it.
            self.shared.database.close();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        for task in [&self.link, &self.clerk, &self.answering].into_iter().flatten() {
            task.abort();
        }
        // Ports that are still held somewhere do not hold this.
        self.shared.release();
    }
}
