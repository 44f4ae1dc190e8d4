//! The queue of tasks: enqueued, listed, given up and tried again by operators.

use crate::{
    admit::Visitor,
    ask::{NamedPlugin, OfPlugin, ValidQuery, bad, read_up_to},
    page::{cursor, length, place},
    state::{Control, ControlState},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use camlock_api::{Page, ScheduleView, TaskView};
use camlock_http::Problem;
use camlock_policy::{AskError, AskErrorCode, QueuedQuery, QueuedTasks, WantedTask, registry::Happened};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use std::{sync::Arc, time::SystemTime};
use utoipa::{IntoParams, ToSchema};

/// What this list's cursors are marked with.
const LIST: &str = "tasks";

/// The largest body: an input of 1 MiB, and what is around it.
const LARGEST: usize = (1 << 20) + (64 << 10);

/// Which tasks are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TasksQuery {
    /// Only of this plugin.
    plugin: Option<String>,
    /// Only of this type.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    kind: Option<String>,
    /// Only in this state: `waiting`, `running`, `done`, `dead`, `cancelled`.
    state: Option<String>,
    /// So many at most: from 1 to 500, and 50 if nothing is said.
    #[param(minimum = 1, maximum = 500, value_type = Option<usize>)]
    limit: Option<usize>,
    /// Where to go on: `next` of the page before.
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
}

/// One task.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OneTask {
    /// The task's id.
    id: String,
}

/// A task that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskOrder {
    /// Whose; without, that of the only plugin that takes such tasks.
    #[serde(default)]
    plugin: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    kind: String,
    /// What it is about.
    #[serde(default)]
    input: Value,
    /// `priority` (-1000 to 1000), `delay`, `time_limit`, `backoff`, `retention` (milliseconds), `unique`, `attempts`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    options: Option<Value>,
}

/// Tasks, the newest first.
#[utoipa::path(get, path = "/api/v1/tasks", tag = "tasks", operation_id = "tasks", params(TasksQuery), responses(
    (status = 200, description = "The newest first", body = Page<TaskView>)))]
pub(super) async fn list(
    State(control): ControlState,
    ValidQuery(wanted): ValidQuery<TasksQuery>,
) -> Result<Json<Page<TaskView>>, Problem> {
    let before = place(LIST, wanted.cursor.as_deref())?;
    let TasksQuery { plugin, kind, state, limit, .. } = wanted;
    let query = QueuedQuery { plugin, kind, state, before, most: length(limit)? };
    let (items, more) = queue(&control)?.list(query).await.map_err(|why| problem(&why))?;
    let next = items.last().filter(|_| more).map(|last| cursor(LIST, &last.id));
    Ok(Json(Page { items, next }))
}

/// Has something done later.
#[utoipa::path(post, path = "/api/v1/tasks", tag = "tasks", operation_id = "enqueue", request_body = TaskOrder, responses(
    (status = 201, description = "It is accepted, and kept", body = TaskView),
    (status = 200, description = "There is one with its `unique` key that is not over: this one", body = TaskView),
    (status = 413, description = "Its input is too large"),
    (status = 503, description = "The database cannot be reached for now: nothing was accepted"),
))]
pub(super) async fn enqueue(State(control): ControlState, visitor: Visitor, body: Body) -> Result<Response, Problem> {
    let TaskOrder { plugin, kind, input, options } = read_up_to(body, LARGEST).await?;
    let options = options.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let wanted = WantedTask { plugin, kind, input, options };
    let (task, is_new) = queue(&control)?.enqueue(wanted).await.map_err(|why| problem(&why))?;
    note(&control, &visitor, "task-enqueued", &task);
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(task)).into_response())
}

