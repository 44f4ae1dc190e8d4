//! A generation as the server sees it: what its requests share, and nothing that keeps it alive.

use camlock_core::routes;
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use tokio::sync::watch;

/// What all requests to one generation share, whatever table they came through. It holds no lease: requests, bodies and
/// connections have leases of their own, and may keep this for longer.
#[derive(Debug)]
pub(crate) struct Generation {
    /// The plugin.
    pub(crate) name: Arc<str>,
    /// Its generation.
    pub(crate) number: u64,
    /// No two generations of this process have the same, whatever they are called.
    pub(crate) key: u64,
    /// Turns true when what outlived the drain must end.
    pub(crate) farewell: watch::Receiver<bool>,
    /// Where its instance lies: to know it again.
    address: usize,
    /// How many requests have not been answered yet.
    running: AtomicUsize,
}

impl Generation {
    pub(crate) fn new(serving: &routes::Serving) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Generation {
            name: serving.name.clone(),
            number: serving.generation,
            key: NEXT.fetch_add(1, Ordering::Relaxed),
            farewell: serving.farewell.clone(),
            address: address(serving),
            running: AtomicUsize::new(0),
        }
    }

    /// Whether this is what is served.
    pub(crate) fn is(&self, serving: &routes::Serving) -> bool {
        self.number == serving.generation && self.address == address(serving) && self.name == serving.name
    }

    /// Counts a request that begins, if there is room for one more.
    pub(crate) fn enter(self: &Arc<Self>, limit: usize) -> Option<Running> {
        // Raised first and looked at then: of two that come at once, one sees the other.
        let before = self.running.fetch_add(1, Ordering::Relaxed);
        let running = Running(self.clone());
        (before < limit).then_some(running)
    }
}

fn address(serving: &routes::Serving) -> usize {
    Arc::as_ptr(&serving.instance).cast::<()>() as usize
}

/// A request that is counted.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Arc<Generation>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
