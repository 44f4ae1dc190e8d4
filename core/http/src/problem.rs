//! Errors as `application/problem+json`.

use axum::response::IntoResponse;
use bytes::Bytes;
use camlock_policy::{Fault, FaultKind};
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::{Map, Value};

/// An error, for a client.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// An error that is one sentence.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let mut members = Map::new();
        members.insert("type".into(), "about:blank".into());
        members.insert("title".into(), status.canonical_reason().unwrap_or_default().into());
        members.insert("status".into(), status.as_u16().into());
        members.insert("detail".into(), detail.into().into());
        Problem { status, members, header: None }
    }

    /// One that belongs to a plugin.
    pub fn of(plugin: &str, status: StatusCode, detail: impl Into<String>) -> Self {
        Problem::new(status, detail).with("plugin", plugin)
    }

    /// With one more member.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// It may well pass: the client is told to come back in a second.
    pub fn passing(self) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// With a header. There is room for one.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// As it is sent.
    pub fn response<B: From<Bytes>>(self) -> Response<B> {
        let mut response = Response::new(B::from(Bytes::from(Value::Object(self.members).to_string())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.header);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        self.response()
    }
}

/// The answer to a request that a plugin failed. What it said is in the log, not in the answer.
pub(crate) fn of_fault(plugin: &str, fault: &Fault) -> Problem {
    let (status, detail) = match fault.kind {
        FaultKind::Panic => (StatusCode::INTERNAL_SERVER_ERROR, "the plugin panicked while it handled this request"),
        FaultKind::Error => (StatusCode::INTERNAL_SERVER_ERROR, "the plugin failed to handle this request"),
        FaultKind::Contract => (StatusCode::BAD_GATEWAY, "the plugin gave an answer that cannot be sent"),
        FaultKind::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "the plugin did not answer in time"),
        FaultKind::Ended => (StatusCode::BAD_GATEWAY, "the plugin's process ended while it handled this request"),
    };
    Problem::of(plugin, status, detail)
}

/// The answer on a thread that must not run plugins' code. The next connection may find another one.
pub(crate) fn all_stuck() -> Problem {
    let detail = "all serving threads are blocked inside plugins: see `blocked` at /_/health, and try again";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).passing();
    problem.with_header(CONNECTION, HeaderValue::from_static("close"))
}

/// The answer to a request that does not say which host it is for.
#[cold]
pub(crate) fn unsound_host(why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, why).with_header(CONNECTION, HeaderValue::from_static("close"))
}

/// Where nothing answers.
pub fn nothing_there(path: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("nothing is served at {path}"))
}

/// So long, in words that a person reads: `30 s`, `250 ms`.
pub fn seconds(duration: std::time::Duration) -> String {
    match duration.as_millis() {
        milliseconds if milliseconds % 1000 == 0 => format!("{} s", milliseconds / 1000),
        milliseconds => format!("{milliseconds} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn a_problem_says_what_whose_and_when_to_come_back() {
        let problem = Problem::of("hello", StatusCode::SERVICE_UNAVAILABLE, "not yet").with("state", "starting");
        let response: Response<camlock_policy::Body> = problem.passing().response();
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
        let text = response.into_body().into_whole().unwrap();
        let expected = json!({
            "type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "not yet",
            "plugin": "hello", "state": "starting",
        });
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
    }

    #[test]
    fn durations_are_told_in_words() {
        for (duration, told) in [(30_000, "30 s"), (250, "250 ms"), (1_500, "1500 ms"), (0, "0 s")] {
            assert_eq!(seconds(Duration::from_millis(duration)), told);
        }
    }
}
