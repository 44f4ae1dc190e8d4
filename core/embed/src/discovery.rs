//! Discovery, put together: where what is found is kept, and which names are taken here. What must not live here: how plugins are
//! discovered, which is `camlock-discovery`'s.

use crate::Unable;
use camlock_discovery::{CacheSetting, DiscoveryService, DiscoverySettings, FileRecords, MemoryRecords};
use camlock_policy::{DiscoveryRecords, Headline, Manager};
use camlock_store::Store;
use std::{path::Path, sync::Arc};
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
    let here = move || {
        let overview = manager.overview();
        let there = overview.plugins.iter().filter(|plugin| plugin.state != Headline::Missing);
        there.map(|plugin| plugin.name.clone()).collect()
    };
    let misconfigured = |reason| Unable { reason: format!("discovery: {reason}"), misconfigured: true };
    DiscoveryService::new(settings, records, Arc::new(here), runtime).map_err(misconfigured)
}
