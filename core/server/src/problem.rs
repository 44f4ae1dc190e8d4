//! Errors as `application/problem+json`.

use camlock_core::{Body, Fault, FaultKind};
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

/// The answer to a request that a plugin failed. What it said is in the log, not in the answer.
pub(crate) fn of_fault(plugin: &str, fault: &Fault) -> Response<Body> {
    let (status, detail) = match fault.kind {
        FaultKind::Panic => (StatusCode::INTERNAL_SERVER_ERROR, "the plugin panicked while it handled this request"),
        FaultKind::Error => (StatusCode::INTERNAL_SERVER_ERROR, "the plugin failed to handle this request"),
        FaultKind::Contract => (StatusCode::BAD_GATEWAY, "the plugin gave an answer that cannot be sent"),
        FaultKind::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "the plugin did not answer in time"),
    };
    problem(status, json!({ "detail": detail, "plugin": plugin }))
}

/// The answer where no plugin answers.
pub(crate) fn nothing_there(path: &str) -> Response<Body> {
    problem(StatusCode::NOT_FOUND, json!({ "detail": format!("nothing is served at {path}") }))
}

fn problem(status: StatusCode, mut document: Value) -> Response<Body> {
    document["type"] = "about:blank".into();
    document["title"] = status.canonical_reason().unwrap_or_default().into();
    document["status"] = status.as_u16().into();
    let mut response = Response::new(Body::from(document.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
