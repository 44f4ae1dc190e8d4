//! Plugins' shares of the time of storage and database: one that has used more than its share waits before it goes on, as long as
//! others are being served.
//!
//! It waits and is not refused: its handlers hear of nothing but time, and a flood is as slow as it has to be. What must not live
//! here: how much that is (`budget.rs`), and what is done in that time.

use super::{WAITING, budget::Budget, too_many};
use camlock_policy::{AskError, AskErrorCode};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// So long an ask is held back at most; one that would have to wait longer is refused.
const MOST_WAIT: Duration = Duration::from_secs(5);

/// A shorter wait is not worth a timer, and is waited for by those that come after.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// Whether anybody but this plugin is being served.
pub type OthersServed = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// All plugins' shares. Cheap to clone.
#[derive(Clone)]
pub struct ServiceShares(Arc<AllShares>);

struct AllShares {
    /// Seconds of service time a second, of each plugin; none where there is no limit.
    each_second: Option<f64>,
    others: OthersServed,
    by_plugin: Mutex<HashMap<Arc<str>, Arc<PluginShare>>>,
}

struct PluginShare {
    plugin: Arc<str>,
    budget: Mutex<Budget>,
    /// Places for those that are held back.
    waiting: Semaphore,
    slowed: AtomicU64,
    waited: AtomicU64,
}

/// What one plugin had to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowedAsks {
    /// So many asks were held back.
    pub count: u64,
    /// All of them together so long.
    pub waited: Duration,
}

/// An ask that goes on at a plugin's expense, until it is dropped.
pub(crate) struct ShareTurn(Option<Spending>);

struct Spending {
    all: Arc<AllShares>,
    share: Arc<PluginShare>,
    reserved: f64,
    /// Since when it is being worked at.
    since: Option<Instant>,
    idle: IdleTime,
}

/// The time in which a connection was lent and had nothing to do: it waited for orders, or until what it had was taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdleTime(Arc<AtomicU64>);

impl fmt::Debug for ServiceShares {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServiceShares").field("each_second", &self.0.each_second).finish_non_exhaustive()
    }
}

impl Default for ServiceShares {
    /// Without a limit.
    fn default() -> Self {
        ServiceShares(Arc::new(AllShares {
            each_second: None,
            others: Arc::new(|_| true),
            by_plugin: Mutex::default(),
        }))
    }
}

impl ServiceShares {
    /// Each plugin may use so many seconds of service time a second while others are served.
    pub fn new(each_second: f64, others: OthersServed) -> Self {
        let each_second = Some(each_second.max(0.001));
        ServiceShares(Arc::new(AllShares { each_second, others, by_plugin: Mutex::default() }))
    }

    /// What was held back, by plugin, of those of which anything was.
    pub fn slowed(&self) -> BTreeMap<String, SlowedAsks> {
        let by_plugin = self.0.by_plugin.lock();
        let slowed = by_plugin.values().map(|share| (share.plugin.to_string(), share.slowed()));
        slowed.filter(|(_, slowed)| slowed.count > 0).collect()
    }

    fn of(&self, plugin: &Arc<str>, each_second: f64, now: Instant) -> Arc<PluginShare> {
        let mut by_plugin = self.0.by_plugin.lock();
        let new = || {
            let budget = Mutex::new(Budget::new(each_second, now));
            let (waiting, slowed, waited) = (Semaphore::new(WAITING), AtomicU64::new(0), AtomicU64::new(0));
            Arc::new(PluginShare { plugin: plugin.clone(), budget, waiting, slowed, waited })
        };
        by_plugin.entry(plugin.clone()).or_insert_with(new).clone()
    }

    /// Waits until the plugin may go on.
    pub(crate) async fn turn(&self, plugin: &Arc<str>) -> Result<ShareTurn, AskError> {
        let Some(each_second) = self.0.each_second else { return Ok(ShareTurn(None)) };
        let now = Instant::now();
        let share = self.of(plugin, each_second, now);
        let (wait, reserved) = share.budget.lock().reserve(now);
        // From here on what was set aside is given back, whatever becomes of the ask.
        let spending = Spending { all: self.0.clone(), share, reserved, since: None, idle: IdleTime::default() };
        if wait >= LEAST_WAIT && (self.0.others)(plugin) {
            if wait > MOST_WAIT {
                let words = "the plugin has used up its share of the storage's and database's time for seconds to come";
                return Err(AskError::new(AskErrorCode::Limit, words));
            }
            let _place = spending.share.waiting.try_acquire().map_err(|_| too_many())?;
            spending.share.count(wait);
            tokio::time::sleep(wait).await;
        }
        Ok(ShareTurn(Some(spending)))
    }
}

impl PluginShare {
    fn slowed(&self) -> SlowedAsks {
        let waited = Duration::from_nanos(self.waited.load(Ordering::Relaxed));
        SlowedAsks { count: self.slowed.load(Ordering::Relaxed), waited }
    }

    fn count(&self, wait: Duration) {
        if self.slowed.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                plugin = &*self.plugin,
                "the plugin has used up its share of the storage's and database's time, and is slowed down while others are served"
            );
        }
        self.waited.fetch_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl ShareTurn {
    /// From now on it is worked at, until it is dropped.
    pub(crate) fn begun(mut self) -> Self {
        if let Some(spending) = &mut self.0 {
            spending.since.get_or_insert_with(Instant::now);
        }
        self
    }

    /// Where it is noted in which time it had nothing to do.
    pub(crate) fn idle(&self) -> IdleTime {
        self.0.as_ref().map(|spending| spending.idle.clone()).unwrap_or_default()
    }
}

impl Drop for Spending {
    fn drop(&mut self) {
        let now = Instant::now();
        match self.since {
            Some(since) if (self.all.others)(&self.share.plugin) => {
                let took = now.saturating_duration_since(since).saturating_sub(self.idle.so_far());
                self.share.budget.lock().settle(self.reserved, took, now);
            }
            // Not begun; or nobody else was there who could have missed it.
            _ => self.share.budget.lock().forgo(self.reserved, now),
        }
    }
}

impl IdleTime {
    fn so_far(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// So much more.
    pub(crate) fn add(&self, idle: Duration) {
        self.0.fetch_add(u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
