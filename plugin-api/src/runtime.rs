//! The plugin's own tokio runtime: entered on every poll, driven by a thread only once something needs driving.
//!
//! A handler that answers at once never pays for a thread. The first poll that stays pending, leaves a task behind or finds
//! that the plugin started threads, starts the driver.

use crate::intercept::THREADS_WERE_STARTED;
use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};
use tokio::{runtime, sync::Notify};

/// How long blocking work may hold up the end of the runtime. What runs on after that keeps its thread, which pins.
const BLOCKING_GRACE: Duration = Duration::from_secs(2);

/// A runtime, or none if the manifest says so.
pub(crate) struct PluginRuntime(Option<Tokio>);

struct Tokio {
    handle: runtime::Handle,
    driven: AtomicBool,
    name: String,
    parts: Mutex<RuntimeParts>,
    stop: Arc<Notify>,
}

struct RuntimeParts {
    runtime: Option<runtime::Runtime>,
    driver: Option<std::thread::JoinHandle<()>>,
}

impl PluginRuntime {
    pub(crate) fn new(wanted: bool, name: &str) -> std::io::Result<Self> {
        if !wanted {
            return Ok(PluginRuntime(None));
        }
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name(format!("{name}-blocking"))
            .thread_keep_alive(Duration::from_secs(5))
            .build()?;
        Ok(PluginRuntime(Some(Tokio {
            handle: runtime.handle().clone(),
            driven: AtomicBool::new(false),
            name: format!("{name}-tokio"),
            parts: Mutex::new(RuntimeParts { runtime: Some(runtime), driver: None }),
            stop: Arc::new(Notify::new()),
        })))
    }

    #[cfg(feature = "upgrade")]
    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Runs `body` where tokio's functions find this runtime. `body` says whether it is still pending.
    pub(crate) fn within<R>(&self, body: impl FnOnce() -> R, pending: impl FnOnce(&R) -> bool) -> R {
        let Some(tokio) = &self.0 else { return body() };
        let outcome = {
            let _entered = tokio.handle.enter();
            body()
        };
        if !tokio.driven.load(Ordering::Relaxed)
            && (pending(&outcome)
                || tokio.handle.metrics().num_alive_tasks() > 0
                || THREADS_WERE_STARTED.load(Ordering::Relaxed))
        {
            tokio.drive();
        }
        outcome
    }

    /// Ends all tasks and the driver.
    pub(crate) fn close(&self) {
        let Some(tokio) = &self.0 else { return };
        let (runtime, driver) = {
            let mut parts = tokio.parts();
            (parts.runtime.take(), parts.driver.take())
        };
        tokio.stop.notify_one();
        if let Some(driver) = driver {
            let _ = driver.join();
        }
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(BLOCKING_GRACE);
        }
    }
}

impl Tokio {
    fn parts(&self) -> std::sync::MutexGuard<'_, RuntimeParts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drive(&self) {
        let mut parts = self.parts();
        let Some(runtime) = parts.runtime.take() else { return };
        let stop = self.stop.clone();
        // The driver owns the runtime; it is handed back only if there can be no thread.
        let handed = Arc::new(Mutex::new(Some(runtime)));
        let theirs = handed.clone();
        let spawned = std::thread::Builder::new().name(self.name.clone()).stack_size(1 << 20).spawn(move || {
            let runtime = theirs.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(theirs);
            if let Some(runtime) = runtime {
                runtime.block_on(stop.notified());
                runtime.shutdown_timeout(BLOCKING_GRACE);
            }
        });
        match spawned {
            Ok(driver) => {
                parts.driver = Some(driver);
                self.driven.store(true, Ordering::Relaxed);
            }
            Err(error) => {
                parts.runtime = handed.lock().unwrap_or_else(PoisonError::into_inner).take();
                drop(parts);
                tracing::error!(%error, "the thread that drives timers and tasks could not be started");
            }
        }
    }
}
