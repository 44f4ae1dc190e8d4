//! Uploads: a form with files, answered with what arrived.

use crate::AppState;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Multipart, multipart::MultipartError},
    routing::post,
};
use serde::Serialize;

const LARGEST: usize = 16 * 1024 * 1024;

#[derive(Serialize)]
struct Uploaded {
    field: String,
    file: Option<String>,
    bytes: usize,
}

pub fn routes() -> Router<AppState> {
    Router::new().route("/uploads", post(upload)).layer(DefaultBodyLimit::max(LARGEST))
}

async fn upload(mut form: Multipart) -> Result<Json<Vec<Uploaded>>, MultipartError> {
    let mut uploaded = Vec::new();
    while let Some(mut field) = form.next_field().await? {
        let mut bytes = 0;
        while let Some(chunk) = field.chunk().await? {
            bytes += chunk.len();
        }
        let name = field.name().unwrap_or_default().to_owned();
        uploaded.push(Uploaded { field: name, file: field.file_name().map(str::to_owned), bytes });
    }
    Ok(Json(uploaded))
}
