//! A clock that every connection may look at for next to nothing: it stands still unless somebody advances it. What must not live
//! here: which limits are kept by it.

use hyper::rt::{Sleep, Timer};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// A handle on the clock; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct CoarseClock(Arc<ClockFace>);

#[derive(Debug)]
struct ClockFace {
    began: Instant,
    /// Milliseconds since then, when it was last advanced.
    elapsed: AtomicU64,
}

impl CoarseClock {
    pub(crate) fn new() -> Self {
        CoarseClock(Arc::new(ClockFace { began: Instant::now(), elapsed: AtomicU64::new(0) }))
    }

    /// Sets the clock to the system's time.
    pub(crate) fn advance(&self) {
        let elapsed = self.0.began.elapsed().as_millis();
        self.0.elapsed.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Timer for CoarseClock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(CoarseSleep { deadline, clock: self.clone() })
    }

    fn now(&self) -> Instant {
        self.0.began + Duration::from_millis(self.0.elapsed.load(Ordering::Relaxed))
    }
}

/// Wakes nobody: a connection looks at it in each of its rounds.
struct CoarseSleep {
    deadline: Instant,
    clock: CoarseClock,
}

impl Future for CoarseSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() >= self.deadline { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Sleep for CoarseSleep {}
