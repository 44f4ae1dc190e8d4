//! What is counted of plugins' executions, and how many are under way. What must not live here: what is shown of it.

use camlock_policy::{ExecutionCounts, ExecutionStatus};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// By plugin. They are kept as long as the server runs. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct ExecutionMeters(Arc<Mutex<HashMap<Arc<str>, ExecutionCounts>>>);

/// One that is counted among those under way.
pub(super) struct RunningExecution {
    meters: ExecutionMeters,
    plugin: Arc<str>,
}

impl ExecutionMeters {
    /// One more, if there are not as many already.
    pub(super) fn begin(&self, plugin: &Arc<str>, most: usize) -> Option<RunningExecution> {
        let mut counts = self.0.lock();
        let counts = counts.entry(plugin.clone()).or_default();
        if counts.running >= most as u64 {
            return None;
        }
        counts.running += 1;
        Some(RunningExecution { meters: self.clone(), plugin: plugin.clone() })
    }

    /// So many could not be logged.
    pub(super) fn unlogged(&self, plugin: &str, count: u64) {
        if let Some(counts) = self.0.lock().get_mut(plugin) {
            counts.unlogged += count;
        }
    }

    pub(super) fn counts(&self) -> BTreeMap<String, ExecutionCounts> {
        self.0.lock().iter().map(|(plugin, counts)| (plugin.to_string(), *counts)).collect()
    }
}

impl RunningExecution {
    /// What came of it.
    pub(super) fn ended(&self, status: ExecutionStatus, took: Duration) {
        if let Some(counts) = self.meters.0.lock().get_mut(&self.plugin) {
            counts.seconds += took.as_secs_f64();
            let place = ExecutionStatus::ALL.iter().position(|known| *known == status);
            if let Some(count) = place.and_then(|place| counts.ended.get_mut(place)) {
                *count += 1;
            }
        }
    }
}

impl Drop for RunningExecution {
    fn drop(&mut self) {
        if let Some(counts) = self.meters.0.lock().get_mut(&self.plugin) {
            counts.running -= 1;
        }
    }
}
