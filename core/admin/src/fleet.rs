//! The servers of the fleet, and what each serves.

use crate::{journal::unavailable, state::ControlState};
use axum::{Json, extract::State};
use camlock_api::{NodePlugin, NodeStatus, Page};
use camlock_http::Problem;
use camlock_policy::registry::{NodeView, Served};

/// The fleet: which servers there are, what each serves, who lags.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "fleet", responses(
    (status = 200, description = "All servers", body = Page<NodeStatus>),
    (status = 503, description = "The registry cannot be read"),
))]
pub(super) async fn nodes(State(control): ControlState) -> Result<Json<Page<NodeStatus>>, Problem> {
    let nodes = control.options.archive.nodes().await.map_err(unavailable)?;
    Ok(Json(Page::whole(nodes.into_iter().map(node).collect())))
}

fn node(node: NodeView) -> NodeStatus {
    NodeStatus {
        id: node.id,
        host: node.host,
        address: node.address,
        version: node.version,
        started: node.started.into(),
        heard: node.heard.into(),
        stale: node.stale,
        this: node.this,
        serves: node.serves.into_iter().map(served).collect(),
        lags: node.lags,
    }
}

fn served(served: Served) -> NodePlugin {
    NodePlugin {
        plugin: served.plugin,
        state: served.state,
        reason: served.reason,
        generation: served.generation,
        artifact: served.artifact,
        version: served.version,
        revision: served.revision,
    }
}
