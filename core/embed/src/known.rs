//! Telling plugins with tables what others there are, where the database cannot do that by itself. What must not live here: how.

use camlock_policy::Overview;
use camlock_services::database::{KnownPlugin, PluginTables};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// What changes at the same time is told together.
const TOGETHER: Duration = Duration::from_millis(200);

/// Tells them, for as long as there is anything new.
pub(crate) async fn tell_plugins(tables: PluginTables, mut overview: watch::Receiver<Arc<Overview>>) {
    if !tables.have_to_be_told() {
        return;
    }
    let mut told = Vec::new();
    while overview.changed().await.is_ok() {
        tokio::time::sleep(TOGETHER).await;
        let known = known(&overview.borrow_and_update());
        if known == told {
            continue;
        }
        match tables.tell_plugins(known.clone()).await {
            Ok(true) => told = known,
            // Whoever has the first table is seen to have changed after that.
            Ok(false) => {}
            Err(error) => tracing::debug!("plugins were not told what others there are: {error}"),
        }
    }
}

fn known(overview: &Overview) -> Vec<KnownPlugin> {
    let plugins = overview.plugins.iter();
    plugins
        .map(|plugin| KnownPlugin {
            name: plugin.name.clone(),
            version: plugin.version.clone(),
            enabled: plugin.enabled,
        })
        .collect()
}
