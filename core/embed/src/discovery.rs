//! Discovery, put together: where what is found is kept, and which names are taken here. What must not live here: how plugins are
//! discovered, which is `camlock-discovery`'s.

use crate::Unable;
use camlock_catalog::client::DiscoveredReader;
use camlock_discovery::{CacheSetting, DiscoveryService, DiscoverySettings, FileRecords, MemoryRecords, NamesHere};
use camlock_policy::{BoxFuture, DiscoveryRecords, Headline, LivePlugin, Manager, PluginSource};
use camlock_store::{CatalogRecords, Store};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};
use tokio::runtime::Handle;

/// The one of this server. Nobody is asked by this.
pub(crate) fn discovery(
    settings: DiscoverySettings,
    (store, data): (&Store, &Path),
    manager: Manager,
    runtime: Handle,
) -> Result<DiscoveryService, Unable> {
    let records: Arc<dyn DiscoveryRecords> = match &settings.cache {
        CacheSetting::Registry => Arc::new(store.discovery()),
        CacheSetting::Memory => Arc::new(MemoryRecords),
        CacheSetting::Files(directory) => {
            let directory = directory.clone().unwrap_or_else(|| data.join("discovered"));
            Arc::new(FileRecords::in_directory(directory))
        }
    };
    let here = ServerNames { manager, catalogs: store.catalogs() };
    let misconfigured = |reason| Unable { reason: format!("discovery: {reason}"), misconfigured: true };
    DiscoveryService::new(settings, records, Arc::new(here), runtime).map_err(misconfigured)
}

/// The plugins of this server.
struct ServerNames {
    manager: Manager,
    catalogs: CatalogRecords,
}

impl ServerNames {
    /// By name, with where each came from.
    fn there(&self) -> BTreeMap<String, String> {
        let overview = self.manager.overview();
        let there = overview.plugins.iter().filter(|plugin| plugin.state != Headline::Missing);
        there.map(|plugin: &Arc<LivePlugin>| (plugin.name.clone(), plugin.grants.source.clone())).collect()
    }
}

impl NamesHere for ServerNames {
    fn all(&self) -> BTreeSet<String> {
        self.there().into_keys().collect()
    }

    fn others(&self) -> BoxFuture<BTreeSet<String>> {
        let (mut there, catalogs) = (self.there(), self.catalogs.clone());
        Box::pin(async move {
            // While the registry is away, all of them are others.
            let catalogs = catalogs.catalogs().await.unwrap_or_default();
            let discovered = catalogs.into_iter().filter(|one| DiscoveredReader::organization_of(&one.url).is_some());
            let discovered: BTreeSet<String> =
                discovered.map(|catalog| PluginSource::Catalog(catalog.name).to_string()).collect();
            there.retain(|_, source| !discovered.contains(source));
            there.into_keys().collect()
        })
    }
}
