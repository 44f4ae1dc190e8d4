//! What plugins may by SQL of their own, written where the database looks it up, whenever that changes. What must not live here: how it is
//! written, and the database's own look at what is granted.

use camlock_policy::{LivePlugin, Overview, SqlRights};
use camlock_services::database::PluginTables;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::watch;

/// What could not be written is written after so long.
const AGAIN: Duration = Duration::from_secs(5);

/// Writes it for as long as there is anything new. Before a version begins it is written together with its role; this is for what is
/// granted and revoked after that, and for what only earlier versions asked for.
pub(crate) async fn follow(tables: PluginTables, mut overview: watch::Receiver<Arc<Overview>>) {
    let mut written = BTreeMap::<String, (u64, SqlRights)>::new();
    let mut failed = false;
    loop {
        let patience = if failed { AGAIN } else { Duration::MAX };
        if let Ok(Err(_)) = tokio::time::timeout(patience, overview.changed()).await {
            return;
        }
        failed = false;
        let now = overview.borrow_and_update().clone();
        // What is gone may have been removed with its role.
        written.retain(|name, _| now.plugins.iter().any(|plugin| plugin.name == *name));
        for (plugin, serving) in now.plugins.iter().filter_map(|plugin| serving_with_tables(plugin)) {
            let rights = (serving, SqlRights::of(&plugin.grants));
            if written.get(&plugin.name) == Some(&rights) {
                continue;
            }
            match tables.let_by_sql(&plugin.name, &rights.1).await {
                Ok(()) => drop(written.insert(plugin.name.clone(), rights)),
                Err(error) => {
                    tracing::debug!(plugin = plugin.name, "what it may by SQL could not be written: {error}");
                    failed = true;
                }
            }
        }
    }
}

/// A plugin that has a role, with the generation that serves.
fn serving_with_tables(plugin: &LivePlugin) -> Option<(&LivePlugin, u64)> {
    let asks = plugin.grants.asked.iter().any(|asked| asked.permission == "database");
    plugin.serving.as_ref().filter(|_| asks).map(|serving| (plugin, serving.generation))
}
