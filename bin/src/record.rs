//! The registry of a server, put together: the database, what was last known of it, and where artifacts are shared.
//!
//! What must not live here: what stands in it.

use crate::{Failed, config::Config};
use camlock_core::{
    Manager, Nudge,
    registry::{Exchange, Registry},
};
use camlock_store::{Change, LastKnown, Objects, Options, SharedExchange, Standing, Store, Trouble, TroubleKind};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::time::timeout;

/// Everything that a server has of its registry.
pub(crate) struct Record {
    pub(crate) store: Store,
    known: Arc<LastKnown>,
    pub(crate) exchange: Arc<dyn Exchange>,
}

impl Record {
    /// Opens it. A database that is away for now is no hindrance, unless it is required.
    pub(crate) async fn open(config: &Config, data: &Path, address: SocketAddr) -> Result<Self, Failed> {
        let options = Options { data: data.to_owned(), address: address.to_string(), ..options(config) };
        let store = Store::open(&config.database_url(data), options).await;
        let store = store.map_err(|trouble| Failed {
            code: if trouble.kind == TroubleKind::Settings { 64 } else { 1 },
            reason: format!("the registry cannot be used: {trouble}"),
        })?;
        if let Some(trouble) = store.trouble().filter(|_| config.require_database) {
            return Err(Failed { code: 1, reason: format!("the registry cannot be used: {trouble}") });
        }
        let objects = match &config.artifacts {
            Some(url) => Some(
                Objects::open(url, std::env::vars())
                    .map_err(|trouble| Failed { code: 64, reason: trouble.to_string() })?,
            ),
            None => None,
        };
        let exchange = match objects {
            Some(objects) => Arc::new(SharedExchange::new(store.exchange(), Arc::new(objects), data.join("fetched"))),
            None => store.exchange(),
        };
        let known =
            LastKnown::before(store.registry(), &config.database_name(data), data.join("last-known.json")).await;
        Ok(Record { store, known: Arc::new(known), exchange })
    }

    pub(crate) fn registry(&self) -> Arc<dyn Registry> {
        self.known.clone()
    }

    /// From now on the manager hears of what changes.
    pub(crate) fn follow(&self, manager: &Manager) {
        let nudge = manager.nudger();
        self.store.feed(move |change| match change {
            Change::Plugins(names) => nudge(Nudge::Records(Some(names))),
            // Of what cannot be read it is told why.
            Change::Everything | Change::Away => nudge(Nudge::Records(None)),
            Change::Rollouts => nudge(Nudge::Rollouts),
            Change::Journal | Change::Tokens => {}
        });
    }

    /// What is known is written down, and nobody waits for this server any more.
    pub(crate) async fn end(self) {
        let _ = timeout(Duration::from_secs(2), self.known.written()).await;
        let _ = timeout(Duration::from_secs(5), self.store.end()).await;
    }
}

/// How its database is used.
pub(crate) fn options(config: &Config) -> Options {
    let fleet = &config.fleet;
    Options {
        schema: config.schema.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        heartbeat: fleet.heartbeat,
        silence: fleet.alive,
        rollout: fleet.rollout,
        journal_days: config.journal_days,
        artifacts: u32::try_from(config.settings.limits.artifacts).unwrap_or(u32::MAX),
        ..Options::new(&config.data)
    }
}

/// How its schema stands, without a change to anything.
pub(crate) async fn standing(config: &Config) -> Result<Standing, Trouble> {
    // Its directory is made by the first server.
    if config.database_is_in_data() && !config.data.exists() {
        return Ok(Standing::Empty);
    }
    Store::check(&config.database_url(&config.data), &options(config)).await
}
