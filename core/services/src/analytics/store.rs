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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analytics::measures::{Counter, Gauge, Measures},
        analytics::tiers::{PagePoints, pack},
        data::SqliteFile,
    };

    const NOW: u64 = 1_800_000_000;

    /// A plugin that does something of all sorts in each minute of more than a year.
    fn busy(seed: u64) -> Measures {
        let mut measures = Measures::default();
        let some = |most: u64| 1 + seed.wrapping_mul(6_364_136_223_846_793_005) % most;
        measures.add(Counter::Requests, some(9_000));
        measures.add(Counter::Errors, some(90));
        measures.add(Counter::Asks, some(20_000));
        measures.add(Counter::TasksDone, some(200));
        (0..6).for_each(|bucket| measures.add_latency(bucket, some(2_000)));
        measures.set(Gauge::Memory, some(200 << 20));
        measures.set(Gauge::Generation, 12);
        measures.set(Gauge::UsedAt, NOW);
        measures
    }

    #[tokio::test]
    async fn a_thousand_busy_plugins_take_less_than_64_mib() {
        const PLUGINS: u64 = 50;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plugins.db");
        let data = PluginData::Sqlite(SqliteFile::at(path.clone()));
        let store = AnalyticsStore { data, node: "0123456789abcdef0123456789abcdef".into() };
        store.write(Vec::new()).await.unwrap();
        for plugin in 0..PLUGINS {
            let name: Arc<str> = format!("a-plugin-with-a-name-{plugin}").into();
            let mut pages: std::collections::BTreeMap<(Tier, u64), PagePoints> = std::collections::BTreeMap::new();
            for tier in Tier::OF_TIME {
                let first = tier.reaches_to(NOW);
                for at in (first..NOW).step_by(tier.seconds() as usize) {
                    pages.entry((tier, tier.page(at))).or_default().insert(at, busy(at + plugin));
                }
            }
            let pages = pages
                .into_iter()
                .map(|((tier, page), points)| (PageKey { plugin: name.clone(), tier, page }, pack(&points)));
            store.write(pages.collect()).await.unwrap();
        }
        let all = store.of_plugin(&"a-plugin-with-a-name-7".into()).await.unwrap();
        assert!(
            all.iter().filter(|page| page.key.tier == Tier::Days).map(|page| page.points.len()).sum::<usize>() > 365
        );
        let wal = path.with_extension("db-wal");
        let length = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        rusqlite::Connection::open(&path)
            .unwrap()
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
        let each = (length(&path) + length(&wal)) / PLUGINS;
        assert!(each * 1_000 < 64 << 20, "{each} bytes for each plugin");
    }
}
