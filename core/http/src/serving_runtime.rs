//! A runtime whose threads serve connections. What must not live here: when there is another one.

use crate::{FrontOptions, stuck_connections::ServedConnections, thread_activity::belong_to};
use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};
use tokio::runtime::{Builder, Runtime};

/// A runtime that serves connections.
pub(crate) struct ServingRuntime {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    /// What its threads are marked with.
    pub(crate) group: u64,
    /// All its threads are blocked inside plugins.
    pub(crate) stuck: bool,
    /// Since when that is so.
    pub(crate) stuck_since: Option<Instant>,
    pub(crate) served: ServedConnections,
}

impl ServingRuntime {
    pub(crate) fn start(options: &FrontOptions) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let group = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(options.threads.max(1)).enable_all().thread_name("camlock-serve");
        builder.on_thread_start(move || belong_to(group));
        if let Some(hook) = options.on_thread_park {
            builder.on_thread_park(hook);
        }
        Ok(ServingRuntime {
            runtime: Some(builder.build()?),
            group,
            stuck: false,
            stuck_since: None,
            served: ServedConnections::default(),
        })
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }
}

impl Drop for ServingRuntime {
    fn drop(&mut self) {
        // Threads that are stuck end when they are free again.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
