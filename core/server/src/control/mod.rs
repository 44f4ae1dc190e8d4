//! The host's own paths: what is served and how it is, the probes, and what operators may do.
//!
//! Nothing here waits for a plugin's code: all that is shown comes from the manager's overview. What must not live here: any
//! decision about plugins, and where the admin token is kept.

mod acts;
mod admit;
mod probes;
mod show;

pub use admit::Token;

use crate::{
    blocked::BlockedList,
    problem::{Problem, nothing_there},
};
use admit::{Eyes, admit};
use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, Request, State},
    middleware,
    response::Response,
    routing::{get, post},
};
use camlock_core::Manager;
use http::{StatusCode, request::Parts};
use serde_json::{Value, json};
use std::sync::Arc;

/// What the host's own paths need to know.
#[derive(Clone, Debug)]
pub struct ControlOptions {
    /// Who has it may do everything.
    pub token: Token,
    /// What `/_/health` tells.
    pub about: About,
    /// Handlers that block: `Dispatch::blocked_list`.
    pub blocked: BlockedList,
}

/// What this server is.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Its version.
    pub version: String,
    /// The revision it was built from.
    pub revision: Option<String>,
    /// The compiler it was built with.
    pub rustc: Option<String>,
    /// The contract it offers to plugins.
    pub abi: String,
    /// The plugins that are compiled in.
    pub built_in: Vec<String>,
}

/// What all handlers share.
struct Control {
    manager: Manager,
    options: ControlOptions,
}

type Shared = State<Arc<Control>>;

/// The router of the host's own paths. Requests that come over a connection have their peer as `ConnectInfo`.
pub fn control_router(manager: Manager, options: ControlOptions) -> Router {
    let control = Arc::new(Control { manager, options });
    Router::new()
        .route("/plugins", get(list))
        .route("/plugins/{name}", get(one))
        .route("/_/live", get(probes::live))
        .route("/_/ready", get(probes::ready))
        .route("/_/health", get(probes::health))
        .route("/api/v1/plugins", get(list))
        .route("/api/v1/plugins/{name}", get(one))
        .route("/api/v1/plugins/{name}/reload", post(acts::reload))
        .route("/api/v1/plugins/{name}/rollback", post(acts::rollback))
        .route("/api/v1/plugins/{name}/enable", post(acts::enable))
        .route("/api/v1/plugins/{name}/disable", post(acts::disable))
        .route("/api/v1/reload", post(acts::look_again))
        .fallback(async |request: Request| nothing_there(request.uri().path()).response::<axum::body::Body>())
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(control.clone(), admit))
        .with_state(control)
}

async fn list(State(control): Shared, eyes: Eyes) -> Json<Value> {
    Json(listed(&control.manager, eyes))
}

fn listed(manager: &Manager, eyes: Eyes) -> Value {
    let overview = manager.overview();
    let items: Vec<_> = overview.plugins.iter().map(|plugin| show::plugin(plugin, eyes)).collect();
    let mut list = json!({ "items": items, "next": null });
    if let (Eyes::Operator, Some(trouble)) = (eyes, &overview.trouble) {
        list["trouble"] = trouble.as_str().into();
    }
    list
}

async fn one(State(control): Shared, Name(name): Name, eyes: Eyes) -> Result<Json<Value>, Response> {
    let plugin = control.manager.plugin(&name).ok_or_else(|| unknown(&name))?;
    Ok(Json(show::plugin(&plugin, eyes)))
}

/// The plugin's name in the path.
struct Name(String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = path.map_err(|_| nothing_there(parts.uri.path()).response())?;
        Ok(Name(name))
    }
}

fn unknown(name: &str) -> Response {
    Problem::of(name, StatusCode::NOT_FOUND, format!("there is no plugin `{name}`")).response()
}

async fn wrong_method(request: Request) -> Response {
    let detail = format!("{} does not take {}", request.uri().path(), request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).response()
}
