//! A share of the processor as a budget that fills by itself and is used up, and how much was waited lately. Pure.
//!
//! What must not live here: where time is read, and how a process is slowed down.

use camlock_policy::CpuShare;
use std::{collections::VecDeque, time::Duration};

/// A process that may not run goes on only when it has this much again, in seconds of its share: not for every instruction.
const SLICE: f64 = 0.05;
/// So much of a whole core may be used at once.
const AT_ONCE: f64 = 0.25;
/// Over how long waiting is told.
const TOLD: Duration = Duration::from_secs(10);

/// Something that fills at a rate, up to some amount.
#[derive(Clone, Copy, Debug)]
struct CpuBucket {
    rate: f64,
    most: f64,
    credit: f64,
}

impl CpuBucket {
    fn full(rate: f64, most: f64) -> Self {
        CpuBucket { rate, most, credit: most }
    }

    fn pass(&mut self, elapsed: f64, used: f64) {
        self.credit = (self.credit + elapsed * self.rate - used).min(self.most);
    }

    /// How long until a slice is there again.
    fn until_slice(&self) -> f64 {
        ((self.rate * SLICE - self.credit) / self.rate).max(0.0)
    }
}

/// What a process may use of the processor from now on.
#[derive(Debug)]
pub(super) struct CpuBudget {
    /// Its share in the mean, with what it may be ahead of it.
    share: CpuBucket,
    /// A whole core, or its share where that is more.
    whole: CpuBucket,
    is_empty: bool,
}

impl CpuBudget {
    pub(super) fn new(CpuShare { percent, burst }: CpuShare) -> Self {
        let rate = f64::from(percent.max(1)) / 100.0;
        let whole = rate.max(1.0);
        let ahead = (burst.as_secs_f64() * (whole - rate)).max(rate * SLICE * 2.0);
        CpuBudget {
            share: CpuBucket::full(rate, ahead),
            whole: CpuBucket::full(whole, whole * AT_ONCE),
            is_empty: false,
        }
    }

    /// Time has passed, and so much of it was used.
    pub(super) fn pass(&mut self, elapsed: Duration, used: Duration) {
        let (elapsed, used) = (elapsed.as_secs_f64(), used.as_secs_f64());
        self.share.pass(elapsed, used);
        self.whole.pass(elapsed, used);
        let waits = self.share.until_slice().max(self.whole.until_slice()) > 0.0;
        let used_up = self.share.credit <= 0.0 || self.whole.credit <= 0.0;
        self.is_empty = used_up || self.is_empty && waits;
    }

    /// Whether it is used up, so that the process has to wait.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Whether it is no longer ahead of its share: a brake that works by itself gives it no more than that.
    pub(super) fn is_behind(&self) -> bool {
        self.share.credit <= 0.0
    }

    /// In hundredths of a core, what a brake that works by itself is to give it now.
    pub(super) fn rate(&self) -> u32 {
        let rate = if self.is_behind() { self.share.rate } else { self.whole.rate };
        (rate * 100.0).round() as u32
    }

    /// When to look again, if the process has so many processors at most.
    pub(super) fn look_in(&self, processors: usize) -> Duration {
        let (seconds, least) = if self.is_empty {
            (self.share.until_slice().max(self.whole.until_slice()), 0.005)
        } else {
            (self.share.credit.min(self.whole.credit) / processors.max(1) as f64, 0.02)
        };
        Duration::from_secs_f64(seconds.clamp(least, 0.5))
    }
}

/// How much was waited in the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct WaitWindow {
    /// What was waited in each stretch of time, and how long that was.
    stretches: VecDeque<(Duration, Duration)>,
}

impl WaitWindow {
    pub(super) fn pass(&mut self, elapsed: Duration, waited: Duration) {
        self.stretches.push_back((elapsed, waited.min(elapsed)));
        let mut all: Duration = self.stretches.iter().map(|(elapsed, _)| *elapsed).sum();
        while let Some((first, _)) = self.stretches.front().copied() {
            if all.saturating_sub(first) < TOLD {
                break;
            }
            all -= first;
            self.stretches.pop_front();
        }
    }

    /// In hundredths of those seconds.
    pub(super) fn percent(&self) -> u32 {
        let waited: Duration = self.stretches.iter().map(|(_, waited)| *waited).sum();
        (waited.as_secs_f64() / TOLD.as_secs_f64() * 100.0).round().min(100.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(percent: u32) -> CpuShare {
        CpuShare { percent, burst: Duration::from_secs(30) }
    }

    /// A process that uses this many cores whenever it may, for so many seconds: what it used, second by second.
    fn greedy(share: CpuShare, cores: f64, seconds: usize) -> Vec<f64> {
        let mut budget = CpuBudget::new(share);
        let (mut now, mut used) = (0.0, vec![0.0; seconds]);
        while now < seconds as f64 {
            let step = budget.look_in(2);
            let use_now = if budget.is_empty() { Duration::ZERO } else { step.mul_f64(cores) };
            budget.pass(step, use_now);
            used[now as usize] += use_now.as_secs_f64();
            now += step.as_secs_f64();
        }
        used
    }

    #[test]
    fn a_whole_core_for_a_while_then_its_share() {
        let used = greedy(share(50), 1.0, 60);
        let mean = |from: usize, to: usize| used[from..to].iter().sum::<f64>() / (to - from) as f64;
        assert!((0.97..1.05).contains(&mean(0, 28)), "{}", mean(0, 28));
        assert!((0.47..0.53).contains(&mean(35, 60)), "{}", mean(35, 60));
        // Two cores at once are more than a whole one, from the beginning.
        let used = greedy(share(50), 2.0, 60);
        let mean = |from: usize, to: usize| used[from..to].iter().sum::<f64>() / (to - from) as f64;
        assert!((0.95..1.08).contains(&mean(1, 26)), "{}", mean(1, 26));
        assert!((0.45..0.55).contains(&mean(35, 60)), "{}", mean(35, 60));
        let used = greedy(share(200), 2.0, 10);
        assert!((1.9..2.1).contains(&(used.iter().sum::<f64>() / 10.0)), "{used:?}");
    }

    #[test]
    fn who_rests_may_be_fast_again() {
        let mut budget = CpuBudget::new(share(50));
        budget.pass(Duration::from_secs(1), Duration::from_secs(20));
        assert!(budget.is_empty() && budget.is_behind() && budget.rate() == 50);
        budget.pass(Duration::from_secs(60), Duration::ZERO);
        assert!(!budget.is_empty() && budget.rate() == 100);
    }

    #[test]
    fn waiting_is_told_of_ten_seconds() {
        let mut window = WaitWindow::default();
        let half = Duration::from_millis(500);
        for _ in 0..100 {
            window.pass(half, half.mul_f64(0.4));
        }
        assert_eq!(window.percent(), 40);
        for _ in 0..100 {
            window.pass(half, Duration::ZERO);
        }
        assert_eq!(window.percent(), 0);
    }
}
