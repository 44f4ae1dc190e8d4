//! The plugin's own tokio runtime: entered on every poll, driven by a thread only once something needs driving.
//!
//! A handler that answers at once never pays for a thread. The first poll that stays pending, leaves a task behind or finds
//! that the plugin started threads, starts the driver.

use crate::intercept::THREADS_WERE_STARTED;
use std::{
    mem::{ManuallyDrop, MaybeUninit},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
    task::{Context, Poll},
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

/// Something of the author's that is polled and dropped inside the runtime.
pub(crate) struct InRuntime<T> {
    /// There until this is dropped.
    inner: ManuallyDrop<T>,
    /// Nothing of the author's is left in it: it may be dropped anywhere.
    spent: bool,
    home: crate::instance::Home,
}

impl<T> InRuntime<T> {
    pub(crate) fn new(inner: T, home: crate::instance::Home) -> Self {
        InRuntime { inner: ManuallyDrop::new(inner), spent: false, home }
    }

    /// Makes one where it is to stay, which spares large things from being moved.
    ///
    /// # Safety
    /// `make` must leave a `T` in the place that it is given.
    pub(crate) unsafe fn boxed(
        mut made: Box<MaybeUninit<Self>>,
        home: crate::instance::Home,
        make: impl FnOnce(&mut MaybeUninit<T>),
    ) -> Box<Self> {
        let at = made.as_mut_ptr();
        // SAFETY: the box is there, and ours; `ManuallyDrop<T>` and `MaybeUninit<T>` lie in memory as `T` does. Then every
        // field is there: the caller promises the first.
        unsafe {
            make(&mut *(&raw mut (*at).inner).cast::<MaybeUninit<T>>());
            (&raw mut (*at).spent).write(false);
            (&raw mut (*at).home).write(home);
            made.assume_init()
        }
    }

    /// Polls what is inside.
    pub(crate) fn poll_inner<R>(self: Pin<&mut Self>, poll: impl FnOnce(Pin<&mut T>) -> Poll<R>) -> Poll<R> {
        let home = self.home;
        // SAFETY: `inner` is never moved: it is pinned with this value and dropped in place.
        let inner = unsafe { self.map_unchecked_mut(|this| &mut *this.inner) };
        home.runtime().within(|| poll(inner), Poll::is_pending)
    }

    /// To be called when nothing of the author's is left inside.
    pub(crate) fn is_spent(self: Pin<&mut Self>) {
        // SAFETY: only a flag is written; nothing is moved.
        unsafe { self.get_unchecked_mut() }.spent = true;
    }

    /// The instance that it belongs to.
    pub(crate) fn home(&self) -> crate::instance::Home {
        self.home
    }

    pub(crate) fn get(&self) -> &T {
        &self.inner
    }

    /// What is inside, before it is polled.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<F: Future> Future for InRuntime<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.poll_inner(|inner| inner.poll(context))
    }
}

impl<T> Drop for InRuntime<T> {
    fn drop(&mut self) {
        if !std::mem::needs_drop::<T>() {
            return;
        }
        let (home, spent) = (self.home, self.spent);
        let inner = &mut self.inner;
        // SAFETY: dropped in place, as pinning asks, once, and not looked at again.
        let mut end = || unsafe { ManuallyDrop::drop(inner) };
        if spent {
            end();
        } else {
            home.runtime().within(end, |()| false);
        }
    }
}
