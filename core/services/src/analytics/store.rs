//! Where pages of points lie: in SQLite or PostgreSQL. What must not live here: SQL, and when they are written.

use super::{
    postgres, sqlite,
    tiers::{PagePoints, Tier, unpack},
};
use crate::data::PluginData;
use camlock_policy::AskError;
use std::sync::Arc;

/// So many pages are written at once.
const BATCH: usize = 256;

/// Which page of a plugin's, on this server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PageKey {
    pub(super) plugin: Arc<str>,
    pub(super) tier: Tier,
    pub(super) page: u64,
}

/// A page as it was read.
#[derive(Debug)]
pub(super) struct StoredPage {
    pub(super) key: PageKey,
    pub(super) node: String,
    pub(super) points: PagePoints,
}

impl StoredPage {
    /// None if a later version wrote it.
    pub(super) fn of(plugin: Arc<str>, node: String, tier: i16, page: u64, points: &[u8]) -> Option<Self> {
        let key = PageKey { plugin, tier: Tier::of_number(tier)?, page };
        Some(StoredPage { key, node, points: unpack(points) })
    }
}

/// The place.
#[derive(Clone, Debug)]
pub(super) struct AnalyticsStore {
    pub(super) data: PluginData,
    /// What this server is called.
    pub(super) node: Arc<str>,
}

/// Whose turn it is at the database, where it is nobody's plugin.
pub(super) fn host() -> Arc<str> {
    "camlock".into()
}

impl AnalyticsStore {
    pub(super) async fn write(&self, pages: Vec<(PageKey, Vec<u8>)>) -> Result<(), AskError> {
        let mut left = pages;
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(BATCH));
            let batch = std::mem::replace(&mut left, rest);
            match &self.data {
                PluginData::Sqlite(file) => {
                    let node = self.node.clone();
                    file.write(&host(), move |connection| sqlite::write(connection, &node, &batch)).await?;
                }
                PluginData::Postgres(connections) => postgres::write(connections, &self.node, &batch).await?,
            }
        }
        Ok(())
    }

    /// This server's own pages of all plugins that are still written to.
    pub(super) async fn own(&self, now: u64) -> Result<Vec<StoredPage>, AskError> {
        let first = tiers(|tier| tier.first_at_hand(now));
        match &self.data {
            PluginData::Sqlite(file) => {
                let node = self.node.clone();
                file.read(&host(), move |connection| sqlite::of_node(connection, &node, first)).await
            }
            PluginData::Postgres(connections) => postgres::of_node(connections, &self.node, first).await,
        }
    }

    /// All that is kept of a plugin.
    pub(super) async fn of_plugin(&self, plugin: &Arc<str>) -> Result<Vec<StoredPage>, AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let owner = plugin.clone();
                file.read(plugin, move |connection| sqlite::of_plugin(connection, &owner)).await
            }
            PluginData::Postgres(connections) => postgres::of_plugin(connections, plugin).await,
        }
    }

    pub(super) async fn purge(&self, plugin: &Arc<str>) -> Result<(), AskError> {
        match &self.data {
            PluginData::Sqlite(file) => {
                let owner = plugin.clone();
                file.write(plugin, move |connection| sqlite::purge(connection, &owner)).await
            }
            PluginData::Postgres(connections) => postgres::purge(connections, plugin).await,
        }
    }

    /// Removes what is too old to be kept.
    pub(super) async fn sweep(&self, now: u64) -> Result<(), AskError> {
        let first = tiers(|tier| tier.first_kept(now));
        match &self.data {
            PluginData::Sqlite(file) => file.write(&host(), move |connection| sqlite::sweep(connection, first)).await,
            PluginData::Postgres(connections) => postgres::sweep(connections, first).await,
        }
    }
}

fn tiers(page: impl Fn(Tier) -> u64) -> [(i16, i64); 4] {
    [Tier::Generations, Tier::Minutes, Tier::Hours, Tier::Days].map(|tier| (tier as i16, page(tier) as i64))
}
