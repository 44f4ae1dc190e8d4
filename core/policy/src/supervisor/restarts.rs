//! How often a plugin may be restarted: so many times an hour, each time after a longer pause. Pure.

use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

/// The restarts of the last hour.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restarts {
    times: VecDeque<Instant>,
}

impl Restarts {
    /// When the next restart may be: at once for the first, later for each further one; `None` if there were too many.
    pub(crate) fn next(&mut self, now: Instant, most: usize) -> Option<Instant> {
        while self.times.front().is_some_and(|time| now.duration_since(*time) >= HOUR) {
            self.times.pop_front();
        }
        if self.times.len() >= most {
            return None;
        }
        let pause = self.times.back().map_or(Duration::ZERO, |_| backoff(self.times.len() as u32));
        Some(self.times.back().map_or(now, |last| (*last + pause).max(now)))
    }

    /// When the first of them is an hour ago, and there may be another one.
    pub(crate) fn room_at(&self, now: Instant) -> Instant {
        self.times.front().map_or(now, |first| *first + HOUR)
    }

    /// How many there were.
    pub(crate) fn count_now(&self) -> usize {
        self.times.len()
    }

    /// Counts a restart that begins at this time.
    pub(crate) fn count(&mut self, now: Instant) {
        self.times.push_back(now);
    }
}

/// The pause before a further attempt: 2 s, 4 s, 8 s, up to 256 s.
pub(crate) fn backoff(attempts: u32) -> Duration {
    Duration::from_secs(1 << attempts.min(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_in_an_hour_each_later_than_the_last() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut restarts = Restarts::default();
        assert_eq!(restarts.next(at(0), 3), Some(at(0)));
        restarts.count(at(0));
        assert_eq!(restarts.next(at(1), 3), Some(at(2)));
        restarts.count(at(2));
        assert_eq!(restarts.next(at(100), 3), Some(at(100)));
        restarts.count(at(100));
        assert_eq!(restarts.next(at(200), 3), None);
        assert_eq!(restarts.room_at(at(200)), at(3600));
        assert_eq!(restarts.next(at(3600), 3), Some(at(3600)));
    }

    #[test]
    fn pauses_grow_and_end() {
        assert_eq!([1, 2, 8, 60].map(|attempts| backoff(attempts).as_secs()), [2, 4, 256, 256]);
    }
}
