//! How much service time a plugin may use in a second. Pure: whoever asks says what time it is.
//!
//! An ask is begun at the price that the last ones had, and what it really took is known at its end. So many that come at once
//! are spaced out from the first on, and the average is kept whatever each of them takes.

use std::time::{Duration, Instant};

/// So long nothing needs to be asked for, to have all that can be saved up. Little: what is saved up is used at full speed.
const SAVED: f64 = 0.1;

/// What one ask took is owed for so long at most: those that come after a long one do not wait for minutes.
const OWED: f64 = 2.0;

#[derive(Debug)]
pub(super) struct Budget {
    each_second: f64,
    left: f64,
    at: Instant,
    /// What an ask takes, on the average of the last ones.
    usual: f64,
}

impl Budget {
    pub(super) fn new(each_second: f64, now: Instant) -> Self {
        Budget { each_second, left: each_second * SAVED, at: now, usual: 0.0 }
    }

    /// Sets aside what an ask usually takes: how long it has to wait, and how much that was.
    pub(super) fn reserve(&mut self, now: Instant) -> (Duration, f64) {
        self.pass(now);
        let wait = if self.left < 0.0 { -self.left / self.each_second } else { 0.0 };
        self.left -= self.usual;
        (Duration::from_secs_f64(wait.min(3600.0)), self.usual)
    }

    /// Gives back what was set aside for an ask that was not begun, or is not counted.
    pub(super) fn forgo(&mut self, reserved: f64, now: Instant) {
        self.pass(now);
        self.left += reserved;
    }

    /// Puts what an ask took in the place of what was set aside for it.
    pub(super) fn settle(&mut self, reserved: f64, took: Duration, now: Instant) {
        let took = took.as_secs_f64().min(self.each_second * OWED);
        self.usual += (took - self.usual) / 8.0;
        self.pass(now);
        self.left += reserved - took;
    }

    fn pass(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.each_second).min(self.each_second * SAVED);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn on_the_average_no_more_is_used_than_may_be() {
        let begin = Instant::now();
        let mut now = begin;
        let mut budget = Budget::new(0.25, begin);
        let mut waited = Duration::ZERO;
        for _ in 0..1000 {
            let (wait, reserved) = budget.reserve(now);
            waited += wait;
            now += wait + MILLISECOND;
            budget.settle(reserved, MILLISECOND, now);
        }
        // A second's work in four, less what was saved up.
        let took = (now - begin).as_secs_f64();
        assert!((3.8..4.0).contains(&took), "{took}");
        assert_eq!(waited, now - begin - 1000 * MILLISECOND);
    }

    #[test]
    fn those_that_come_at_once_are_spaced_out() {
        let begin = Instant::now();
        let mut budget = Budget::new(0.5, begin);
        let (_, first) = budget.reserve(begin);
        budget.settle(first, 40 * MILLISECOND, begin);
        let waits: Vec<_> = (0..20).map(|_| budget.reserve(begin).0).collect();
        assert_eq!(waits[0], Duration::ZERO, "some is left");
        for pair in waits[4..].windows(2) {
            // Five milliseconds each, of half a second a second.
            assert!((pair[1] - pair[0]).abs_diff(10 * MILLISECOND) < MILLISECOND / 10, "{waits:?}");
        }
    }

    #[test]
    fn what_one_took_is_owed_for_a_while_at_most() {
        let begin = Instant::now();
        let mut budget = Budget::new(0.25, begin);
        let (_, reserved) = budget.reserve(begin);
        budget.settle(reserved, Duration::from_secs(600), begin);
        let (wait, _) = budget.reserve(begin);
        assert!(wait <= Duration::from_secs(2) && wait > Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn what_was_not_begun_costs_nothing() {
        let begin = Instant::now();
        let mut budget = Budget::new(0.5, begin);
        let (_, first) = budget.reserve(begin);
        budget.settle(first, Duration::from_millis(800), begin);
        let (before, reserved) = budget.reserve(begin);
        assert!(before > Duration::ZERO && reserved > 0.0);
        budget.forgo(reserved, begin);
        assert!(budget.reserve(begin).0.abs_diff(before) < MILLISECOND / 10);
    }
}
