//! Tables: list, create, look at, drop.

use super::Shared;
use crate::{
    columns::Definition,
    refused::{NotFound, NotWritten, Refused, Told},
    store::Summary,
};
use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header::LOCATION},
    response::IntoResponse,
};
use serde::Serialize;
use utoipa::ToSchema;

/// All tables.
#[derive(Serialize, ToSchema)]
pub struct Tables {
    items: Vec<Summary>,
}

/// The tables, by their names.
#[utoipa::path(get, path = "/tables", responses((status = 200, body = Tables)))]
pub async fn list_tables(State(store): Shared) -> Json<Tables> {
    Json(Tables { items: store.tables().await })
}

/// Creates a table.
#[utoipa::path(
    post,
    path = "/tables",
    request_body = Definition,
    responses((status = 201, body = Summary), NotWritten)
)]
pub async fn create_table(
    State(store): Shared,
    Told(Json(definition)): Told<Json<Definition>>,
) -> Result<impl IntoResponse, Refused> {
    // Relative, so that it is right under every mount.
    let location = format!("tables/{}", definition.name);
    let summary = store.create(definition).await?;
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(summary)))
}

/// A table's columns, and how many rows it has.
#[utoipa::path(
    get,
    path = "/tables/{table}",
    params(("table" = String, Path, description = "A table's name")),
    responses((status = 200, body = Summary), NotFound)
)]
pub async fn get_table(State(store): Shared, Told(Path(table)): Told<Path<String>>) -> Result<Json<Summary>, Refused> {
    store.table(&table).await.map(Json)
}

/// Drops a table with all its rows.
#[utoipa::path(
    delete,
    path = "/tables/{table}",
    params(("table" = String, Path, description = "A table's name")),
    responses((status = 204), NotFound)
)]
pub async fn drop_table(State(store): Shared, Told(Path(table)): Told<Path<String>>) -> Result<StatusCode, Refused> {
    store.drop_table(&table).await?;
    Ok(StatusCode::NO_CONTENT)
}
