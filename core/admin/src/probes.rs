//! Whether the server lives, is ready, and what it is.

use super::{Shared, admit::Visitor};
use axum::{Json, extract::State, response::IntoResponse, response::Response};
use camlock_http::{Blocked, Problem};
use camlock_policy::{Headline, Overview};
use http::StatusCode;
use serde_json::{Value, json};

/// As long as this answers, it does.
#[utoipa::path(get, path = "/_/live", tag = "probes", responses((status = 200, description = "It lives", body = Object)))]
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Whether the first look at everything is done.
#[utoipa::path(get, path = "/_/ready", tag = "probes", responses(
    (status = 200, description = "It is ready", body = Object),
    (status = 503, description = "It is not ready yet, and why"),
))]
pub(super) async fn ready(State(control): Shared) -> Response {
    let overview = control.manager.overview();
    if control.options.blocked.all_stuck() {
        let detail = "not ready: all serving threads are blocked inside plugins, and none is left for others";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).passing().response();
    }
    if overview.ready {
        return Json(json!({ "status": "ready" })).into_response();
    }
    let waiting_for = awaited(&overview);
    let names: Vec<_> = waiting_for.iter().map(|(name, at)| format!("`{name}` ({at})")).collect();
    // What is in trouble may be what the plugins wait for.
    let troubles = overview.trouble.iter().chain(&overview.registry_trouble).cloned();
    let waiting = (!names.is_empty()).then(|| format!("waiting for {}", names.join(", ")));
    let whys: Vec<String> = troubles.chain(waiting).collect();
    let detail = match &whys[..] {
        [] => "the plugins directory has not been looked at yet".to_owned(),
        whys => format!("not ready: {}", whys.join("; ")),
    };
    let waiting_for: Vec<_> = waiting_for.iter().map(|(name, at)| json!({ "plugin": name, "at": at })).collect();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with("waiting_for", waiting_for).passing().response()
}

/// Plugins that are on their way to serve, and how far they are. One that waits for another plugin may do so for good.
fn awaited(overview: &Overview) -> Vec<(&str, &str)> {
    let starting = overview.plugins.iter().filter(|plugin| plugin.state == Headline::Starting);
    let at = |plugin: &camlock_policy::PluginView| plugin.candidate.as_ref().map(|candidate| candidate.stage);
    starting.map(|plugin| (&*plugin.name, at(plugin).unwrap_or(plugin.state.word()))).collect()
}

/// What this server is; for those who may see more, also which handlers block their threads.
#[utoipa::path(get, path = "/_/health", tag = "probes", responses((status = 200, description = "Versions", body = Object)))]
pub(super) async fn health(State(control): Shared, visitor: Visitor) -> Json<Value> {
    let about = &control.options.about;
    let status = if control.options.blocked.all_stuck() { "blocked" } else { "ok" };
    let mut health = json!({
        "status": status, "version": about.version, "revision": about.revision, "rustc": about.rustc, "abi": about.abi,
        "built_in": about.built_in,
    });
    if visitor.role.is_some() {
        health["blocked"] = control.options.blocked.all().iter().map(blocked).collect();
    }
    Json(health)
}

fn blocked(blocked: &Blocked) -> Value {
    json!({
        "plugin": &*blocked.plugin, "generation": blocked.generation, "method": blocked.method, "route": blocked.route,
        "seconds": blocked.lasting.as_secs_f64(),
    })
}
