//! Tasks on this server: which plugins take which, and the queue as operators see it. What must not live here: the queue.

use camlock_api::{ScheduleView, TaskView, UtcTime};
use camlock_config::Schema;
use camlock_policy::{
    AskError, AskErrorCode, BoxFuture, ConfigSchema, LivePlugin, Overview, QueuedCounts, QueuedQuery, QueuedTasks,
    WantedTask,
};
use camlock_services::{
    KnownTasks, OfferedTask, TakenTask, TaskQuery, TaskQueue, TaskRecord, TaskRunner, TaskState, TaskWishes,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::{Duration, UNIX_EPOCH},
};
use tokio::sync::watch;

/// The queue, and all that belongs to it on this server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TaskParts {
    pub(crate) queue: TaskQueue,
    pub(crate) known: KnownTasks,
    /// There once plugins are served.
    pub(crate) runner: Arc<OnceLock<TaskRunner>>,
}

impl TaskParts {
    pub(crate) fn new(queue: TaskQueue) -> Self {
        TaskParts { queue, known: KnownTasks::default(), runner: Arc::default() }
    }
}

/// By which generation, with which of the permissions `tasks` and `schedule`, and what.
type FollowedTaker = (u64, (bool, bool), Vec<TakenTask>);

type TakenByPlugin = BTreeMap<Arc<str>, FollowedTaker>;

/// Follows which plugins serve, and take tasks, and may; as long as there is anything new.
pub(crate) async fn follow_takers(known: KnownTasks, mut overview: watch::Receiver<Arc<Overview>>) {
    let mut taken = TakenByPlugin::new();
    while overview.changed().await.is_ok() {
        let now = overview.borrow_and_update().clone();
        let mut next = TakenByPlugin::new();
        for plugin in &now.plugins {
            if let Some(takes) = takes(plugin, &taken) {
                next.insert(plugin.name.as_str().into(), takes);
            }
        }
        let by_whom = |taken: &TakenByPlugin| -> Vec<_> {
            taken.iter().map(|(plugin, (generation, may, _))| (plugin.clone(), *generation, *may)).collect()
        };
        if by_whom(&taken) != by_whom(&next) {
            known.replace(next.iter().map(|(plugin, (.., types))| (plugin.clone(), types.clone())).collect());
        }
        taken = next;
    }
}

fn has(plugin: &LivePlugin, permission: &str) -> bool {
    plugin.grants.asked.iter().any(|asked| asked.granted && asked.permission == permission)
}

/// What a plugin takes, if it serves and may; what is known of its generation is not read again.
fn takes(plugin: &LivePlugin, known: &TakenByPlugin) -> Option<FollowedTaker> {
    let generation = plugin.serving.as_ref()?.generation;
    let may = (has(plugin, "tasks"), has(plugin, "schedule"));
    if may == (false, false) {
        return None;
    }
    if let Some(same) = known.get(plugin.name.as_str()).filter(|known| known.0 == generation && known.1 == may) {
        return Some(same.clone());
    }
    let manifest = plugin.manifest()?.camlock;
    let types = manifest.task_types.iter().filter(|_| may.0);
    let types = types.map(|kind| TakenTask::new(kind, schema(kind.input.as_ref()), schema(kind.output.as_ref())));
    let schedules = manifest.schedules.into_iter().filter(|_| may.1).map(TakenTask::of_schedule);
    let taken: Vec<TakenTask> = types.chain(schedules).collect();
    (!taken.is_empty()).then_some((generation, may, taken))
}

/// They were read when the plugin was verified.
fn schema(document: Option<&Value>) -> Option<Arc<dyn ConfigSchema>> {
    Schema::read(&document?.to_string()).ok().map(|schema| Arc::new(schema) as Arc<dyn ConfigSchema>)
}

/// The queue, for operators.
pub(crate) struct OperatorsTasks(pub(crate) TaskParts);

fn time(at: i64) -> UtcTime {
    (UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0))).into()
}

fn view(task: TaskRecord) -> TaskView {
    let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    TaskView {
        id: task.id.to_string(),
        plugin: task.plugin,
        kind: task.kind,
        state: task.state.shown().to_owned(),
        priority: task.priority,
        attempt: task.attempt,
        failures: task.failures,
        attempts: task.attempts,
        unique: task.unique,
        cancel: task.cancel,
        input: json(Some(task.input)),
        progress: json(task.progress),
        result: json(task.result),
        error: task.error,
        enqueued: time(task.enqueued),
        due: time(task.due),
        begun: task.begun.map(time),
        ended: task.ended.map(time),
    }
}

