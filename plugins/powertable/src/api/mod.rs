//! The JSON API. Handlers take a request apart, ask the store, and put the answer together; nothing is decided here.

mod add;
mod change;
mod list;
mod tables;

use crate::{
    Shared,
    openapi::Describer,
    problem::{NotFound, Problem, Refused, Told, shortened},
    query::Query,
    store::Store,
};
use axum::{
    Json,
    extract::{DefaultBodyLimit, FromRef, FromRequestParts, Query as Parts, State},
    http::{StatusCode, Uri, request},
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

impl FromRef<Shared> for Arc<Store> {
    fn from_ref(shared: &Shared) -> Self {
        shared.store.clone()
    }
}

impl FromRef<Shared> for Arc<Describer> {
    fn from_ref(shared: &Shared) -> Self {
        shared.describer.clone()
    }
}

/// The document begins with what the manifest says of this crate; the routes add themselves.
#[derive(OpenApi)]
#[openapi(components(schemas(Problem)))]
struct Document;

/// What is said of the routes, whatever tables there are.
pub fn document() -> utoipa::openapi::OpenApi {
    all().into_openapi()
}

/// All routes, with their document.
pub fn routes(shared: Shared) -> OpenApiRouter {
    all().with_state(shared)
}

fn all() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(about))
        .routes(routes!(hello))
        .routes(routes!(tables::list_tables, tables::create_table))
        .routes(routes!(tables::get_table, tables::change_table, tables::drop_table))
        .routes(routes!(list::list_rows, add::add_rows, change::update_rows, change::delete_rows))
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(crate::limits::DOCUMENT))
}

/// How much there is.
#[derive(Serialize, ToSchema)]
struct Amounts {
    tables: usize,
}

/// How many tables there are.
#[utoipa::path(get, path = "/", responses((status = 200, body = Amounts), NotFound))]
async fn about(State(store): State<Arc<Store>>) -> Result<Json<Amounts>, Refused> {
    Ok(Json(Amounts { tables: store.tables().await?.len() }))
}

/// Says hello. The manifest claims this path, so it also answers without the mount.
#[utoipa::path(get, path = "/hello", responses((status = 200, body = String)))]
async fn hello() -> &'static str {
    "Hello from powertable!"
}

async fn nothing(uri: Uri) -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "PGRST125", format!("there is nothing at {}", shortened(uri.path())))
}

/// What the query of a request asks of rows.
struct RowsAsked(Query);

impl<S: Send + Sync> FromRequestParts<S> for RowsAsked {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Refused> {
        let Told(Parts(parts)) = Told::<Parts<Vec<(String, String)>>>::from_request_parts(parts, state).await?;
        Query::read(parts).map(RowsAsked)
    }
}
