//! Whether the server lives, is ready, and what it is.

use crate::{admit::Visitor, state::ControlState};
use axum::{Json, extract::State, response::IntoResponse, response::Response};
use camlock_api::{BlockedHandler, ServerHealth};
use camlock_http::{Blocked, Problem};
use camlock_policy::{Headline, Overview, without_paths};
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
pub(super) async fn ready(State(control): ControlState, visitor: Visitor) -> Response {
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
    let troubles = overview.trouble.iter().chain(&overview.registry_trouble);
    let troubles = troubles.map(|trouble| match visitor.role {
        Some(_) => trouble.clone(),
        None => without_paths(trouble),
    });
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
    starting
        .map(|plugin| {
            let at = plugin.candidate.as_ref().map_or(plugin.state.word(), |candidate| &*candidate.stage);
            (&*plugin.name, at)
        })
        .collect()
}

/// What this server is; for those who may see more, also which handlers block their threads.
#[utoipa::path(get, path = "/_/health", tag = "probes", responses((status = 200, description = "Versions", body = ServerHealth)))]
pub(super) async fn health(State(control): ControlState, visitor: Visitor) -> Json<ServerHealth> {
    let status = if control.options.blocked.all_stuck() { "blocked" } else { "ok" };
    let mut health = ServerHealth { status: status.to_owned(), ..control.options.about.clone() };
    if visitor.role.is_some() {
        (control.options.processes)(&mut health);
        health.blocked = Some(control.options.blocked.all().into_iter().map(blocked).collect());
    }
    Json(health)
}

fn blocked(blocked: Blocked) -> BlockedHandler {
    BlockedHandler {
        plugin: blocked.plugin.to_string(),
        generation: blocked.generation,
        method: blocked.method.to_string(),
        route: blocked.route,
        seconds: blocked.lasting.as_secs_f64(),
    }
}
