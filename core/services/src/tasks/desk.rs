//! Enqueueing within a plugin's own transaction: what is accepted of it. What must not live here: the transaction.

use super::{KnownTasks, OfferedTask, TaskQueue, read_task};
use camlock_policy::AskError;
use std::sync::Arc;

/// Where transactions of plugins enqueue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TaskDesk {
    queue: TaskQueue,
    known: KnownTasks,
}

impl TaskDesk {
    /// For that queue.
    pub fn new(queue: TaskQueue, known: KnownTasks) -> Self {
        TaskDesk { queue, known }
    }

    /// Reads a task, and checks it as one that is enqueued by itself.
    pub(crate) fn read(&self, plugin: &str, written: &[u8]) -> Result<OfferedTask, AskError> {
        let (task, input) = read_task(written, [0; 16])?;
        self.known.check(plugin, &task, &input)?;
        Ok(task)
    }

    /// Whether there is room for one more.
    pub(crate) async fn admit(&self, plugin: &Arc<str>) -> Result<(), AskError> {
        self.queue.admit(plugin, 1).await
    }

    /// The same, by a connection to the file.
    pub(crate) fn admit_in_file(&self, connection: &rusqlite::Connection, plugin: &Arc<str>) -> Result<(), AskError> {
        self.queue.admit_in_file(connection, plugin)
    }

    /// What was enqueued is committed.
    pub(crate) fn wake(&self) {
        self.queue.wake();
    }

    /// What time the queue has, in a file.
    pub(crate) fn now(&self) -> i64 {
        self.queue.now()
    }
}
