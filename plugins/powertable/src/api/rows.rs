//! Rows: list, insert, look at, change, delete.

use super::Shared;
use crate::{
    cell::Cell,
    columns::Given,
    question::Question,
    refused::{NotFound, NotWritten, Refused, Told},
    store::{Page, Row},
};
use axum::{
    Json,
    extract::{Path, Query, State},
    http::{StatusCode, header::LOCATION},
    response::IntoResponse,
};

/// Some of a table's rows. Any other word of the query is a column and what it must equal: `?born=1815`.
#[utoipa::path(
    get,
    path = "/tables/{table}/rows",
    params(
        ("table" = String, Path, description = "A table's name"),
        ("sort" = Option<String>, Query, description = "A column or `id`; with `-` before it, the largest first"),
        ("limit" = Option<u32>, Query, maximum = 1000, description = "How many rows, 100 by default and 1000 at most"),
        ("offset" = Option<u64>, Query, description = "How many rows to leave out before them"),
    ),
    responses((status = 200, body = Page), NotFound)
)]
pub async fn list_rows(
    State(store): Shared,
    Told(Path(table)): Told<Path<String>>,
    Told(Query(query)): Told<Query<Vec<(String, String)>>>,
) -> Result<Json<Page>, Refused> {
    store.rows(&table, &Question::read(query)?).await.map(Json)
}

/// Adds a row.
#[utoipa::path(
    post,
    path = "/tables/{table}/rows",
    params(("table" = String, Path, description = "A table's name")),
    request_body(content = std::collections::BTreeMap<String, Cell>, description = "Columns and their values"),
    responses((status = 201, body = Row), NotWritten)
)]
pub async fn insert_row(
    State(store): Shared,
    Told(Path(table)): Told<Path<String>>,
    Told(Json(given)): Told<Json<Given>>,
) -> Result<impl IntoResponse, Refused> {
    let row = store.insert(&table, given).await?;
    Ok((StatusCode::CREATED, [(LOCATION, format!("rows/{}", row.id))], Json(row)))
}

/// A row.
#[utoipa::path(
    get,
    path = "/tables/{table}/rows/{id}",
    params(("table" = String, Path, description = "A table's name"), ("id" = u64, Path, description = "A row's id")),
    responses((status = 200, body = Row), NotFound)
)]
pub async fn get_row(
    State(store): Shared,
    Told(Path((table, id))): Told<Path<(String, String)>>,
) -> Result<Json<Row>, Refused> {
    store.row(&table, &id).await.map(Json)
}

/// Changes the columns that are given; `null` empties one.
#[utoipa::path(
    patch,
    path = "/tables/{table}/rows/{id}",
    params(("table" = String, Path, description = "A table's name"), ("id" = u64, Path, description = "A row's id")),
    request_body(content = std::collections::BTreeMap<String, Cell>, description = "Columns and their new values"),
    responses((status = 200, body = Row), NotWritten)
)]
pub async fn update_row(
    State(store): Shared,
    Told(Path((table, id))): Told<Path<(String, String)>>,
    Told(Json(given)): Told<Json<Given>>,
) -> Result<Json<Row>, Refused> {
    store.update(&table, &id, given).await.map(Json)
}

/// Deletes a row.
#[utoipa::path(
    delete,
    path = "/tables/{table}/rows/{id}",
    params(("table" = String, Path, description = "A table's name"), ("id" = u64, Path, description = "A row's id")),
    responses((status = 204), NotFound)
)]
pub async fn delete_row(
    State(store): Shared,
    Told(Path((table, id))): Told<Path<(String, String)>>,
) -> Result<StatusCode, Refused> {
    store.delete(&table, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
