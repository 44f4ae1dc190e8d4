//! How loud a plugin is, from now on. It is kept in memory, and ends with the process.

use crate::{
    admit::Visitor,
    ask::{NamedPlugin, read_some},
    state::ControlState,
};
use axum::{Json, body::Body, extract::State};
use camlock_api::{LogLevel, PluginLogLevel};
use camlock_http::Problem;
use camlock_policy::registry::Happened;
use std::time::SystemTime;

/// As the API writes it.
pub(super) fn level_of(level: tracing::Level) -> LogLevel {
    match level {
        tracing::Level::ERROR => LogLevel::Error,
        tracing::Level::WARN => LogLevel::Warn,
        tracing::Level::INFO => LogLevel::Info,
        tracing::Level::DEBUG => LogLevel::Debug,
        tracing::Level::TRACE => LogLevel::Trace,
    }
}

fn tracing_level(level: LogLevel) -> tracing::Level {
    match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    }
}

/// How loud it is.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/level", tag = "plugins", operation_id = "level",
    params(("name" = String, Path, description = "The plugin's name")), responses(
    (status = 200, description = "The level that was chosen for it, or is configured", body = PluginLogLevel),
))]
pub(super) async fn show(State(control): ControlState, NamedPlugin(plugin): NamedPlugin) -> Json<PluginLogLevel> {
    Json(PluginLogLevel { level: control.options.levels.of(&plugin.name).map(level_of) })
}

/// Chooses how loud it is, until the server ends. It takes effect at once, and nothing is loaded anew.
#[utoipa::path(put, path = "/api/v1/plugins/{name}/level", tag = "plugins", operation_id = "set_level",
    request_body = PluginLogLevel, params(("name" = String, Path, description = "The plugin's name")), responses(
    (status = 200, description = "The level that holds now: with `null`, the one that is configured", body = PluginLogLevel),
))]
pub(super) async fn set(
    State(control): ControlState,
    visitor: Visitor,
    NamedPlugin(plugin): NamedPlugin,
    body: Body,
) -> Result<Json<PluginLogLevel>, Problem> {
    let PluginLogLevel { level } = read_some(body).await?;
    let levels = &control.options.levels;
    levels.choose(&plugin.name, level.map(tracing_level));
    (control.options.note)(Happened {
        plugin: Some(plugin.name.clone()),
        generation: None,
        what: "level",
        by: visitor.by,
        detail: serde_json::json!({ "level": level }),
        at: SystemTime::now(),
    });
    Ok(Json(PluginLogLevel { level: levels.of(&plugin.name).map(level_of) }))
}
