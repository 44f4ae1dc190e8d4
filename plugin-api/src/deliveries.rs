//! What the host brings to a plugin beside requests of clients, by its path. What must not live here: how it crosses, and what each
//! thing is.

use crate::{Due, Error, Execution, Host, Task, execution::BadInput, lifecycle::Lifecycle};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use std::{fmt, sync::Arc};

/// Answers all that is delivered.
pub(crate) fn router(plugin: Arc<dyn Lifecycle>, host: Host) -> Router {
    Router::new()
        .route("/execute/1", post(execute))
        .route("/events/1", post(events))
        .route("/schedule/1", post(schedule))
        .route("/task/1", post(move |plugin, body| task(plugin, host.clone(), body)))
        .fallback(nothing_of_the_kind)
        // The host has looked how large it is.
        .layer(DefaultBodyLimit::disable())
        .with_state(plugin)
}

/// The same of a plugin in a program, for testkits.
#[doc(hidden)]
pub fn deliveries_in_program<P: crate::Plugin>(plugin: Arc<P>, host: Host) -> Router {
    router(plugin, host)
}

async fn execute(State(plugin): State<Arc<dyn Lifecycle>>, body: Bytes) -> Response {
    let execution: Execution = match serde_json::from_slice(&body) {
        Ok(execution) => execution,
        Err(error) => return refused("invalid", StatusCode::BAD_REQUEST, &format!("the execution: {error}")),
    };
    answered("/execute/1", plugin.execute(execution).await)
}

async fn events(State(plugin): State<Arc<dyn Lifecycle>>, body: Bytes) -> Response {
    match plugin.events(body).await {
        Ok(failures) => failures.into_response(),
        failed @ Err(_) => answered("/events/1", failed),
    }
}

async fn schedule(State(plugin): State<Arc<dyn Lifecycle>>, body: Bytes) -> Response {
    match Due::read(&body) {
        Ok(due) => answered("/schedule/1", plugin.schedule(due).await),
        Err(error) => refused("invalid", StatusCode::BAD_REQUEST, &format!("what is due: {error}")),
    }
}

async fn task(State(plugin): State<Arc<dyn Lifecycle>>, host: Host, body: Bytes) -> Response {
    let task = match Task::read(&body, host) {
        Ok(task) => task,
        Err(error) => return refused("invalid", StatusCode::BAD_REQUEST, &format!("the task: {error}")),
    };
    answered("/task/1", plugin.task(task).await)
}

/// What came of it: JSON, or the error that it is.
fn answered(path: &str, outcome: crate::Result<Vec<u8>>) -> Response {
    match outcome {
        Ok(result) => ([("content-type", "application/json")], result).into_response(),
        Err(error) if error.is::<NotTaken>() => not_taken(path),
        Err(error) if error.is::<BadInput>() => refused("invalid", StatusCode::UNPROCESSABLE_ENTITY, &in_words(&error)),
        Err(error) => refused("failed", StatusCode::INTERNAL_SERVER_ERROR, &in_words(&error)),
    }
}

fn in_words(error: &Error) -> String {
    format!("{error:#}")
}

fn refused(code: &'static str, status: StatusCode, told: &str) -> Response {
    (status, [(crate::ask::ERROR_CODE, code)], told.to_owned()).into_response()
}

async fn nothing_of_the_kind(uri: Uri) -> Response {
    not_taken(uri.path())
}

fn not_taken(path: &str) -> Response {
    refused("not_found", StatusCode::NOT_FOUND, &format!("this plugin takes nothing of the kind: {path}"))
}

/// The plugin's author has not written the function that takes this.
#[derive(Debug)]
pub(crate) struct NotTaken;

impl fmt::Display for NotTaken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("this plugin takes nothing of the kind")
    }
}

impl std::error::Error for NotTaken {}
