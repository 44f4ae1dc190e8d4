//! Which types of tasks plugins take, on this server, now. What must not live here: how that comes to be known.

use super::{invalid, record::OfferedTask};
use camlock_policy::{AskError, ConfigSchema, Schedule, TaskRate, TaskType};
use parking_lot::RwLock;
use serde_json::Value;
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// So often a task may fail, if its plugin says nothing.
const ATTEMPTS: u32 = 5;

/// An attempt may take so long.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Between the first failure and the second attempt.
const BACKOFF: Duration = Duration::from_secs(1);

/// A result is kept for so long.
const RETENTION: Duration = Duration::from_secs(86_400);

/// What holds for the tasks of one type, unless one of them says something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskTerms {
    /// So many run at once, on all servers together.
    pub concurrency: Option<u32>,
    /// So many begin in a time, on all servers together.
    pub rate: Option<TaskRate>,
    /// After so many failures a task is dead.
    pub attempts: u32,
    /// An attempt may take so long.
    pub time_limit: Duration,
    /// Between the first failure and the second attempt.
    pub backoff: Duration,
    /// Results are kept for so long.
    pub retention: Duration,
}

impl Default for TaskTerms {
    fn default() -> Self {
        TaskTerms {
            concurrency: None,
            rate: None,
            attempts: ATTEMPTS,
            time_limit: TIME_LIMIT,
            backoff: BACKOFF,
            retention: RETENTION,
        }
    }
}

impl TaskTerms {
    /// Whether something holds on all servers together.
    pub(super) fn is_limited(&self) -> bool {
        self.concurrency.is_some() || self.rate.is_some()
    }
}

/// A type of tasks that a plugin takes.
#[derive(Clone)]
pub struct TakenTask {
    /// Its name.
    pub kind: Arc<str>,
    /// What holds for it.
    pub terms: TaskTerms,
    /// What an input must be like.
    pub input: Option<Arc<dyn ConfigSchema>>,
    /// What a result must be like.
    pub output: Option<Arc<dyn ConfigSchema>>,
    /// If these are the runs of a schedule: of which.
    pub schedule: Option<Arc<Schedule>>,
}

impl fmt::Debug for TakenTask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TakenTask")
            .field("kind", &self.kind)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

impl TakenTask {
    /// One as a manifest has it, with what its schemas are read as.
    pub fn new(kind: &TaskType, input: Option<Arc<dyn ConfigSchema>>, output: Option<Arc<dyn ConfigSchema>>) -> Self {
        let terms = TaskTerms {
            concurrency: kind.concurrency,
            rate: kind.rate,
            attempts: kind.attempts.unwrap_or(ATTEMPTS),
            time_limit: kind.time_limit.unwrap_or(TIME_LIMIT),
            backoff: kind.backoff.unwrap_or(BACKOFF),
            retention: kind.retention.unwrap_or(RETENTION),
        };
        TakenTask { kind: kind.name.as_str().into(), terms, input, output, schedule: None }
    }

    /// The runs of a schedule: one after the other.
    pub fn of_schedule(schedule: Schedule) -> Self {
        let terms = TaskTerms { concurrency: Some(1), ..TaskTerms::default() };
        // No author names a type like that.
        let kind = format!("@{}", schedule.name).into();
        TakenTask { kind, terms, input: None, output: None, schedule: Some(Arc::new(schedule)) }
    }
}

/// What of a value does not fit, in one clause.
pub(super) fn misfit(schema: Option<&Arc<dyn ConfigSchema>>, value: &Value) -> Option<String> {
    let violations = schema?.complete(value).err()?;
    let told: Vec<String> = violations.iter().take(5).map(ToString::to_string).collect();
    Some(told.join("; "))
}

type TasksByPlugin = BTreeMap<Arc<str>, Vec<TakenTask>>;

/// What is taken, by plugin. All clones are one.
#[derive(Clone, Default)]
pub struct KnownTasks(Arc<KnownCell>);

#[derive(Default)]
struct KnownCell {
    by_plugin: RwLock<Arc<TasksByPlugin>>,
    changed: Notify,
}

impl fmt::Debug for KnownTasks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.now().keys()).finish()
    }
}

impl KnownTasks {
    /// From now on these are taken.
    pub fn replace(&self, by_plugin: TasksByPlugin) {
        *self.0.by_plugin.write() = Arc::new(by_plugin);
        self.0.changed.notify_one();
    }

    /// What is taken now.
    pub(super) fn now(&self) -> Arc<TasksByPlugin> {
        self.0.by_plugin.read().clone()
    }

    /// Comes when it is not what it was.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// The only plugin that takes tasks of a type, for those who do not say which.
    pub fn who_takes(&self, kind: &str) -> Result<Arc<str>, AskError> {
        let now = self.now();
        let takes = |(plugin, types): (&Arc<str>, &Vec<TakenTask>)| {
            types.iter().any(|taken| &*taken.kind == kind).then(|| plugin.clone())
        };
        let takers: Vec<Arc<str>> = now.iter().filter_map(takes).collect();
        match takers.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(invalid(format!("no plugin that serves takes tasks of the type `{kind}`"))),
            many => {
                let names: Vec<String> = many.iter().map(|name| format!("`{name}`")).collect();
                Err(invalid(format!(
                    "several plugins take tasks of the type `{kind}`: {}; say which",
                    names.join(", ")
                )))
            }
        }
    }

    /// Checks a task against what its plugin takes, before it is accepted.
    pub fn check(&self, plugin: &str, task: &OfferedTask, input: &Value) -> Result<(), AskError> {
        let now = self.now();
        let Some(types) = now.get(plugin) else {
            return Err(invalid(format!("`{plugin}` takes no tasks, or does not serve")));
        };
        let Some(taken) = types.iter().find(|taken| *taken.kind == *task.kind && taken.schedule.is_none()) else {
            let there: Vec<String> = types
                .iter()
                .filter(|taken| taken.schedule.is_none())
                .map(|taken| format!("`{}`", taken.kind))
                .collect();
            let told = format!("`{plugin}` takes no tasks of the type `{}`; it takes {}", task.kind, there.join(", "));
            return Err(invalid(told));
        };
        match misfit(taken.input.as_ref(), input) {
            Some(why) => Err(invalid(format!("the input of `{}` does not fit: {why}", task.kind))),
            None => Ok(()),
        }
    }
}
