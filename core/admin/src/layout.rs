//! How whoever asks arranged their dashboard. It is kept by the name of their token. What must not live here: which widgets there are.

use crate::{
    admit::Visitor,
    ask::{bad, read_some},
    journal::unavailable,
    state::ControlState,
};
use axum::{Json, body::Body, extract::State};
use camlock_http::Problem;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// So many widgets stand on a dashboard.
const MOST: usize = 60;
/// So many bytes has a layout, as JSON.
const LARGEST: usize = 32 << 10;

/// A dashboard.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DashboardLayout {
    /// In their order.
    #[schema(max_items = 60)]
    widgets: Vec<PlacedWidget>,
}

/// A widget that stands on it.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlacedWidget {
    plugin: String,
    id: String,
    /// How it is set, where that is not as its plugin says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<Map<String, Value>>,
}

/// The dashboard of whoever asks.
#[utoipa::path(get, path = "/api/v1/page/layout", tag = "tokens", operation_id = "layout", responses(
    (status = 200, description = "Theirs, or null: then all widgets stand there", body = Option<DashboardLayout>),
    (status = 503, description = "The registry cannot be read"),
))]
pub(super) async fn get(
    State(control): ControlState,
    visitor: Visitor,
) -> Result<Json<Option<DashboardLayout>>, Problem> {
    let Some(layouts) = &control.options.layouts else { return Ok(Json(None)) };
    let kept = layouts.layout(visitor.by.to_string()).await.map_err(unavailable)?;
    // What another program wrote, and this one does not understand, is as if there were none.
    Ok(Json(kept.and_then(|text| serde_json::from_str(&text).ok())))
}

/// Keeps it for them; without widgets, nothing is kept.
#[utoipa::path(put, path = "/api/v1/page/layout", tag = "tokens", operation_id = "keep_layout",
    request_body = DashboardLayout, responses(
    (status = 204, description = "It is kept"),
    (status = 400, description = "It is no layout, or too large"),
    (status = 503, description = "The registry cannot be written"),
))]
pub(super) async fn put(State(control): ControlState, visitor: Visitor, body: Body) -> Result<StatusCode, Problem> {
    let layout: DashboardLayout = read_some(body).await?;
    let Some(layouts) = &control.options.layouts else {
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "this server keeps no layouts"));
    };
    let text = (!layout.widgets.is_empty()).then(|| serde_json::to_string(&layout).unwrap_or_default());
    if layout.widgets.len() > MOST || text.as_ref().is_some_and(|text| text.len() > LARGEST) {
        return Err(bad(format!("a dashboard has {MOST} widgets and {LARGEST} bytes at most")));
    }
    layouts.keep(visitor.by.to_string(), text).await.map_err(unavailable)?;
    Ok(StatusCode::NO_CONTENT)
}
