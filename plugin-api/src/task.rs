//! A task as it reaches its plugin. What must not live here: enqueueing, and how it came in.

use crate::{Error, Host, HostError, HostErrorCode, Result, execution::BadInput};
use axum::body::Body;
use http::Request;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Work that somebody wanted done later: see [`Plugin::task`](crate::Plugin::task).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Task {
    /// The host's id of it, by which operators find it again.
    pub id: String,
    /// Its type, one of those that the manifest names.
    pub kind: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// So many attempts failed before. It is less than `attempt - 1` if some were taken back: what has to go at a reload costs none.
    pub failures: u32,
    /// When it was enqueued.
    pub enqueued: SystemTime,
    /// What it is about.
    pub input: Value,
    host: Option<Host>,
}

/// As the host brings it.
#[derive(Deserialize)]
struct BroughtTask {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    attempt: u32,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    enqueued: u64,
    #[serde(default)]
    input: Value,
}

impl Task {
    /// One as a host would bring it, for tests. What it says of its progress goes nowhere.
    pub fn new(kind: impl Into<String>, input: impl Into<Value>) -> Self {
        Task {
            id: "1".to_owned(),
            kind: kind.into(),
            attempt: 1,
            failures: 0,
            enqueued: SystemTime::now(),
            input: input.into(),
            host: None,
        }
    }

    pub(crate) fn read(bytes: &[u8], host: Host) -> std::result::Result<Self, serde_json::Error> {
        let BroughtTask { id, kind, attempt, failures, enqueued, input } = serde_json::from_slice(bytes)?;
        let enqueued = UNIX_EPOCH + Duration::from_millis(enqueued);
        Ok(Task { id, kind, attempt, failures, enqueued, input, host: Some(host) })
    }

    /// The input, as a type; the error says where it does not fit. A task that fails with it is not tried again.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T> {
        serde_path_to_error::deserialize(&self.input).map_err(|error| Error::new(BadInput(error.to_string())))
    }

    /// Says how far it is, in whatever words: whoever looks at the task sees the last that was said. It costs little: the host
    /// writes it down now and then.
    pub async fn progress(&self, progress: impl Serialize) -> Result<(), HostError> {
        let invalid = |error: &dyn std::fmt::Display| HostError::new(HostErrorCode::Invalid, error.to_string());
        let said = serde_json::to_vec(&progress).map_err(|error| invalid(&error))?;
        let Some(host) = &self.host else { return Ok(()) };
        let path = format!("/tasks/1/{}/progress?attempt={}", self.id, self.attempt);
        let request = Request::post(path).body(Body::from(said)).map_err(|error| invalid(&error))?;
        host.ask(request).await.map(drop)
    }
}
