//! The OpenAPI document, as it is sent.

use crate::state::ControlState;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "probes", operation_id = "openapi", responses(
    (status = 200, description = "The host's paths and the plugins'", body = Object),
    (status = 304, description = "It is what `If-None-Match` says"),
))]
pub(super) async fn openapi(State(control): ControlState, headers: HeaderMap) -> Response {
    let overview = control.manager.overview();
    let merged = tokio::task::spawn_blocking(move || control.document.of(&overview)).await;
    let Ok(merged) = merged else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|tag| {
        tag.to_str().is_ok_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == merged.tag))
    });
    if known {
        return (StatusCode::NOT_MODIFIED, [(ETAG, merged.tag.clone())]).into_response();
    }
    let headers = [(CONTENT_TYPE, "application/json".to_owned()), (ETAG, merged.tag.clone())];
    (headers, merged.text.clone()).into_response()
}
