//! How often a forge may be asked: by its own words. Pure.

use std::time::{Duration, SystemTime};

/// What a forge last said of how often it may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallBudget {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// When there are as many again.
    pub(super) reset: SystemTime,
}

impl CallBudget {
    /// How long to wait until it may be asked, if it may not now. So many are kept back for others who use the token; of a small
    /// limit a fifth.
    pub(super) fn wait(&self, kept_back: u64, now: SystemTime) -> Option<Duration> {
        let until = self.reset.duration_since(now).ok().filter(|wait| !wait.is_zero())?;
        let kept_back = kept_back.min(self.limit / 5);
        (self.remaining <= kept_back).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_kept_back_until_there_are_more() {
        let now = SystemTime::now();
        let minute = Duration::from_secs(60);
        for (limit, remaining, kept_back, wait) in [
            (5_000, 5_000, 1_000, None),
            (5_000, 1_001, 1_000, None),
            (5_000, 1_000, 1_000, Some(minute)),
            (5_000, 0, 0, Some(minute)),
            (5_000, 1, 0, None),
            // Who says nothing of who they are has sixty.
            (60, 13, 1_000, None),
            (60, 12, 1_000, Some(minute)),
            (0, 0, 1_000, Some(minute)),
        ] {
            let budget = CallBudget { limit, remaining, reset: now + minute };
            assert_eq!(budget.wait(kept_back, now), wait, "{budget:?} {kept_back}");
            assert_eq!(budget.wait(kept_back, now + minute), None, "it is over");
        }
    }
}
