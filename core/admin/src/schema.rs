//! The schema of a plugin's configuration, for those who write one.

use crate::ask::{NamedPlugin, OfPlugin};
use axum::response::{IntoResponse, Response};
use camlock_http::Problem;
use http::{StatusCode, header::CONTENT_TYPE};

/// What the configuration of a plugin must be like: a JSON Schema (2020-12), as its author wrote it. Values under `"sensitive": true` are
/// secrets: they are never shown, and `********` stands for them.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/schema", tag = "plugins", operation_id = "schema", params(OfPlugin), responses(
    (status = 200, description = "The document", body = serde_json::Value, content_type = "application/schema+json"),
    (status = 404, description = "Its configuration has no schema"),
))]
pub(super) async fn schema(NamedPlugin(plugin): NamedPlugin) -> Result<Response, Problem> {
    match &plugin.config_schema {
        Some(text) => Ok(([(CONTENT_TYPE, "application/schema+json")], text.to_string()).into_response()),
        None => {
            let detail = format!("the configuration of `{}` has no schema: it may be any JSON object", plugin.name);
            Err(Problem::of(&plugin.name, StatusCode::NOT_FOUND, detail))
        }
    }
}
