//! How long what was counted is kept, and how finely: minutes for hours, hours for days, days for more than a year. Points that follow
//! each other lie in a page. Pure.

use super::measures::{Gauge, Measures, pack_number, unpack_number};
use std::{collections::BTreeMap, time::Duration};

/// How finely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// What each generation came to: its points are numbered by the generation.
    Generations = 0,
    Minutes = 1,
    Hours = 2,
    Days = 3,
}

impl Tier {
    pub(super) const OF_TIME: [Tier; 3] = [Tier::Minutes, Tier::Hours, Tier::Days];

    pub(super) fn of_number(number: i16) -> Option<Tier> {
        [Tier::Generations, Tier::Minutes, Tier::Hours, Tier::Days].into_iter().find(|tier| *tier as i16 == number)
    }

    /// For how many seconds a point stands.
    pub(super) fn seconds(self) -> u64 {
        match self {
            Tier::Generations => 1,
            Tier::Minutes => 60,
            Tier::Hours => 3_600,
            Tier::Days => 86_400,
        }
    }

    /// So many points lie in a page.
    fn points(self) -> u64 {
        match self {
            // There is one page.
            Tier::Generations => u64::MAX,
            Tier::Minutes => 20,
            Tier::Hours => 12,
            Tier::Days => 16,
        }
    }

    /// So many pages are kept, the last one among them.
    fn pages(self) -> u64 {
        match self {
            Tier::Generations => 1,
            // More than three hours, a week, a year.
            Tier::Minutes => 10,
            Tier::Hours => 15,
            Tier::Days => 24,
        }
    }

    /// The page in which a moment lies, in seconds since 1970.
    pub(super) fn page(self, at: u64) -> u64 {
        at / self.seconds() / self.points()
    }

    /// The first page that is still kept at that moment.
    pub(super) fn first_kept(self, now: u64) -> u64 {
        (self.page(now) + 1).saturating_sub(self.pages())
    }

    /// The first page that is kept at hand: what is still written to, and of minutes what the rules look at, more than an hour.
    pub(super) fn first_at_hand(self, now: u64) -> u64 {
        self.page(now).saturating_sub(if self == Tier::Minutes { 4 } else { 0 })
    }

    /// From when on all is kept, at that moment.
    pub(super) fn reaches_to(self, now: u64) -> u64 {
        self.first_kept(now) * self.points() * self.seconds()
    }
}

/// How long a point may stand for, in seconds.
const STEPS: [u64; 7] = [60, 300, 900, 3_600, 21_600, 86_400, 604_800];
/// So many points are enough where nobody says how many.
const ENOUGH: u64 = 200;

/// From which tier a stretch of time is told, with what step.
pub(super) fn choose(from: u64, to: u64, now: u64, step: Option<Duration>) -> (Tier, u64) {
    let span = to.saturating_sub(from);
    let usual = || STEPS.into_iter().find(|step| span / step < ENOUGH).unwrap_or(STEPS[STEPS.len() - 1]);
    let step = step.map_or_else(usual, |step| step.as_secs().max(1));
    let kept = |tier: &Tier| tier.reaches_to(now) <= from;
    let finest = Tier::OF_TIME.into_iter().find(kept).unwrap_or(Tier::Days);
    let tier = Tier::OF_TIME.into_iter().rev().find(|tier| tier.seconds() <= step && *tier >= finest).unwrap_or(finest);
    (tier, step.max(tier.seconds()))
}

/// Points that follow each other, by the moment at which each begins (or the generation that each is of).
pub(crate) type PagePoints = BTreeMap<u64, Measures>;

/// The first byte of a packed page: how it is packed.
const PACKED_SO: u8 = 1;

pub(super) fn pack(points: &PagePoints) -> Vec<u8> {
    let mut packed = vec![PACKED_SO];
    let mut before = 0;
    for (at, measures) in points {
        pack_number(at - before, &mut packed);
        before = *at;
        // What was used in this stretch of time was used soon after it began: that is a smaller number.
        let used = measures.gauge(Gauge::UsedAt);
        let mut measures = measures.clone();
        measures.set(Gauge::UsedAt, used.checked_sub(*at).map_or(0, |after| if used > 0 { after + 1 } else { 0 }));
        measures.pack(&mut packed);
    }
    packed
}

/// What is not understood is as if it was not there.
pub(super) fn unpack(packed: &[u8]) -> PagePoints {
    let mut points = PagePoints::new();
    let Some((&PACKED_SO, mut left)) = packed.split_first() else { return points };
    let mut at = 0_u64;
    while !left.is_empty() {
        let Some(after) = unpack_number(&mut left) else { return points };
        let Some(mut measures) = Measures::unpack(&mut left) else { return points };
        at = at.saturating_add(after);
        if let Some(later) = measures.gauge(Gauge::UsedAt).checked_sub(1) {
            measures.set(Gauge::UsedAt, at.saturating_add(later));
        }
        points.insert(at, measures);
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics::measures::Counter;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    #[test]
    fn the_finest_that_is_kept_is_told() {
        let asked = |back: u64, step: Option<u64>| choose(NOW - back, NOW, NOW, step.map(Duration::from_secs));
        assert_eq!(asked(3_600, None), (Tier::Minutes, 60));
        assert_eq!(asked(3 * 3_600, Some(3_600)), (Tier::Hours, 3_600));
        // Minutes of yesterday are not kept.
        assert_eq!(asked(DAY, Some(60)), (Tier::Hours, 3_600));
        assert_eq!(asked(DAY, None), (Tier::Hours, 3_600));
        assert_eq!(asked(7 * DAY, None), (Tier::Hours, 3_600));
        assert_eq!(asked(30 * DAY, None), (Tier::Days, DAY));
        assert_eq!(asked(365 * DAY, None), (Tier::Days, 604_800));
        assert_eq!(asked(365 * DAY, Some(DAY)), (Tier::Days, DAY));
        assert!(Tier::Days.reaches_to(NOW) <= NOW - 365 * DAY);
        assert!(Tier::Hours.reaches_to(NOW) <= NOW - 7 * DAY && Tier::Minutes.reaches_to(NOW) <= NOW - 3 * 3_600);
    }

    #[test]
    fn a_busy_plugin_takes_less_than_64_kib() {
        let mut busy = Measures::default();
        for counter in [Counter::Requests, Counter::Errors, Counter::Asks, Counter::TasksDone, Counter::EventsDelivered]
        {
            busy.add(counter, 1_000_000);
        }
        (0..9).for_each(|bucket| busy.add_latency(bucket, 100_000));
        for gauge in [Gauge::Memory, Gauge::LeftBehind, Gauge::Generation, Gauge::UsedAt] {
            busy.set(gauge, NOW);
        }
        let mut all = 0;
        for tier in Tier::OF_TIME {
            let points = (0..tier.points()).map(|point| (NOW - 1 - point * tier.seconds(), busy.clone())).collect();
            let packed = pack(&points);
            assert_eq!(unpack(&packed), points);
            all += packed.len() as u64 * tier.pages();
        }
        assert!(all < 60 << 10, "{all}");
    }

    #[test]
    fn a_damaged_page_keeps_what_comes_before() {
        let mut one = Measures::default();
        one.add(Counter::Requests, 5);
        let packed = pack(&[(60, one.clone()), (120, one)].into());
        assert_eq!(unpack(&packed[..packed.len() - 1]).len(), 1);
        assert!(unpack(&[]).is_empty() && unpack(&[9, 9]).is_empty());
    }
}
