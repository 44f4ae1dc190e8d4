//! The servers of the fleet, and what each serves.

use super::{Shared, journal::unavailable, page::Page, show::time};
use axum::{Json, extract::State};
use camlock_http::Problem;
use camlock_policy::{
    Digest,
    registry::{NodeView, Served},
};
use serde::Serialize;
use utoipa::ToSchema;

/// A server.
#[derive(Serialize, ToSchema)]
pub(super) struct Node {
    id: String,
    host: String,
    /// Where it listens.
    address: String,
    version: String,
    #[schema(required)]
    started: Option<String>,
    /// When it was last heard of.
    #[schema(required)]
    heard: Option<String>,
    /// It has been silent for so long that nobody waits for it.
    stale: bool,
    /// It is the one that answers.
    this: bool,
    serves: Vec<NodePlugin>,
    /// Plugins of which it serves something else than what was agreed on.
    lags: Vec<String>,
}

/// What a server serves of one plugin.
#[derive(Serialize, ToSchema)]
struct NodePlugin {
    plugin: String,
    state: &'static str,
    #[schema(required)]
    reason: Option<String>,
    #[schema(required)]
    generation: Option<u64>,
    #[schema(value_type = Option<String>, required)]
    artifact: Option<Digest>,
    #[schema(required)]
    version: Option<String>,
    /// The revision that it follows.
    revision: u64,
}

/// The fleet: which servers there are, what each serves, who lags.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "fleet", responses(
    (status = 200, description = "All servers", body = Page<Node>),
    (status = 503, description = "The registry cannot be read"),
))]
pub(super) async fn nodes(State(control): Shared) -> Result<Json<Page<Node>>, Problem> {
    let nodes = control.options.archive.nodes().await.map_err(unavailable)?;
    Ok(Json(Page::whole(nodes.into_iter().map(node).collect())))
}

fn node(node: NodeView) -> Node {
    Node {
        id: node.id,
        host: node.host,
        address: node.address,
        version: node.version,
        started: time(node.started),
        heard: time(node.heard),
        stale: node.stale,
        this: node.this,
        serves: node.serves.into_iter().map(served).collect(),
        lags: node.lags,
    }
}

fn served(served: Served) -> NodePlugin {
    NodePlugin {
        plugin: served.plugin,
        state: served.state.word(),
        reason: served.reason,
        generation: served.generation,
        artifact: served.artifact,
        version: served.version,
        revision: served.revision,
    }
}
