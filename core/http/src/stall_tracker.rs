//! Polls that last: how long each thread has been inside the same one, and when to speak of it. Pure: it is told what was seen,
//! and when.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// When something is said of a poll that lasts: at first, again, and from then on so often.
const AGAIN: Duration = Duration::from_secs(10);
const EVER: Duration = Duration::from_secs(60);

/// Remembers what was seen.
#[derive(Debug, Default)]
pub(crate) struct StallTracker {
    threads: HashMap<u64, Stall>,
}

#[derive(Debug)]
struct Stall {
    serial: u64,
    /// When it was first seen: it began up to one look earlier.
    since: Instant,
    /// When to speak of it next, from its beginning.
    report: Duration,
    looked: bool,
}

/// What is known of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StallVerdict {
    /// How long it has lasted at least.
    pub(crate) lasting: Duration,
    /// It is to be spoken of now.
    pub(crate) report: bool,
}

impl StallTracker {
    /// The beginning of a look at all threads.
    pub(crate) fn begin(&mut self) {
        for stall in self.threads.values_mut() {
            stall.looked = false;
        }
    }

    /// A thread is inside a poll. What lasts for `noticed` is spoken of.
    pub(crate) fn observe(&mut self, now: Instant, thread: u64, serial: u64, threshold: Duration) -> StallVerdict {
        let stall = self.threads.entry(thread).or_insert(Stall { serial, since: now, report: threshold, looked: true });
        if stall.serial != serial {
            *stall = Stall { serial, since: now, report: threshold, looked: true };
        }
        stall.looked = true;
        let lasted = now.saturating_duration_since(stall.since);
        let report = lasted >= stall.report;
        while lasted >= stall.report {
            stall.report = if stall.report < AGAIN {
                AGAIN
            } else if stall.report < EVER {
                EVER
            } else {
                stall.report + EVER
            };
        }
        StallVerdict { lasting: lasted, report }
    }

    /// The end of a look: threads that were not seen are not inside any more.
    pub(crate) fn end(&mut self) {
        self.threads.retain(|_, stall| stall.looked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_that_lasts_is_spoken_of_now_and_then() {
        let mut monitor = StallTracker::default();
        let begun = Instant::now();
        let threshold = Duration::from_secs(1);
        // Milliseconds, the poll that is seen, how long it has lasted, whether it is spoken of.
        for (at, serial, stall, report) in [
            (0, Some(1), 0, false),
            (900, Some(1), 900, false),
            (1_000, Some(3), 0, false),
            (1_900, Some(3), 900, false),
            (2_000, Some(3), 1_000, true),
            (2_100, Some(3), 1_100, false),
            (10_900, Some(3), 9_900, false),
            (11_100, Some(3), 10_100, true),
            (60_900, Some(3), 59_900, false),
            (61_000, Some(3), 60_000, true),
            (120_000, Some(3), 119_000, false),
            (250_000, Some(3), 249_000, true),
            (250_100, Some(3), 249_100, false),
            (250_200, None, 0, false),
            (250_300, Some(3), 0, false),
        ] {
            let now = begun + Duration::from_millis(at);
            monitor.begin();
            if let Some(serial) = serial {
                let verdict = monitor.observe(now, 7, serial, threshold);
                assert_eq!(verdict, StallVerdict { lasting: Duration::from_millis(stall), report }, "{at}");
                // Another thread has a time of its own.
                assert_eq!(monitor.observe(now, 8, at, threshold).lasting, Duration::ZERO);
            }
            monitor.end();
            assert_eq!(monitor.threads.is_empty(), serial.is_none());
        }
    }
}
