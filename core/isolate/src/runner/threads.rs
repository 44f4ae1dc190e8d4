//! The threads that the plugin's handlers run on: those of its requests, and beside them those of what the server brings to it, so that
//! what blocks there holds up no request.

use camlock_loader::on_thread_park;
use parking_lot::Mutex;
use std::{io, thread};
use tokio::runtime::{Builder, Handle, Runtime};

pub(super) fn start(name: &str) -> io::Result<Runtime> {
    let threads = thread::available_parallelism().map_or(2, |count| count.get().max(2));
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(name)
        .on_thread_park(on_thread_park)
        .enable_all()
        .build()
}

/// Threads that are not there before something is brought to the plugin: most are never told of anything.
#[derive(Default)]
pub(super) struct DeliveryThreads(Mutex<Option<Runtime>>);

impl DeliveryThreads {
    /// None if no thread can be had: then those of requests are better than nothing.
    pub(super) fn handle(&self) -> Option<Handle> {
        let mut started = self.0.lock();
        if started.is_none() {
            match start("camlock-deliver") {
                Ok(runtime) => *started = Some(runtime),
                Err(error) => tracing::warn!(%error, "what is brought to it shares the threads of its requests"),
            }
        }
        started.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for DeliveryThreads {
    fn drop(&mut self) {
        // It may be one of the threads of requests that drops it, which must not wait for others.
        if let Some(runtime) = self.0.get_mut().take() {
            runtime.shutdown_background();
        }
    }
}
