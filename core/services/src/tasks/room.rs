//! How many tasks of a plugin may wait, and about how many do: counted now and then, and added up in between. Servers that enqueue at the
//! same time know of one another with the next count. What must not live here: counting.

use camlock_policy::{AskError, AskErrorCode};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// What was counted holds for so long; where there is no room, for so long.
const COUNTED: Duration = Duration::from_secs(5);
const FULL: Duration = Duration::from_millis(500);

/// So many wait at most, unless it is set.
const USUAL: u64 = 1_000_000;

pub(super) struct WaitingRoom {
    most: u64,
    plugins: Mutex<HashMap<Arc<str>, CountedWaiting>>,
}

#[derive(Clone, Copy)]
struct CountedWaiting {
    at: Instant,
    count: u64,
}

impl Default for WaitingRoom {
    fn default() -> Self {
        WaitingRoom::of(USUAL)
    }
}

impl WaitingRoom {
    pub(super) fn of(most: u64) -> Self {
        WaitingRoom { most, plugins: Mutex::default() }
    }

    /// So far it is counted.
    pub(super) fn enough(&self) -> i64 {
        i64::try_from(self.most).unwrap_or(i64::MAX).saturating_add(1)
    }

    /// Whether it is time to count again, with so many more. Whoever is told so counts, and others go on by what is known.
    pub(super) fn is_to_be_counted(&self, plugin: &Arc<str>, offered: usize) -> bool {
        let mut plugins = self.plugins.lock();
        let Some(known) = plugins.get_mut(plugin) else { return true };
        let holds = if known.count.saturating_add(offered as u64) > self.most { FULL } else { COUNTED };
        let is_old = known.at.elapsed() >= holds;
        if is_old {
            known.at = Instant::now();
        }
        is_old
    }

    pub(super) fn counted(&self, plugin: &Arc<str>, count: u64) {
        self.plugins.lock().insert(plugin.clone(), CountedWaiting { at: Instant::now(), count });
    }

    /// So many more are to wait.
    pub(super) fn admit(&self, plugin: &Arc<str>, offered: usize) -> Result<(), AskError> {
        let mut plugins = self.plugins.lock();
        let Some(known) = plugins.get_mut(plugin) else { return Ok(()) };
        let count = known.count.saturating_add(offered as u64);
        if count > self.most {
            let told = format!(
                "{} tasks of `{plugin}` wait already, and {} may (`services.tasks.waiting`): try again later",
                known.count, self.most
            );
            return Err(AskError::new(AskErrorCode::Unavailable, told));
        }
        known.count = count;
        Ok(())
    }
}