fn invalid(why: String) -> AskError {
    AskError::new(AskErrorCode::Invalid, why)
}

impl TaskParts {
    /// Accepts a task of somebody who is no plugin.
    pub(crate) async fn enqueue(&self, wanted: WantedTask) -> Result<(TaskRecord, bool), AskError> {
        let plugin = match wanted.plugin {
            Some(plugin) => plugin.into(),
            None => self.known.who_takes(&wanted.kind)?,
        };
        let options = if wanted.options.is_null() { Value::Object(serde_json::Map::new()) } else { wanted.options };
        let options: TaskWishes =
            serde_json::from_value(options).map_err(|error| invalid(format!("the task's options: {error}")))?;
        let task = OfferedTask::with(&wanted.kind, &wanted.input, options, [0; 16]);
        self.known.check(&plugin, &task, &wanted.input)?;
        let done = self.queue.enqueue(&plugin, vec![task]).await?;
        let lost = || AskError::new(AskErrorCode::Unavailable, "the task was accepted, and cannot be read now");
        let made = done.first().copied().ok_or_else(lost)?;
        Ok((self.queue.task(made.id).await?.ok_or_else(lost)?, made.is_new))
    }
}

impl QueuedTasks for OperatorsTasks {
    fn enqueue(&self, wanted: WantedTask) -> BoxFuture<Result<(TaskView, bool), AskError>> {
        let parts = self.0.clone();
        Box::pin(async move { parts.enqueue(wanted).await.map(|(task, is_new)| (view(task), is_new)) })
    }

    fn list(&self, query: QueuedQuery) -> BoxFuture<Result<(Vec<TaskView>, bool), AskError>> {
        let queue = self.0.queue.clone();
        Box::pin(async move {
            let QueuedQuery { plugin, kind, state, before, most } = query;
            let state = state.map(|word| {
                let state = TaskState::of_word(&word).filter(|state| *state != TaskState::Delayed);
                let told = || format!("`{word}` is no state: `waiting`, `running`, `done`, `dead`, `cancelled`");
                state.ok_or_else(|| invalid(told()))
            });
            let page = queue.list(TaskQuery { plugin, kind, state: state.transpose()?, before, most }).await?;
            Ok((page.tasks.into_iter().map(view).collect(), page.more))
        })
    }

    fn task(&self, id: i64) -> BoxFuture<Result<Option<TaskView>, AskError>> {
        let queue = self.0.queue.clone();
        Box::pin(async move { Ok(queue.task(id).await?.map(view)) })
    }

    fn cancel(&self, id: i64) -> BoxFuture<Result<Option<TaskView>, AskError>> {
        let queue = self.0.queue.clone();
        Box::pin(async move { Ok(queue.cancel(id).await?.map(view)) })
    }

    fn retry(&self, id: i64) -> BoxFuture<Result<Option<TaskView>, AskError>> {
        let queue = self.0.queue.clone();
        Box::pin(async move { Ok(queue.retry(id).await?.map(view)) })
    }

    fn schedules(&self, plugin: &str) -> BoxFuture<Result<Vec<ScheduleView>, AskError>> {
        let (queue, plugin) = (self.0.queue.clone(), plugin.to_owned());
        Box::pin(async move {
            let kept = queue.schedules(&plugin).await?.into_iter();
            let views = kept.map(|kept| ScheduleView {
                name: kept.name,
                times: kept.times,
                next: kept.next.map(time),
                last: kept.last.map(time),
                last_task: kept.last_task.map(|id| id.to_string()),
            });
            Ok(views.collect())
        })
    }

    fn counts(&self) -> BTreeMap<String, QueuedCounts> {
        let counts = self.0.runner.get().map(TaskRunner::counts).unwrap_or_default();
        let told = counts.into_iter().map(|(plugin, counts)| {
            let camlock_services::TaskCounts { waiting, running, dead, done, failed } = counts;
            (plugin, QueuedCounts { waiting, running, dead, done, failed })
        });
        told.collect()
    }
}
