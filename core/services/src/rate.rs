//! How much a plugin may ask in a second. Pure: whoever asks says what time it is.

use std::time::{Duration, Instant};

/// What a plugin may ask in a second, on the average of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskLimits {
    /// So many asks.
    pub asks: u64,
    /// So many bytes in the bodies of asks.
    pub bytes: u64,
}

impl Default for AskLimits {
    fn default() -> Self {
        AskLimits { asks: 50_000, bytes: 256 << 20 }
    }
}

/// What of one thing may still be had: it fills up as time goes by.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    each_second: f64,
    left: f64,
    at: Instant,
}

/// So long nothing needs to be asked for, to have all that can be saved up.
const SAVED: f64 = 2.0;

impl Allowance {
    pub(crate) fn new(each_second: u64, now: Instant) -> Self {
        let each_second = each_second as f64;
        Allowance { each_second, left: each_second * SAVED, at: now }
    }

    /// Takes so much of it, if there is any left: one that is larger than what is left is let through, and waited for by those
    /// that come after it. Else how long it takes until there is some again.
    pub(crate) fn take(&mut self, amount: u64, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.each_second).min(self.each_second * SAVED);
        self.at = now;
        if self.left <= 0.0 {
            let wait = -self.left / self.each_second.max(1.0);
            return Err(Duration::from_secs_f64(wait.max(0.001)));
        }
        self.left -= amount as f64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_comes_back_with_time() {
        let begin = Instant::now();
        let at = |seconds: f64| begin + Duration::from_secs_f64(seconds);
        let mut allowance = Allowance::new(10, begin);
        for _ in 0..20 {
            assert_eq!(allowance.take(1, begin), Ok(()));
        }
        assert!(allowance.take(1, begin).is_err(), "two seconds' worth is used up");
        assert_eq!(allowance.take(1, at(0.2)), Ok(()));
        assert_eq!(allowance.take(1, at(0.2)), Ok(()));
        assert!(allowance.take(1, at(0.2)).is_err());
        // Not more than two seconds' worth is ever saved up.
        assert!((0..30).filter(|_| allowance.take(1, at(1000.0)).is_ok()).count() == 20);
    }

    #[test]
    fn what_is_large_is_waited_for_afterwards() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(100, begin);
        assert_eq!(allowance.take(500, begin), Ok(()));
        assert_eq!(allowance.take(1, begin), Err(Duration::from_secs(3)));
        assert_eq!(allowance.take(1, begin + Duration::from_secs(4)), Ok(()));
    }
}
