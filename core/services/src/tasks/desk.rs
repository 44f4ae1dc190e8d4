//! Enqueueing within a plugin's own transaction: what is accepted of it. What must not live here: the transaction.

use super::{KnownTasks, OfferedTask, TaskQueue, read_task};
use camlock_policy::AskError;

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

    /// What was enqueued is committed.
    pub(crate) fn wake(&self) {
        self.queue.wake();
    }

    /// What time the queue has, in a file.
    pub(crate) fn now(&self) -> i64 {
        self.queue.now()
    }
}
