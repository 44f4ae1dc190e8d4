//! A generation as the server sees it: what its requests share, and nothing that keeps it alive.

use crate::{blocked::Blocked, dedicated_threads::DedicatedThreads, meters::Meter, thread_activity::Route};
use camlock_policy::routes;
use http::StatusCode;
use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// What the host brings to one generation runs on so many threads at most.
const MOST_DELIVERY_THREADS: usize = 8;

/// What all requests to one generation share, whatever table they came through. It holds no lease: requests, bodies and
/// connections have leases of their own, and may keep this for longer.
#[derive(Debug)]
pub(crate) struct ServedGeneration {
    /// The plugin.
    pub(crate) name: Arc<str>,
    /// Its generation.
    pub(crate) number: u64,
    /// No two generations of this process have the same, whatever they are called.
    pub(crate) key: u64,
    /// Turns true when what outlived the drain must end.
    pub(crate) farewell: watch::Receiver<bool>,
    /// Its own threads, if it has lost the right to block those that serve.
    dedicated: OnceLock<DedicatedThreads>,
    /// The threads of what the host brings to it, once it brought something.
    deliveries: OnceLock<DedicatedThreads>,
    /// Where its instance lies: to know it again.
    address: usize,
    /// How many requests have not been answered yet.
    running: AtomicUsize,
    /// Whether requests that come through its mount tell it so, and what it says of paths is put under the mount.
    pub(crate) rewrites: bool,
    /// What is counted of its plugin.
    pub(crate) meter: Arc<Meter>,
    /// So many of its panics are counted there.
    panics: AtomicU64,
}

impl ServedGeneration {
    pub(crate) fn new(serving: &routes::Serving, meter: Arc<Meter>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        ServedGeneration {
            name: serving.name.clone(),
            number: serving.generation,
            key: NEXT.fetch_add(1, Ordering::Relaxed),
            farewell: serving.farewell.clone(),
            dedicated: OnceLock::new(),
            deliveries: OnceLock::new(),
            address: address(serving),
            rewrites: serving.instance.description().manifest.camlock.rewrite.unwrap_or(true),
            running: AtomicUsize::new(0),
            meter,
            panics: AtomicU64::new(0),
        }
    }

    /// Whether this is what is served.
    pub(crate) fn is(&self, serving: &routes::Serving) -> bool {
        self.number == serving.generation && self.address == address(serving) && self.name == serving.name
    }

    /// Where its requests are to run, if not here.
    pub(crate) fn dedicated_threads(&self) -> Option<&DedicatedThreads> {
        self.dedicated.get()
    }

    /// Where what the host brings to it runs. It is not worth a thread before there is something.
    pub(crate) fn delivery_threads(&self, on_thread_park: Option<fn()>) -> io::Result<&DedicatedThreads> {
        if let Some(threads) = self.deliveries.get() {
            return Ok(threads);
        }
        let count = thread::available_parallelism().map_or(2, usize::from).min(MOST_DELIVERY_THREADS);
        let started = DedicatedThreads::start(format!("deliver-{}", self.name), count, on_thread_park)?;
        // Of two that come at once, one is let go.
        Ok(self.deliveries.get_or_init(|| started))
    }

    /// Gives it threads of its own, for good: a new generation begins anew.
    pub(crate) fn move_off(&self, route: &Route, threads: usize, on_thread_park: Option<fn()>) {
        if self.dedicated.get().is_some() {
            return;
        }
        let (plugin, generation) = (&*self.name, self.number);
        match DedicatedThreads::start(format!("away-{plugin}"), threads, on_thread_park) {
            Ok(dedicated) => {
                let _ = self.dedicated.set(dedicated);
                tracing::warn!(plugin, generation, %route, "it blocks serving threads: from now on it has {threads} of its own");
            }
            Err(error) => {
                tracing::error!(plugin, generation, %error, "it blocks serving threads, and can have none of its own")
            }
        }
    }

    /// One of its handlers, as people are told of it.
    pub(crate) fn blocked(&self, route: Route, lasting: Duration) -> Blocked {
        Blocked { plugin: self.name.clone(), generation: self.number, method: route.method, route: route.path, lasting }
    }

    /// Counts a request that begins, if there is room for one more.
    pub(crate) fn enter(self: &Arc<Self>, limit: usize) -> Option<InFlight> {
        // Raised first and looked at then: of two that come at once, one sees the other.
        let before = self.running.fetch_add(1, Ordering::Relaxed);
        let mut in_flight = InFlight(self.clone(), Some(Instant::now()));
        if before >= limit {
            in_flight.answered(StatusCode::SERVICE_UNAVAILABLE);
            return None;
        }
        Some(in_flight)
    }

    /// So many panics were caught in it until now.
    pub(crate) fn see_panics(&self, now: u64) {
        let before = self.panics.fetch_max(now, Ordering::Relaxed);
        self.meter.panicked(now.saturating_sub(before));
    }
}

/// Where its instance lies.
pub(crate) fn address(serving: &routes::Serving) -> usize {
    Arc::as_ptr(&serving.instance).cast::<()>() as usize
}

/// A request that is counted; with when it began, until it is answered.
#[derive(Debug)]
pub(crate) struct InFlight(pub(crate) Arc<ServedGeneration>, Option<Instant>);

impl InFlight {
    /// There is an answer.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        if let Some(begun) = self.1.take() {
            self.0.meter.answered(status, begun.elapsed());
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
        if self.1.is_some() {
            self.0.meter.left();
        }
    }
}
