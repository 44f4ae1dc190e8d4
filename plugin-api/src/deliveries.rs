//! What the host brings to a plugin beside requests of clients, by its path. What must not live here: how it crosses.

use axum::{
    Router,
    http::{StatusCode, Uri},
    response::IntoResponse,
};

/// Answers all that is delivered. A plugin built with this crate takes nothing yet.
pub(crate) fn router() -> Router {
    Router::new().fallback(nothing_of_the_kind)
}

async fn nothing_of_the_kind(uri: Uri) -> impl IntoResponse {
    let told = format!("this plugin takes nothing of the kind: {}", uri.path());
    (StatusCode::NOT_FOUND, [(crate::ask::ERROR_CODE, "not_found")], told)
}
