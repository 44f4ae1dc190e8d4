//! Events and tasks of the plugin whose tests run: the server's own queue and the server's own place for events, which brings nothing
//! by itself. A test says when something happens. What must not live here: what a server does otherwise.

use axum::{Router, body::Body};
use camlock_plugin::{Error, Event, Result, TraceId, Value};
use camlock_policy::{
    Body as AskBody, BoxFuture, Deliver, Delivered, Delivery, Fault, FaultKind, Granted, Subscription, Undelivered,
    manifest::Manifest, opens,
};
use camlock_services::{
    KnownTasks, PluginData, RunnerSettings, SqliteFile, TakenTask, TaskDesk, TaskQuery, TaskQueue, TaskRecord,
    TaskRunner, TaskState, TasksService,
    events::{EventLimits, EventService, PluginEvents, emitted_in_file},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{runtime::Handle, task::JoinSet};
use tower::ServiceExt;

/// More tasks than this no test looks at.
const MOST_TASKS: usize = 10_000;

/// Tasks that wait are run for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A task that the plugin enqueued, and what has become of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QueuedTask {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// What it is about.
    pub input: Value,
    /// `waiting`, `running`, `done`, `dead`, or `cancelled`.
    pub state: String,
    /// Those with a higher one come first.
    pub priority: i32,
    /// When it may begin, or may be tried again.
    pub due: SystemTime,
    /// The key of which there is only one.
    pub unique: Option<String>,
    /// So many attempts failed.
    pub failures: u32,
    /// What came of it; null as long as that is nothing.
    pub result: Value,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl From<TaskRecord> for QueuedTask {
    fn from(task: TaskRecord) -> Self {
        let read = |text: Option<&str>| text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        QueuedTask {
            id: task.id.to_string(),
            input: read(Some(&task.input)),
            state: task.state.shown().to_owned(),
            priority: task.priority,
            due: UNIX_EPOCH + Duration::from_millis(u64::try_from(task.due).unwrap_or(0)),
            unique: task.unique,
            failures: u32::try_from(task.failures).unwrap_or(0),
            result: read(task.result.as_deref()),
            error: task.error,
            kind: task.kind,
        }
    }
}

/// Where a server would bring things to.
struct PluginInTest {
    name: Arc<str>,
    /// There once it was created.
    router: OnceLock<Router>,
}

impl Deliver for PluginInTest {
    fn deliver(&self, plugin: &str, delivery: Delivery) -> BoxFuture<Result<Delivered, Undelivered>> {
        let router = self.router.get().filter(|_| plugin == &*self.name).cloned();
        Box::pin(async move {
            let router = router.ok_or_else(|| Undelivered::NotServing("it does not serve yet".to_owned()))?;
            // By itself, so that a panic in it is not this test's; dropping the set drops it.
            let mut handling = JoinSet::new();
            handling.spawn(router.oneshot(delivery.request.map(Body::new)));
            match handling.join_next().await {
                Some(Ok(Ok(response))) => Ok(Delivered { generation: 1, response: response.map(AskBody::stream) }),
                Some(Ok(Err(never))) => match never {},
                Some(Err(_)) | None => {
                    Err(Undelivered::Failed { generation: 1, fault: Fault::new(FaultKind::Panic, "it panicked") })
                }
            }
        })
    }
}

/// The plugin's events and tasks.
pub(crate) struct QueuedWork {
    file: SqliteFile,
    events: PluginEvents,
    queue: TaskQueue,
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// What may be enqueued.
    known: KnownTasks,
    /// The same while a test has tasks run, else nothing.
    run_now: KnownTasks,
    runner: Arc<OnceLock<TaskRunner>>,
    plugin: Arc<PluginInTest>,
    subscriptions: Vec<Subscription>,
    taken: Vec<TakenTask>,
}

impl QueuedWork {
    pub(crate) fn new(
        file: SqliteFile,
        manifest: &Manifest,
        granted: &Granted,
        clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    ) -> Self {
        let data = PluginData::Sqlite(file.clone());
        let plugin = Arc::new(PluginInTest { name: manifest.name.as_str().into(), router: OnceLock::new() });
        let limits = EventLimits { keep_all: true, ..EventLimits::default() };
        let events = PluginEvents::kept_in(data.clone(), "test", plugin.clone(), limits, Handle::current());
        let types = manifest.camlock.task_types.iter().filter(|_| granted.has("tasks"));
        // Schemas of their inputs are the server's to judge.
        let taken: Vec<_> = types.map(|kind| TakenTask::new(kind, None, None)).collect();
        let known = KnownTasks::default();
        known.replace(BTreeMap::from([(plugin.name.clone(), taken.clone())]));
        QueuedWork {
            file,
            events,
            queue: TaskQueue::new(data).with_clock(clock.clone()),
            clock,
            known,
            run_now: KnownTasks::default(),
            runner: Arc::default(),
            plugin,
            subscriptions: manifest.camlock.subscriptions.clone(),
            taken,
        }
    }

    pub(crate) fn event_service(&self) -> EventService {
        EventService::new(self.events.clone())
    }

    pub(crate) fn tasks_service(&self) -> TasksService {
        TasksService::new(self.queue.clone(), self.known.clone(), self.runner.clone())
    }

    pub(crate) fn desk(&self) -> TaskDesk {
        TaskDesk::new(self.queue.clone(), self.known.clone())
    }

    /// From now on there is somebody to bring tasks to.
    pub(crate) fn serve(&self, deliveries: Router) {
        let _ = self.plugin.router.set(deliveries);
    }

    /// The event as it comes by the manifest's subscription that names its topic; none does if that was not granted.
    pub(crate) fn subscribed(&self, mut event: Event, granted: &Granted) -> Result<Event> {
        let mut named = self.subscriptions.iter().filter(|subscription| subscription.pattern.matches(&event.topic));
        let found = named.find(|subscription| granted.any(|permission| opens(permission, &subscription.pattern)));
        let Some(found) = found else {
            return Err(Error::msg(format!(
                "no subscription of the manifest brings `{}` to this plugin: name it under `subscriptions`, and ask for the \
                 permission `events:subscribe:…`",
                event.topic
            )));
        };
        event.subscription = found.name.as_str().into();
        Ok(event)
    }

    pub(crate) async fn emitted(&self) -> Result<Vec<Event>> {
        let emitted = emitted_in_file(&self.file).await?;
        let event = emitted.into_iter().map(|said| {
            let mut event = Event::new(&said.topic, said.payload);
            event.at = UNIX_EPOCH + Duration::from_micros(said.at);
            (event.trace_id, event.depth) = (TraceId(said.trace_id), said.depth);
            event
        });
        Ok(event.collect())
    }

    async fn records(&self) -> Result<Vec<TaskRecord>> {
        if !self.file.path().exists() {
            return Ok(Vec::new());
        }
        let page = self.queue.list(TaskQuery { most: MOST_TASKS, ..TaskQuery::default() }).await?;
        Ok(page.tasks)
    }

    /// All of them, in the order in which they were enqueued.
    pub(crate) async fn enqueued(&self) -> Result<Vec<QueuedTask>> {
        Ok(self.records().await?.into_iter().rev().map(QueuedTask::from).collect())
    }

    /// Whether one waits that may begin now, or one runs.
    async fn has_work(&self) -> Result<bool> {
        let now = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let works = |task: &TaskRecord| match task.state {
            TaskState::Waiting | TaskState::Running => true,
            TaskState::Delayed => task.due <= now,
            _ => false,
        };
        Ok(self.records().await?.iter().any(works))
    }

    /// Runs what waits, and what that enqueues, until nothing waits any more that is due.
    pub(crate) async fn run_tasks(&self) -> Result<()> {
        if !self.has_work().await? {
            return Ok(());
        }
        self.runner.get_or_init(|| {
            let settings = RunnerSettings { poll: Duration::from_millis(50), ..RunnerSettings::default() };
            let own = ("test".to_owned(), settings);
            TaskRunner::start(self.queue.clone(), self.run_now.clone(), self.plugin.clone(), own, &Handle::current())
        });
        self.run_now.replace(BTreeMap::from([(self.plugin.name.clone(), self.taken.clone())]));
        let ran = tokio::time::timeout(PATIENCE, async {
            while self.has_work().await? {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok::<(), Error>(())
        });
        let ran = ran.await;
        self.run_now.replace(BTreeMap::new());
        ran.unwrap_or_else(|_| Err(Error::msg(format!("tasks still wait after {} s", PATIENCE.as_secs()))))
    }
}
