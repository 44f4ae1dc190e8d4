//! The port through which operators see and change the queue of tasks. What must not live here: the queue.

use crate::{AskError, BoxFuture};
use camlock_api::{ScheduleView, TaskView};
use serde_json::Value;
use std::collections::BTreeMap;

/// A task that an operator, or a program, wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WantedTask {
    /// Whose; without, that of the only plugin that takes such tasks.
    pub plugin: Option<String>,
    /// Its type.
    pub kind: String,
    /// What it is about.
    pub input: Value,
    /// How it is wanted, as the SDK writes it: `priority`, `delay`, `unique` and so on, times in milliseconds.
    pub options: Value,
}

/// Which tasks are to be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueuedQuery {
    /// Only of this plugin.
    pub plugin: Option<String>,
    /// Only of this type.
    pub kind: Option<String>,
    /// Only in this state, in a word.
    pub state: Option<String>,
    /// Those enqueued before this one.
    pub before: Option<i64>,
    /// So many at most.
    pub most: usize,
}

/// How many tasks of a plugin there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueuedCounts {
    /// They wait.
    pub waiting: u64,
    /// They run.
    pub running: u64,
    /// They failed as often as they may.
    pub dead: u64,
    /// This server has done so many.
    pub done: u64,
    /// So many attempts failed on it.
    pub failed: u64,
}

/// The queue of tasks, for operators.
pub trait QueuedTasks: Send + Sync {
    /// Accepts a task: it, and whether it was not there before.
    fn enqueue(&self, wanted: WantedTask) -> BoxFuture<Result<(TaskView, bool), AskError>>;
    /// Tasks, the newest first, and whether there are more.
    fn list(&self, query: QueuedQuery) -> BoxFuture<Result<(Vec<TaskView>, bool), AskError>>;
    /// A task.
    fn task(&self, id: i64) -> BoxFuture<Result<Option<TaskView>, AskError>>;
    /// Gives a task up.
    fn cancel(&self, id: i64) -> BoxFuture<Result<Option<TaskView>, AskError>>;
    /// Has one tried again that is dead or cancelled.
    fn retry(&self, id: i64) -> BoxFuture<Result<Option<TaskView>, AskError>>;
    /// The schedules of a plugin, by name.
    fn schedules(&self, plugin: &str) -> BoxFuture<Result<Vec<ScheduleView>, AskError>>;
    /// What is counted, by plugin.
    fn counts(&self) -> BTreeMap<String, QueuedCounts>;
}
