//! `tasks/1`: what plugins ask of the queue. What must not live here: what is done.
//!
//! `POST /tasks/1` enqueues: `{"type","input","options"}`, or a list of these. `GET /tasks/1/ID`, `POST /tasks/1/ID/cancel`, and
//! `POST /tasks/1/ID/progress?attempt=N`. Of other plugins' tasks it knows nothing.

use super::{KnownTasks, TaskQueue, TaskRecord, TaskRunner, invalid, plan::MOST_INPUT, read_task};
use crate::Service;
use camlock_policy::{AskError, AskErrorCode, Asker, Body, BoxFuture};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json, value::RawValue};
use std::sync::{Arc, OnceLock};

/// A request may have so many bytes.
const MOST_BYTES: usize = 8 << 20;

/// So many tasks are enqueued at once.
const MOST_TASKS: usize = 1_000;

/// What a task says of how far it is may have so many bytes.
const MOST_PROGRESS: usize = 64 << 10;

/// The queue, for plugins.
#[derive(Clone, Debug)]
pub struct TasksService {
    queue: TaskQueue,
    known: KnownTasks,
    /// There once plugins are served.
    runner: Arc<OnceLock<TaskRunner>>,
}

impl TasksService {
    /// Of that queue. Who runs tasks is told as soon as there is somebody.
    pub fn new(queue: TaskQueue, known: KnownTasks, runner: Arc<OnceLock<TaskRunner>>) -> Self {
        TasksService { queue, known, runner }
    }
}

impl Service for TasksService {
    fn answer(&self, asker: &Asker, request: Request<Body>) -> BoxFuture<Result<Response<Body>, AskError>> {
        if let Err(denied) = asker.may("tasks") {
            return Box::pin(std::future::ready(Err(denied)));
        }
        Box::pin(answer(self.clone(), asker.plugin.clone(), request))
    }
}

async fn answer(service: TasksService, plugin: Arc<str>, request: Request<Body>) -> Result<Response<Body>, AskError> {
    let (head, body) = request.into_parts();
    let rest = head.uri.path().strip_prefix("/tasks/1").unwrap_or_default();
    if rest.is_empty() && head.method == Method::POST {
        return enqueue(&service, &plugin, &whole(body, MOST_BYTES).await?).await;
    }
    let rest = rest.strip_prefix('/').unwrap_or_default();
    let (id, act) = rest.split_once('/').unwrap_or((rest, ""));
    let id: i64 = id.parse().map_err(|_| invalid(format!("`{id}` is no task's id")))?;
    match (act, head.method) {
        ("", Method::GET) => describe(&own(service.queue.task(id).await?, &plugin, id)?),
        ("cancel", Method::POST) => {
            own(service.queue.task(id).await?, &plugin, id)?;
            describe(&own(service.queue.cancel(id).await?, &plugin, id)?)
        }
        ("progress", Method::POST) => {
            let query = head.uri.query().unwrap_or_default();
            let attempt = query.strip_prefix("attempt=").and_then(|attempt| attempt.parse().ok());
            let attempt = attempt.ok_or_else(|| invalid("it says not which attempt this is"))?;
            let text = String::from_utf8(whole(body, MOST_PROGRESS).await?).map_err(|_| invalid("it is not UTF-8"))?;
            serde_json::from_str::<&RawValue>(&text).map_err(|error| invalid(format!("it is no JSON: {error}")))?;
            if text.contains("\\u0000") {
                return Err(invalid("it has a zero character"));
            }
            let none = || AskError::new(AskErrorCode::Unavailable, "no tasks run here");
            service.runner.get().ok_or_else(none)?.progress(&plugin, id, attempt, text)?;
            Ok(Response::new(Body::empty()))
        }
        (act, method) => Err(invalid(format!("there is no {method} of `{act}` for a task"))),
    }
}

async fn enqueue(service: &TasksService, plugin: &Arc<str>, text: &[u8]) -> Result<Response<Body>, AskError> {
    let is_list = text.trim_ascii_start().starts_with(b"[");
    let written: Vec<&RawValue> = match is_list {
        true => serde_json::from_slice(text).map_err(|error| invalid(format!("the tasks: {error}")))?,
        false => vec![serde_json::from_slice(text).map_err(|error| invalid(format!("the task: {error}")))?],
    };
    if written.len() > MOST_TASKS {
        return Err(AskError::new(AskErrorCode::Limit, format!("{MOST_TASKS} tasks are enqueued at once at most")));
    }
    let mut tasks = Vec::with_capacity(written.len());
    for one in written {
        let (task, input) = read_task(one.get().as_bytes(), [0; 16])?;
        service.known.check(plugin, &task, &input)?;
        tasks.push(task);
    }
    let done = service.queue.enqueue(plugin, tasks).await?;
    let done: Vec<Value> = done.iter().map(|one| json!({ "id": one.id.to_string(), "new": one.is_new })).collect();
    let text = match (is_list, done.as_slice()) {
        (false, [one]) => one.to_string(),
        _ => Value::from(done).to_string(),
    };
    Ok(Response::new(Body::from(text)))
}

/// A task that is not the plugin's own is not there for it.
fn own(task: Option<TaskRecord>, plugin: &str, id: i64) -> Result<TaskRecord, AskError> {
    let none = || AskError::new(AskErrorCode::NotFound, format!("there is no task {id}"));
    task.filter(|task| task.plugin == plugin).ok_or_else(none)
}

fn describe(task: &TaskRecord) -> Result<Response<Body>, AskError> {
    let read = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let told = json!({
        "id": task.id.to_string(),
        "type": task.kind,
        "state": task.state.shown(),
        "attempt": task.attempt,
        "failures": task.failures,
        "progress": read(&task.progress),
        "result": read(&task.result),
        "error": task.error,
    });
    Ok(Response::new(Body::from(told.to_string())))
}

async fn whole(body: Body, most: usize) -> Result<Vec<u8>, AskError> {
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(AskError::new(AskErrorCode::Limit, format!("more than {most} bytes were sent")))
        }
        Err(error) => Err(invalid(format!("what was sent broke off: {error}"))),
    }
}

const _: () = assert!(MOST_INPUT < MOST_BYTES);
