//! A server that has a parent: what it has the parent remember, and what it waits for when it takes another one's place.
//!
//! What must not live here: how the two speak, and what a parent does (`camlock-isolate`).

use crate::Camlock;
use camlock_api::{FailedUpgrades, ServerHealth};
use camlock_isolate::ParentLink;
use camlock_policy::{Headline, Overview};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// Whoever waits for an answer waits so long at most for plugins that served before: one that has to be built anew may take minutes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has the parent remember who serves, for whoever comes next.
pub(crate) async fn remember(link: ParentLink, mut overview: watch::Receiver<Arc<Overview>>) {
    let mut before = Vec::new();
    loop {
        let now: Vec<String> = {
            let overview = overview.borrow_and_update();
            overview
                .plugins
                .iter()
                .filter(|plugin| plugin.serving.is_some())
                .map(|plugin| plugin.name.clone())
                .collect()
        };
        // At its end all go, and nobody is to take that for what is wanted.
        if now != before && !now.is_empty() {
            link.remember(now.clone());
            before = now;
        }
        if overview.changed().await.is_err() {
            return;
        }
    }
}

/// What is told of the processes.
pub(crate) fn describe(link: &ParentLink, health: &mut ServerHealth) {
    health.process = Some(std::process::id());
    health.parent = link.parent();
    health.died_before = link.died().map(str::to_owned);
    health.failed_upgrades = link.not_replaced().map(|(times, reason)| FailedUpgrades { times, reason });
}

impl Camlock {
    /// Waits until the plugins that served in the process before this one serve again, or will not: so that whoever waits in the
    /// meantime is answered as before. Not for long, and not at all in the first process of a parent.
    pub async fn serves_again(&self, link: &ParentLink) {
        let mut overview = self.watch();
        let again = overview
            .wait_for(|overview| overview.ready || link.served_before().iter().all(|name| is_settled(overview, name)));
        if timeout(PATIENCE, again).await.is_err() {
            tracing::warn!(
                "some of the plugins that served before do not serve yet; requests are answered from now on"
            );
        }
    }
}

fn is_settled(overview: &Overview, name: &str) -> bool {
    let plugin = overview.plugins.iter().find(|plugin| plugin.name == name);
    plugin.is_some_and(|plugin| !matches!(plugin.state, Headline::Starting | Headline::Waiting))
}
