//! A brake on generations that nobody asked for: whatever makes a plugin change by itself again and again, it does not take
//! the machine with it. Pure.
//!
//! A person who saves is never that fast; a source that changes with every build is. What must not live here: what counts as
//! asked for.

use super::restarts::backoff;
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// So many generations within [`WINDOW`] are let through.
const ALLOWED: usize = 60;
const WINDOW: Duration = Duration::from_secs(60);

/// Counts the generations of one plugin that nobody asked for.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    times: VecDeque<Instant>,
    pause: Option<Pause>,
    /// The pause has an end that was not seen yet.
    held: bool,
}

/// No generation that nobody asks for begins before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) until: Instant,
    /// How long it is in all.
    pub(crate) length: Duration,
    /// So many pauses came one after the other.
    pub(crate) nth: u32,
}

impl Brake {
    /// A generation that nobody asked for has come to its end: it serves, or failed. Returns the pause that begins with it.
    pub(crate) fn count(&mut self, now: Instant) -> Option<Pause> {
        // Only a whole window of rest after a pause ends the series.
        let before = self.pause.filter(|pause| now < pause.until + WINDOW);
        self.times.retain(|time| now.duration_since(*time) < WINDOW);
        self.times.push_back(now);
        let nth = match before {
            Some(pause) => pause.nth + 1,
            None if self.times.len() > ALLOWED => 1,
            None => {
                self.pause = None;
                return None;
            }
        };
        let length = backoff(nth);
        let pause = Pause { until: now + length, length, nth };
        self.times.clear();
        self.pause = Some(pause);
        self.held = true;
        self.pause
    }

    /// The pause that holds now.
    pub(crate) fn pause(&self, now: Instant) -> Option<Pause> {
        self.pause.filter(|pause| now < pause.until)
    }

    /// When the pause that holds ends.
    pub(crate) fn lifts_at(&self) -> Option<Instant> {
        self.pause.filter(|_| self.held).map(|pause| pause.until)
    }

    /// Whether a pause has ended since this was last asked.
    pub(crate) fn lifts(&mut self, now: Instant) -> bool {
        let lifts = self.lifts_at().is_some_and(|until| until <= now);
        self.held &= !lifts;
        lifts
    }

    /// Somebody asks: it begins from nothing.
    pub(crate) fn release(&mut self) {
        *self = Brake::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_come_after_many_in_a_short_time_and_grow_until_there_is_rest() {
        let start = Instant::now();
        let at = |milliseconds: u64| start + Duration::from_millis(milliseconds);
        let mut brake = Brake::default();
        for time in 0..ALLOWED as u64 {
            assert_eq!(brake.count(at(time)), None);
        }
        let first = brake.count(at(100)).unwrap();
        assert_eq!((first.length, first.nth), (Duration::from_secs(2), 1));
        assert_eq!((brake.pause(at(2_000)), brake.pause(at(2_100))), (Some(first), None));
        let second = brake.count(at(2_200)).unwrap();
        assert_eq!((second.length, second.nth), (Duration::from_secs(4), 2));
        // A minute of rest after its end, and all is forgotten.
        assert_eq!(brake.count(at(2_200 + 4_000 + 60_000)), None);
        assert_eq!(brake.pause(at(70_000)), None);
    }

    #[test]
    fn who_saves_now_and_then_is_never_held() {
        let start = Instant::now();
        let mut brake = Brake::default();
        for save in 0..1_000 {
            assert_eq!(brake.count(start + Duration::from_millis(1_200) * save), None);
        }
    }
}
