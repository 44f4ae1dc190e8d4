//! A plugin's own tables, as operators see them. What must not live here: what is in them.

use crate::{
    ask::{NamedPlugin, OfPlugin},
    state::ControlState,
    values::problem,
};
use axum::{Json, extract::State};
use camlock_api::PluginTablesView;
use camlock_http::Problem;
use http::StatusCode;

/// What a plugin has in the database: tables, with how many rows, and which migrations have run.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/tables", tag = "storage", operation_id = "tables", params(OfPlugin), responses(
    (status = 200, description = "By name; 100,000 rows of each are counted at most", body = PluginTablesView),
    (status = 503, description = "The database cannot be read now"),
))]
pub(super) async fn list(
    State(control): ControlState,
    NamedPlugin(plugin): NamedPlugin,
) -> Result<Json<PluginTablesView>, Problem> {
    let Some(tables) = &control.options.tables else {
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "this server does not know plugins' tables"));
    };
    tables.tables(&plugin.name).await.map(Json).map_err(|why| problem(&plugin.name, &why))
}
