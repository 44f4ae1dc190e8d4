//! What operators ask for. Each waits for its outcome, unless it is told not to.

use super::{Name, Shared, admit::Eyes, listed, show, unknown};
use crate::problem::{Problem, seconds};
use axum::{
    Json,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use camlock_core::{Act, Digest, Done, Nudge, Refused};
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;

/// The largest body that is read.
const LARGEST: usize = 64 * 1024;
/// How long a client may take to send it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What may stand behind the path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manner {
    /// Whether the answer waits for the outcome.
    #[serde(default = "yes")]
    wait: bool,
    /// Also where a bound forbids it.
    #[serde(default)]
    force: bool,
}

type Manners = Result<Query<Manner>, QueryRejection>;

fn yes() -> bool {
    true
}

/// A body in which nothing may stand.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Where to go back to.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Back {
    to: Option<Digest>,
}

pub(super) async fn reload(control: Shared, name: Name, manners: Manners, body: Body) -> Response {
    perform(control, name, manners, body, |manner, Nothing {}| Act::Reload { force: manner.force }).await
}

pub(super) async fn rollback(control: Shared, name: Name, manners: Manners, body: Body) -> Response {
    perform(control, name, manners, body, |_, Back { to }| Act::Rollback { to }).await
}

pub(super) async fn enable(control: Shared, name: Name, manners: Manners, body: Body) -> Response {
    perform(control, name, manners, body, |_, Nothing {}| Act::Enable(true)).await
}

pub(super) async fn disable(control: Shared, name: Name, manners: Manners, body: Body) -> Response {
    perform(control, name, manners, body, |_, Nothing {}| Act::Enable(false)).await
}

/// Has the manager look at everything again. What comes of it is seen in the plugins.
pub(super) async fn look_again(State(control): Shared, manners: Manners, body: Body) -> Response {
    if let Err(problem) = read::<Nothing>(body).await.and(manner(manners)) {
        return problem.response();
    }
    control.manager.nudge(Nudge::Everything);
    (StatusCode::ACCEPTED, Json(listed(&control.manager, Eyes::Operator))).into_response()
}

async fn perform<B: DeserializeOwned + Default>(
    State(control): Shared,
    Name(name): Name,
    manners: Manners,
    body: Body,
    act: impl FnOnce(&Manner, B) -> Act,
) -> Response {
    let Some(plugin) = control.manager.plugin(&name) else { return unknown(&name) };
    let manner = match manner(manners) {
        Ok(manner) => manner,
        Err(problem) => return problem.response(),
    };
    let act = match read(body).await {
        Ok(body) => act(&manner, body),
        Err(problem) => return problem.response(),
    };
    if manner.wait {
        return told(&name, control.manager.act(&name, act).await);
    }
    let manager = control.manager.clone();
    // Whoever does not wait reads the outcome from the plugin.
    tokio::spawn(async move { drop(manager.act(&name, act).await) });
    (StatusCode::ACCEPTED, Json(show::plugin(&plugin, Eyes::Operator))).into_response()
}

fn told(name: &str, outcome: Result<Done, Refused>) -> Response {
    match outcome {
        Ok(done) => Json(show::done(&done)).into_response(),
        Err(refused) => problem(name, &refused).response(),
    }
}

fn problem(name: &str, refused: &Refused) -> Problem {
    let detail = refused.to_string();
    match refused {
        Refused::Unknown(_) => Problem::of(name, StatusCode::NOT_FOUND, detail),
        Refused::Conflict(_) => Problem::of(name, StatusCode::CONFLICT, detail),
        Refused::Outdated(_) => Problem::of(name, StatusCode::PRECONDITION_FAILED, detail),
        Refused::Unavailable(_) => Problem::of(name, StatusCode::SERVICE_UNAVAILABLE, detail).passing(),
        Refused::Ending => Problem::of(name, StatusCode::SERVICE_UNAVAILABLE, detail),
        Refused::Failed { failure, generation, .. } => {
            Problem::of(name, StatusCode::UNPROCESSABLE_ENTITY, failure.reason.as_str())
                .with("stage", failure.stage.to_string())
                .with("generation", *generation)
                .with("diagnostics", show::diagnostics(failure))
        }
    }
}

fn manner(manners: Manners) -> Result<Manner, Problem> {
    let bad = |rejection: QueryRejection| {
        let told = rejection.body_text();
        let why = told.strip_prefix("Failed to deserialize query string: ").unwrap_or(&told);
        Problem::new(StatusCode::BAD_REQUEST, format!("the query is not understood: {why}"))
    };
    manners.map(|Query(manner)| manner).map_err(bad)
}

/// The body as JSON; none at all says nothing.
async fn read<B: DeserializeOwned + Default>(body: Body) -> Result<B, Problem> {
    let read = tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST).collect()).await.map_err(|_| {
        let detail = format!("the body did not arrive within {}", seconds(PATIENCE));
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    })?;
    let bytes = read.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            let detail = format!("the body is larger than the {LARGEST} bytes that are read");
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail);
        }
        Problem::new(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"))
    })?;
    let bytes = bytes.to_bytes();
    if bytes.trim_ascii().is_empty() {
        return Ok(B::default());
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the body is not understood: {error}")))
}
