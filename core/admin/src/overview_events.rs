//! All plugins as they change: first everything, then what became different. What must not live here: what happened, which is the
//! journal's.

use crate::{
    admit::Visitor,
    lasting::{Credentials, lasting},
    show,
    state::ControlState,
    stream_event::StreamEvent,
};
use axum::{
    extract::State,
    response::{Response, sse},
};
use camlock_api::PluginView;
use camlock_policy::{LivePlugin, Overview, registry::Role};
use futures_util::stream::unfold;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use utoipa::ToSchema;

/// What changes within so long is told at once, for a page would draw it in one frame too: a build that talks does not make a stream of
/// its own.
const TOGETHER: Duration = Duration::from_millis(16);

/// What is different from what was told before.
#[derive(Serialize, ToSchema)]
pub(super) struct OverviewChange {
    /// This is all that there is: nothing from before counts.
    whole: bool,
    /// Plugins that are new or different.
    plugins: Vec<PluginView>,
    /// Names of plugins that are gone.
    gone: Vec<String>,
    /// Whether every wanted plugin serves or has failed for good.
    ready: bool,
    /// Why the plugins directory cannot be read, if it cannot.
    trouble: Option<String>,
    /// Why the registry cannot be used, if it cannot.
    registry_trouble: Option<String>,
}

type SentOverviewChange = StreamEvent<OverviewChange>;

/// All plugins as they change. The first event is everything, the others are what is different.
#[utoipa::path(get, path = "/api/v1/overview/events", tag = "plugins", operation_id = "overview_events", responses(
    (status = 200, description = "Each event's `data` is a change", body = SentOverviewChange, content_type = "text/event-stream"),
))]
pub(super) async fn events(State(control): ControlState, visitor: Visitor, pass: Credentials) -> Response {
    let follower = OverviewFollower { server: control.manager.watch(), role: visitor.role, shown: None };
    let changes = unfold(follower, async |mut follower| {
        let change = follower.next().await?;
        let told = sse::Event::default().json_data(change).unwrap_or_default();
        Some((told, follower))
    });
    lasting(changes, pass)
}

/// A client that follows the overview, and what it was told last.
struct OverviewFollower {
    server: watch::Receiver<Arc<Overview>>,
    role: Option<Role>,
    shown: Option<BTreeMap<String, Arc<LivePlugin>>>,
}

impl OverviewFollower {
    /// What is different; none when the server ends.
    async fn next(&mut self) -> Option<OverviewChange> {
        if self.shown.is_some() {
            self.server.changed().await.ok()?;
            sleep(TOGETHER).await;
        }
        let overview = self.server.borrow_and_update().clone();
        let now: BTreeMap<_, _> = overview.plugins.iter().map(|it| (it.name.clone(), it.clone())).collect();
        let whole = self.shown.is_none();
        let before = self.shown.take().unwrap_or_default();
        // One that is still the same object was not looked at anew.
        let is_new = |plugin: &&Arc<LivePlugin>| before.get(&plugin.name).is_none_or(|it| !Arc::ptr_eq(it, plugin));
        let change = OverviewChange {
            whole,
            plugins: now.values().filter(is_new).map(|plugin| show::plugin(plugin, self.role)).collect(),
            gone: before.keys().filter(|name| !now.contains_key(*name)).cloned().collect(),
            ready: overview.ready,
            trouble: overview.trouble.clone(),
            registry_trouble: overview.registry_trouble.clone(),
        };
        self.shown = Some(now);
        Some(change)
    }
}
