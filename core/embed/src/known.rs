//! Telling plugins with tables what others there are, where the database cannot do that by itself. What must not live here: how.

use camlock_policy::Overview;
use camlock_services::database::{KnownPlugin, PluginTables};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// After so long it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What changes at the same time is told together.
const TOGETHER: Duration = Duration::from_millis(200);

/// Tells them, for as long as there is anything new.
pub(crate) async fn tell_plugins(tables: PluginTables, mut overview: watch::Receiver<Arc<Overview>>) {
    if !tables.have_to_be_told() {
        return;
    }
    let (mut told, mut failed) = (Vec::new(), false);
    loop {
        let changed = overview.changed();
        // What could not be told is told again, also if nothing changes any more.
        match tokio::time::timeout(if failed { AGAIN } else { Duration::MAX }, changed).await {
            Ok(Err(_)) => return,
            Ok(Ok(())) => tokio::time::sleep(TOGETHER).await,
            Err(_) => {}
        }
        let known = known(&overview.borrow_and_update());
        if known == told {
            continue;
        }
        let outcome = tables.tell_plugins(known.clone()).await;
        failed = outcome.is_err();
        match outcome {
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
