//! How much is reported: what is wrong in every request is reported a few times a minute.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

const MINUTE: Duration = Duration::from_secs(60);
/// So many reports a minute that are alike, and so many sorts of them.
const ALIKE: u32 = 10;
const SORTS: usize = 100;

/// What was reported within this minute.
pub(super) struct Budget {
    since: Instant,
    reported: HashMap<String, u32>,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Budget { since: now, reported: HashMap::new() }
    }

    /// Whether one more like this may be reported.
    pub(super) fn allows(&mut self, likeness: &str, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= MINUTE {
            *self = Budget::new(now);
        }
        if !self.reported.contains_key(likeness) && self.reported.len() >= SORTS {
            return false;
        }
        let times = self.reported.entry(likeness.to_owned()).or_default();
        *times += 1;
        *times <= ALIKE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_trickle() {
        let began = Instant::now();
        let mut budget = Budget::new(began);
        let allowed = (0..100).filter(|_| budget.allows("boom", began)).count();
        assert_eq!(allowed, 10);
        assert!(budget.allows("other", began));
        assert_eq!((0..200).filter(|number| budget.allows(&number.to_string(), began)).count(), 98);
        assert!(budget.allows("boom", began + MINUTE));
    }
}
