//! Handlers that block the threads that serve, for people to see.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// A handler that blocks its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The plugin.
    pub plugin: Arc<str>,
    /// Its generation.
    pub generation: u64,
    /// The request's method.
    pub method: String,
    /// The request's path; a long one is cut.
    pub route: String,
    /// How long it has blocked the thread, at least.
    pub lasting: Duration,
}

/// Those that block now, as a `Front` last saw them. A handle; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct BlockedList(Arc<BlockedNow>);

#[derive(Debug, Default)]
struct BlockedNow {
    handlers: Mutex<Vec<Blocked>>,
    all_stuck: AtomicBool,
}

impl BlockedList {
    /// All of them.
    pub fn all(&self) -> Vec<Blocked> {
        self.0.handlers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether no thread is left that could serve a plugin.
    pub fn all_stuck(&self) -> bool {
        self.0.all_stuck.load(Ordering::Relaxed)
    }

    pub(crate) fn set_all_stuck(&self, all_stuck: bool) {
        self.0.all_stuck.store(all_stuck, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, blocked: Vec<Blocked>) {
        *self.0.handlers.lock().unwrap_or_else(PoisonError::into_inner) = blocked;
    }
}
