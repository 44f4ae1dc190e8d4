//! How long a client may take until the head of a request is there: the first one, and each next one on a connection that stays.
//! Who says nothing for so long is let go. What must not live here: how long plugins may take.

use hyper::rt::{Sleep, Timer};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// A limit, and a clock. Every request looks at that, so that it must cost nothing: it stands still unless it is wound.
#[derive(Clone)]
pub(crate) struct Patience {
    limit: Duration,
    clock: Arc<Clock>,
}

struct Clock {
    began: Instant,
    /// Milliseconds since then, when it was last wound.
    elapsed: AtomicU64,
}

impl fmt::Debug for Patience {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Patience").field(&self.limit).finish()
    }
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        let clock = Clock { began: Instant::now(), elapsed: AtomicU64::new(0) };
        Patience { limit, clock: Arc::new(clock) }
    }

    /// Sets the clock.
    pub(crate) fn wind(&self) {
        let elapsed = self.clock.began.elapsed().as_millis();
        self.clock.elapsed.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// How often a connection has to look whether it is over. It is over between once and one and a half times the limit.
    pub(crate) fn round(&self) -> Duration {
        (self.limit / 2).max(Duration::from_millis(10))
    }
}

impl Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until { deadline, patience: self.clone() })
    }

    fn now(&self) -> Instant {
        self.clock.began + Duration::from_millis(self.clock.elapsed.load(Ordering::Relaxed))
    }
}

/// It wakes nobody: a connection looks at it in each of its rounds.
struct Until {
    deadline: Instant,
    patience: Patience,
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.patience.now() >= self.deadline { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Sleep for Until {}