/// One task.
#[utoipa::path(get, path = "/api/v1/tasks/{id}", tag = "tasks", operation_id = "task", params(OneTask), responses(
    (status = 200, description = "It, and what has become of it", body = TaskView),
    (status = 404, description = "There is no such task, or it is not kept any more"),
))]
pub(super) async fn show(
    State(control): ControlState,
    Path(OneTask { id }): Path<OneTask>,
) -> Result<Json<TaskView>, Problem> {
    let task = queue(&control)?.task(number(&id)?).await.map_err(|why| problem(&why))?;
    task.map(Json).ok_or_else(|| no_task(&id))
}

/// Gives a task up: one that waits at once, one that runs as soon as its server hears of it.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/cancel", tag = "tasks", operation_id = "cancel_task", params(OneTask),
    responses(
    (status = 200, description = "It is given up, or was over", body = TaskView),
    (status = 404, description = "There is no such task"),
))]
pub(super) async fn cancel(
    State(control): ControlState,
    visitor: Visitor,
    Path(OneTask { id }): Path<OneTask>,
) -> Result<Json<TaskView>, Problem> {
    let task = queue(&control)?.cancel(number(&id)?).await.map_err(|why| problem(&why))?;
    let task = task.ok_or_else(|| no_task(&id))?;
    note(&control, &visitor, "task-cancelled", &task);
    Ok(Json(task))
}

/// Has a task tried again that is dead or cancelled.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/retry", tag = "tasks", operation_id = "retry_task", params(OneTask),
    responses(
    (status = 200, description = "It waits again", body = TaskView),
    (status = 404, description = "There is no such task"),
    (status = 409, description = "It is not over, or was done, or another has its `unique` key"),
))]
pub(super) async fn retry(
    State(control): ControlState,
    visitor: Visitor,
    Path(OneTask { id }): Path<OneTask>,
) -> Result<Json<TaskView>, Problem> {
    let task = queue(&control)?.retry(number(&id)?).await.map_err(|why| problem(&why))?;
    let task = task.ok_or_else(|| no_task(&id))?;
    note(&control, &visitor, "task-retried", &task);
    Ok(Json(task))
}

/// The schedules by which a plugin is called, with their next and last runs.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/schedules", tag = "tasks", operation_id = "schedules", params(OfPlugin),
    responses((status = 200, description = "By their names", body = Page<ScheduleView>)))]
pub(super) async fn schedules(
    State(control): ControlState,
    NamedPlugin(plugin): NamedPlugin,
) -> Result<Json<Page<ScheduleView>>, Problem> {
    let items = queue(&control)?.schedules(&plugin.name).await.map_err(|why| problem(&why))?;
    Ok(Json(Page { items, next: None }))
}

fn queue(control: &Control) -> Result<&Arc<dyn QueuedTasks>, Problem> {
    let none = || Problem::new(StatusCode::NOT_IMPLEMENTED, "this server has no queue of tasks");
    control.options.tasks.as_ref().ok_or_else(none)
}

/// What is no number is no task.
fn number(id: &str) -> Result<i64, Problem> {
    id.parse().ok().filter(|number| *number > 0).ok_or_else(|| no_task(id))
}

fn no_task(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no task {id:?}"))
}

fn problem(error: &AskError) -> Problem {
    let status = match error.code {
        AskErrorCode::Denied => StatusCode::FORBIDDEN,
        AskErrorCode::Limit => StatusCode::PAYLOAD_TOO_LARGE,
        AskErrorCode::Conflict => StatusCode::CONFLICT,
        AskErrorCode::NotFound => StatusCode::NOT_FOUND,
        AskErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        AskErrorCode::Invalid => return bad(error.message.as_str()),
    };
    let problem = Problem::new(status, error.message.as_str());
    if status == StatusCode::SERVICE_UNAVAILABLE { problem.passing() } else { problem }
}

fn note(control: &Control, visitor: &Visitor, what: &'static str, task: &TaskView) {
    (control.options.note)(Happened {
        plugin: Some(task.plugin.clone()),
        generation: None,
        what,
        by: visitor.by.clone(),
        detail: serde_json::json!({ "task": task.id, "type": task.kind }),
        at: SystemTime::now(),
    });
}
