//! How loud a plugin is, from now on. It is kept in memory, and ends with the process.

use super::{
    Shared,
    admit::Visitor,
    ask::{Named, read_some},
};
use axum::{Json, body::Body, extract::State};
use camlock_http::Problem;
use camlock_policy::registry::Happened;
use serde::{Deserialize, Deserializer, Serialize};
use std::time::SystemTime;
use utoipa::ToSchema;

/// A level. What is louder is not wanted.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => tracing::Level::ERROR,
            Level::Warn => tracing::Level::WARN,
            Level::Info => tracing::Level::INFO,
            Level::Debug => tracing::Level::DEBUG,
            Level::Trace => tracing::Level::TRACE,
        }
    }
}

impl From<tracing::Level> for Level {
    fn from(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        }
    }
}

/// How loud a plugin is.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Loudness {
    /// What it says up to this level is kept; `null`: as the server's filter has it.
    #[serde(deserialize_with = "said")]
    #[schema(required)]
    level: Option<Level>,
}

/// It may be null, and it must be there.
fn said<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Level>, D::Error> {
    Option::deserialize(value)
}

/// How loud it is.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/level", tag = "plugins", operation_id = "level",
    params(("name" = String, Path, description = "The plugin's name")), responses(
    (status = 200, description = "The level that was chosen for it, or is configured", body = Loudness),
))]
pub(super) async fn show(State(control): Shared, Named(plugin): Named) -> Json<Loudness> {
    Json(Loudness { level: control.options.levels.of(&plugin.name).map(Level::from) })
}

/// Chooses how loud it is, until the server ends. It takes effect at once, and nothing is loaded anew.
#[utoipa::path(put, path = "/api/v1/plugins/{name}/level", tag = "plugins", operation_id = "set_level",
    request_body = Loudness, params(("name" = String, Path, description = "The plugin's name")), responses(
    (status = 200, description = "The level that holds now: with `null`, the one that is configured", body = Loudness),
))]
pub(super) async fn set(
    State(control): Shared,
    visitor: Visitor,
    Named(plugin): Named,
    body: Body,
) -> Result<Json<Loudness>, Problem> {
    let Loudness { level } = read_some(body).await?;
    let levels = &control.options.levels;
    levels.choose(&plugin.name, level.map(tracing::Level::from));
    (control.options.note)(Happened {
        plugin: Some(plugin.name.clone()),
        generation: None,
        what: "level",
        by: visitor.by,
        detail: serde_json::json!({ "level": level }),
        at: SystemTime::now(),
    });
    Ok(Json(Loudness { level: levels.of(&plugin.name).map(Level::from) }))
}
