//! What a plugin may: shown, and decided.

use crate::{
    acts::refused,
    admit::Visitor,
    ask::{NamedPlugin, OfPlugin, OnCondition, condition, read_some},
    list::tagged,
    state::ControlState,
};
use axum::{body::Body, extract::State, response::Response};
use camlock_api::GrantsView;
use camlock_http::Problem;
use camlock_policy::{Act, Grants, Order};
use http::HeaderMap;
use serde::Deserialize;
use utoipa::ToSchema;

/// What is to be granted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantsDecision {
    /// A list of permissions; one that ends with `*` covers all that begin alike. `"asked"`: whatever each version asks for.
    #[schema(value_type = Vec<String>)]
    granted: Grants,
}

/// What a plugin asks for, and what of it was granted.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/grants", tag = "plugins", operation_id = "grants", params(OfPlugin), responses(
    (status = 200, description = "What it may", body = GrantsView),
))]
pub(super) async fn show(NamedPlugin(plugin): NamedPlugin) -> Response {
    tagged(plugin.revision, plugin.grants.clone())
}

/// Decides what a plugin may, as it came from where it did. What serves has it at once; a candidate that waits for it goes on.
#[utoipa::path(put, path = "/api/v1/plugins/{name}/grants", tag = "acts", operation_id = "grant", request_body = GrantsDecision,
    params(OfPlugin, OnCondition), responses(
    (status = 200, description = "It is decided", body = GrantsView),
))]
pub(super) async fn set(
    State(control): ControlState,
    visitor: Visitor,
    NamedPlugin(plugin): NamedPlugin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let GrantsDecision { granted } = read_some(body).await?;
    let revision = condition(&headers, &plugin)?;
    let order = Order { plugin: plugin.name.clone(), act: Act::Grant(granted), by: visitor.by, revision };
    let done = control.manager.order(order).await.map_err(|why| refused(&plugin.name, &why))?;
    Ok(tagged(done.plugin.revision, done.plugin.grants.clone()))
}
