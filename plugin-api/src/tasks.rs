//! Having work done later. What must not live here: the work (`task.rs`).

use crate::{Host, HostError, HostErrorCode};
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{Method, Request};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The plugin's queue of tasks: what is in it survives reloads, restarts and crashes, and is done on whichever server has room for it.
///
/// ```
/// use camlock_plugin::{Host, HostError, json};
/// use std::time::Duration;
///
/// async fn later(host: &Host) -> Result<String, HostError> {
///     let enqueued = host
///         .tasks()
///         .enqueue("GITHUB_PR_REVIEW", json!({ "pull": 7 }))
///         .delay(Duration::from_secs(30))
///         .unique("pull-7")
///         .send()
///         .await?;
///     Ok(enqueued.id)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Tasks(Host);

/// A task that is about to be enqueued.
#[derive(Clone, Debug)]
#[must_use = "nothing is enqueued before it is sent"]
pub struct NewTask {
    host: Host,
    /// What makes no sense is told when it is sent.
    written: Result<Value, String>,
    options: TaskOptions,
}

/// How a task is wanted. What is not said holds as the manifest has it for the type, or as the host does.
#[derive(Clone, Debug, Default)]
pub struct TaskOptions(Map<String, Value>);

/// A task that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct EnqueuedTask {
    /// Its id.
    pub id: String,
    /// Whether it was not there before: one that is to be unique may have been.
    #[serde(rename = "new")]
    pub is_new: bool,
}

/// What has become of a task.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct TaskStatus {
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `waiting`, `running`, `done`, `dead`, or `cancelled`.
    pub state: String,
    /// The attempt that runs, or the last one.
    pub attempt: u32,
    /// So many attempts failed.
    pub failures: u32,
    /// What it last said of how far it is; null if that is nothing.
    #[serde(default)]
    pub progress: Value,
    /// What came of it; null as long as that is nothing.
    #[serde(default)]
    pub result: Value,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl TaskStatus {
    /// Whether nothing more comes of it by itself.
    pub fn is_over(&self) -> bool {
        !matches!(self.state.as_str(), "waiting" | "running")
    }
}

impl Host {
    /// The plugin's queue of tasks. It takes the permission `tasks`, and the manifest names the types.
    pub fn tasks(&self) -> Tasks {
        Tasks(self.clone())
    }
}

impl Tasks {
    /// A task of a type that this plugin takes; [`send`](NewTask::send) enqueues it. What that acknowledges is not lost.
    pub fn enqueue(&self, kind: &str, input: impl Serialize) -> NewTask {
        NewTask { host: self.0.clone(), written: written(kind, input), options: TaskOptions::default() }
    }

    /// Enqueues all of these or none, up to 1,000.
    pub async fn enqueue_all(&self, tasks: impl IntoIterator<Item = NewTask>) -> Result<Vec<EnqueuedTask>, HostError> {
        let bodies: Result<Vec<Value>, HostError> = tasks.into_iter().map(NewTask::body).collect();
        ask(&self.0, Method::POST, "", Value::from(bodies?).to_string().into()).await
    }

    /// What has become of a task; an error with the code `NotFound` if there is no such task, or it is not kept any more.
    pub async fn status(&self, id: &str) -> Result<TaskStatus, HostError> {
        ask(&self.0, Method::GET, &format!("/{}", checked(id)?), Bytes::new()).await
    }

    /// Gives a task up: one that waits at once, one that runs soon, by dropping its future.
    pub async fn cancel(&self, id: &str) -> Result<TaskStatus, HostError> {
        ask(&self.0, Method::POST, &format!("/{}/cancel", checked(id)?), Bytes::new()).await
    }
}

impl NewTask {
    /// Enqueues it.
    pub async fn send(self) -> Result<EnqueuedTask, HostError> {
        let host = self.host.clone();
        ask(&host, Method::POST, "", self.body()?.to_string().into()).await
    }

    /// With all of these.
    pub fn with(mut self, options: TaskOptions) -> Self {
        self.options = options;
        self
    }

    fn body(self) -> Result<Value, HostError> {
        let mut body = self.written.map_err(invalid)?;
        body["options"] = Value::Object(self.options.0);
        Ok(body)
    }
}

/// Each says one thing, of a task that is sent and of one that a transaction enqueues.
macro_rules! options {
    ($($(#[$doc:meta])* $name:ident($value:ident: $type:ty) => $key:literal, $json:expr;)*) => {
        impl TaskOptions {
            /// Nothing special.
            pub fn new() -> Self {
                TaskOptions::default()
            }

            $($(#[$doc])* #[must_use] pub fn $name(mut self, $value: $type) -> Self {
                self.0.insert($key.to_owned(), json!($json));
                self
            })*
        }

        impl NewTask {
            $($(#[$doc])* pub fn $name(mut self, $value: $type) -> Self {
                self.options = self.options.$name($value);
                self
            })*
        }
    };
}

options! {
    /// Those with a higher one come first: from -1000 to 1000, and 0 if nothing is said.
    priority(priority: i32) => "priority", priority;
    /// It is not begun before so long has passed.
    delay(delay: Duration) => "delay", milliseconds(delay);
    /// As long as there is a task of this type with this key that is not over, no other one is made: that one's id comes back.
    unique(key: &str) => "unique", key;
    /// After so many failures it is dead, and waits for an operator.
    attempts(attempts: u32) => "attempts", attempts;
    /// An attempt that takes longer has failed.
    time_limit(limit: Duration) => "time_limit", milliseconds(limit);
    /// Between the first failure and the second attempt; each time it is doubled, up to an hour.
    backoff(first: Duration) => "backoff", milliseconds(first);
    /// Its result is kept for so long.
    retention(time: Duration) => "retention", milliseconds(time);
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn written(kind: &str, input: impl Serialize) -> Result<Value, String> {
    let input = serde_json::to_value(input).map_err(|error| format!("the input of {kind}: {error}"))?;
    Ok(json!({ "type": kind, "input": input }))
}

/// A task as a transaction enqueues it.
pub(crate) fn for_transaction(kind: &str, input: impl Serialize, options: TaskOptions) -> Result<Bytes, HostError> {
    let mut body = written(kind, input).map_err(invalid)?;
    body["options"] = Value::Object(options.0);
    Ok(body.to_string().into())
}

fn invalid(why: impl Into<String>) -> HostError {
    HostError::new(HostErrorCode::Invalid, why)
}

/// An id is part of a path.
fn checked(id: &str) -> Result<&str, HostError> {
    let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Ok(id) } else { Err(invalid(format!("{id:?} is no task's id"))) }
}

async fn ask<T: DeserializeOwned>(host: &Host, method: Method, rest: &str, body: Bytes) -> Result<T, HostError> {
    let request = Request::builder().method(method).uri(format!("/tasks/1{rest}")).body(Body::from(body));
    let answer = host.ask(request.map_err(|error| invalid(error.to_string()))?).await?;
    let broken = |error: &dyn std::fmt::Display| {
        HostError::new(HostErrorCode::Unavailable, format!("the answer broke off: {error}"))
    };
    let bytes = to_bytes(answer.into_body(), usize::MAX).await.map_err(|error| broken(&error))?;
    serde_json::from_slice(&bytes).map_err(|error| broken(&error))
}
