//! What is counted of requests: how many a plugin got, how they were answered, how long that took. A request costs a few relaxed
//! additions. What must not live here: how it is printed.

use http::StatusCode;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Classes of statuses, `1xx` to `5xx`.
pub const CLASSES: usize = 5;

/// The upper ends of the histogram's buckets, in microseconds. The last bucket has none.
pub const BOUNDS: [u64; 14] = camlock_policy::LATENCY_BOUNDS;

/// What is counted of one plugin, over all its generations.
#[derive(Debug, Default)]
pub struct Meter {
    classes: [Class; CLASSES],
    /// Requests whose client left before there was an answer.
    left: AtomicU64,
    panics: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Class {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// What was counted of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// In each bucket, not counting those before it.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All together.
    pub seconds: f64,
}

impl Meter {
    /// Counts an answer, and how long it took to begin.
    pub fn answered(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1).min(CLASSES - 1);
        let class = &self.classes[class];
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound * 1_000 < nanoseconds);
        class.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        class.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Counts a request that nobody waits for any more.
    pub fn left(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what was under way in a process that died, and was lost with it: the one before this one, or the plugin's own.
    pub fn lost(&self, requests: u64) {
        self.lost.fetch_add(requests, Ordering::Relaxed);
    }

    /// How many were lost so.
    pub fn all_lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts panics.
    pub fn panicked(&self, times: u64) {
        self.panics.fetch_add(times, Ordering::Relaxed);
    }

    pub fn class(&self, class: usize) -> Counted {
        let class = &self.classes[class];
        Counted {
            buckets: std::array::from_fn(|bucket| class.buckets[bucket].load(Ordering::Relaxed)),
            seconds: class.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9,
        }
    }

    /// All requests, whatever became of them.
    pub fn requests(&self) -> u64 {
        let answered =
            self.classes.iter().flat_map(|class| &class.buckets).map(|bucket| bucket.load(Ordering::Relaxed));
        answered.sum::<u64>() + self.all_left()
    }

    pub fn all_left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

/// What is counted of all plugins. A handle; cheap to clone.
#[derive(Clone, Default)]
pub struct Meters {
    each: Arc<Mutex<BTreeMap<Arc<str>, Arc<Meter>>>>,
    /// Brings up to date what is only counted when somebody asks.
    look: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Meters {
    /// The same, with something that is done before they are read.
    pub(crate) fn looking(&self, look: impl Fn() + Send + Sync + 'static) -> Self {
        Meters { look: Some(Arc::new(look)), ..self.clone() }
    }

    /// That of a plugin.
    pub fn of(&self, plugin: &str) -> Arc<Meter> {
        let mut meters = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        match meters.get(plugin) {
            Some(meter) => meter.clone(),
            None => meters.entry(plugin.into()).or_default().clone(),
        }
    }

    /// Forgets those that nobody counts with any more: their plugins are gone.
    pub fn forget_gone(&self) {
        self.each.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, meter| Arc::strong_count(meter) > 1);
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<Meter>)> {
        if let Some(look) = &self.look {
            look();
        }
        let meters = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        meters.iter().map(|(plugin, meter)| (plugin.clone(), meter.clone())).collect()
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Meters").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_class_and_time() {
        let meters = Meters::default();
        let meter = meters.of("hello");
        for (status, microseconds) in [(200, 500), (204, 501), (200, 60_000_000), (503, 0), (101, 1), (999, 1)] {
            meter.answered(StatusCode::from_u16(status).unwrap(), Duration::from_micros(microseconds));
        }
        let ok = meters.of("hello").class(1);
        let mut buckets = [0; BOUNDS.len() + 1];
        (buckets[0], buckets[1], buckets[14]) = (1, 1, 1);
        assert_eq!(ok.buckets, buckets);
        assert!((ok.seconds - 60.001_001).abs() < 1e-9);
        let sums = std::array::from_fn(|class| meter.class(class).buckets.iter().sum::<u64>());
        assert_eq!(sums, [1, 3, 0, 0, 2]);
        meter.left();
        assert_eq!(meter.requests(), 7);
        meters.forget_gone();
        assert_eq!(meters.all().len(), 1);
        drop(meter);
        meters.forget_gone();
        assert_eq!(meters.all().len(), 0);
    }
}
