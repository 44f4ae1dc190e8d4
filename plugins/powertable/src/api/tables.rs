//! Tables: list, create, look at, change, drop.

use crate::{
    openapi::Describer,
    problem::{NotFound, NotWritten, Refused, Told},
    schema::{Change, Definition},
    store::Store,
};
use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header::LOCATION},
    response::IntoResponse,
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// All tables.
#[derive(Serialize, ToSchema)]
pub struct Tables {
    items: Vec<Definition>,
}

/// The tables, by their names.
#[utoipa::path(get, path = "/tables", responses((status = 200, body = Tables), NotFound))]
pub async fn list_tables(State(store): State<Arc<Store>>) -> Result<Json<Tables>, Refused> {
    let items = store.tables().await?.iter().map(|table| table.definition()).collect();
    Ok(Json(Tables { items }))
}

/// Creates a table. Every table has a column `id` of its own, which numbers its rows.
#[utoipa::path(
    post,
    path = "/tables",
    request_body = Definition,
    responses((status = 201, body = Definition), NotWritten)
)]
pub async fn create_table(
    State(store): State<Arc<Store>>,
    State(describer): State<Arc<Describer>>,
    Told(Json(definition)): Told<Json<Definition>>,
) -> Result<impl IntoResponse, Refused> {
    // Relative, so that it is right under every mount.
    let location = format!("tables/{}", definition.name);
    let table = store.create(definition).await?;
    describer.tell();
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(table.definition())))
}

/// A table's columns.
#[utoipa::path(
    get,
    path = "/tables/{table}",
    params(("table" = String, Path, description = "A table's name")),
    responses((status = 200, body = Definition), NotFound)
)]
pub async fn get_table(
    State(store): State<Arc<Store>>,
    Told(Path(table)): Told<Path<String>>,
) -> Result<Json<Definition>, Refused> {
    Ok(Json(store.table(&table).await?.definition()))
}

/// Changes a table.
#[utoipa::path(
    patch,
    path = "/tables/{table}",
    params(("table" = String, Path, description = "A table's name")),
    request_body = Change,
    responses((status = 200, body = Definition), NotWritten)
)]
pub async fn change_table(
    State(store): State<Arc<Store>>,
    State(describer): State<Arc<Describer>>,
    Told(Path(table)): Told<Path<String>>,
    Told(Json(change)): Told<Json<Change>>,
) -> Result<Json<Definition>, Refused> {
    let table = store.change(&table, &change).await?;
    describer.tell();
    Ok(Json(table.definition()))
}

/// Drops a table with all its rows.
#[utoipa::path(
    delete,
    path = "/tables/{table}",
    params(("table" = String, Path, description = "A table's name")),
    responses((status = 204), (status = 409, body = crate::problem::Problem, content_type = "application/problem+json",
        description = "Another table refers to it"), NotFound)
)]
pub async fn drop_table(
    State(store): State<Arc<Store>>,
    State(describer): State<Arc<Describer>>,
    Told(Path(table)): Told<Path<String>>,
) -> Result<StatusCode, Refused> {
    store.drop_table(&table).await?;
    describer.tell();
    Ok(StatusCode::NO_CONTENT)
}
