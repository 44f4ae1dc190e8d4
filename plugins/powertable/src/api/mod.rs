//! The JSON API. Handlers take a request apart, ask the store, and put the answer together; nothing is decided here.

mod rows;
mod tables;

use crate::{
    limits,
    refused::{Problem, Refused},
    store::{Amounts, Store},
};
use axum::{
    Json,
    extract::{DefaultBodyLimit, State},
    http::Uri,
};
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

type Shared = State<Arc<Store>>;

/// The document begins with what the manifest says of this crate; the routes add themselves.
#[derive(OpenApi)]
#[openapi(components(schemas(Problem)))]
struct Document;

/// All routes, with their document.
pub fn routes(store: Arc<Store>) -> OpenApiRouter {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(about))
        .routes(routes!(hello))
        .routes(routes!(tables::list_tables, tables::create_table))
        .routes(routes!(tables::get_table, tables::drop_table))
        .routes(routes!(rows::list_rows, rows::insert_row))
        .routes(routes!(rows::get_row, rows::update_row, rows::delete_row))
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(limits::REQUEST))
        .with_state(store)
}

/// How much is kept.
#[utoipa::path(get, path = "/", responses((status = 200, body = Amounts)))]
async fn about(State(store): Shared) -> Json<Amounts> {
    Json(store.amounts().await)
}

/// Says hello. The manifest claims this path, so it also answers without the mount.
#[utoipa::path(get, path = "/hello", responses((status = 200, body = String)))]
async fn hello() -> &'static str {
    "Hello from powertable!"
}

async fn nothing(uri: Uri) -> Refused {
    Refused::nothing(format!("there is nothing at {}", uri.path()))
}
