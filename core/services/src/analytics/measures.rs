//! What is counted of one plugin in one stretch of time: a row of numbers, how two become one, how they are packed, and how they are
//! told. Pure.

use camlock_policy::{LATENCY_BOUNDS, LATENCY_BUCKETS, UseCounts};

/// What is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    Requests,
    Errors,
    ClientErrors,
    Abandoned,
    Panics,
    Asks,
    AskErrors,
    Executions,
    FailedExecutions,
    TasksDone,
    TasksFailed,
    EventsEmitted,
    EventsDelivered,
    EventsFailed,
    EventsDropped,
    Swaps,
    /// Times at which it was found unwell.
    Unwell,
}

/// What is as it is at a moment: of several moments, the most counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    Memory,
    LeftBehind,
    TasksWaiting,
    EventsWaiting,
    Generation,
    /// Seconds since 1970.
    UsedAt,
    /// Of a generation: since when it is counted, in seconds since 1970.
    Since,
}

const COUNTERS: usize = Counter::Unwell as usize + 1;
const GAUGES: usize = Gauge::Since as usize + 1;
const ALL: usize = COUNTERS + LATENCY_BUCKETS + GAUGES;

/// The numbers of one stretch of time. What is 0 is not known, or was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measures([u64; ALL]);

impl Default for Measures {
    fn default() -> Self {
        Measures([0; ALL])
    }
}

impl Measures {
    pub fn count(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    pub fn add(&mut self, counter: Counter, times: u64) {
        let place = &mut self.0[counter as usize];
        *place = place.saturating_add(times);
    }

    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.0[COUNTERS + LATENCY_BUCKETS + gauge as usize]
    }

    pub fn set(&mut self, gauge: Gauge, value: u64) {
        self.0[COUNTERS + LATENCY_BUCKETS + gauge as usize] = value;
    }

    /// Answers that fell into this bucket.
    pub fn add_latency(&mut self, bucket: usize, times: u64) {
        let place = &mut self.0[COUNTERS + bucket.min(LATENCY_BUCKETS - 1)];
        *place = place.saturating_add(times);
    }

    fn latency(&self) -> &[u64] {
        &self.0[COUNTERS..COUNTERS + LATENCY_BUCKETS]
    }

    fn gauges_begin() -> usize {
        COUNTERS + LATENCY_BUCKETS
    }

    /// What was counted since these numbers of before. Whoever counts may have begun anew meanwhile.
    pub(super) fn since(&self, before: &Measures) -> Measures {
        let mut since = self.clone();
        for (now, before) in since.0[..Self::gauges_begin()].iter_mut().zip(before.0) {
            *now = now.checked_sub(before).unwrap_or(*now);
        }
        since
    }

    /// Whether anything was counted.
    pub(super) fn has_counted(&self) -> bool {
        self.0[..Self::gauges_begin()].iter().any(|count| *count > 0)
    }

    /// Whether somebody had the plugin do something.
    pub(super) fn was_used(&self) -> bool {
        use Counter::{Abandoned, EventsDelivered, EventsFailed, Executions, Requests, TasksDone, TasksFailed};
        let uses = [Requests, Abandoned, Executions, TasksDone, TasksFailed, EventsDelivered, EventsFailed];
        uses.into_iter().any(|use_| self.count(use_) > 0)
    }

    /// What else happened in the same stretch of time, or right after it.
    pub(super) fn join(&mut self, later: &Measures) {
        let (counted, gauges) = self.0.split_at_mut(Self::gauges_begin());
        counted.iter_mut().zip(later.0).for_each(|(all, more)| *all = all.saturating_add(more));
        gauges.iter_mut().zip(&later.0[Self::gauges_begin()..]).for_each(|(most, more)| *most = (*most).max(*more));
    }

    /// What happened at the same time on another server. Tasks wait for all servers together.
    pub(super) fn beside(&mut self, other: &Measures) {
        let sums = [Gauge::Memory, Gauge::LeftBehind, Gauge::EventsWaiting];
        let summed = sums.map(|gauge| self.gauge(gauge).saturating_add(other.gauge(gauge)));
        self.join(other);
        sums.into_iter().zip(summed).for_each(|(gauge, sum)| self.set(gauge, sum));
    }

    /// Until this part of all answers had begun, in milliseconds: it is taken to be even within a bucket.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let all: u64 = self.latency().iter().sum();
        if all == 0 {
            return None;
        }
        let wanted = part * all as f64;
        let mut below = 0;
        for (bucket, count) in self.latency().iter().enumerate().filter(|(_, count)| **count > 0) {
            if (below + count) as f64 >= wanted {
                let low = bucket.checked_sub(1).map_or(0, |before| LATENCY_BOUNDS[before]) as f64;
                // Beyond the last bound nothing is known but that it was longer.
                let high = LATENCY_BOUNDS.get(bucket).map_or(low, |bound| *bound as f64);
                let microseconds = low + (high - low) * ((wanted - below as f64) / *count as f64).clamp(0.0, 1.0);
                return Some((microseconds / 10.0).round() / 100.0);
            }
            below += count;
        }
        None
    }

    /// Packed: which numbers are not 0, and those, seven bits a byte.
    pub(super) fn pack(&self, into: &mut Vec<u8>) {
        let mask = self.0.iter().enumerate().filter(|(_, number)| **number > 0).fold(0, |mask, (at, _)| mask | 1 << at);
        pack_number(mask, into);
        self.0.iter().filter(|number| **number > 0).for_each(|number| pack_number(*number, into));
    }

    /// What was packed at the beginning of these bytes, which are moved on. None if it is damaged.
    pub(super) fn unpack(bytes: &mut &[u8]) -> Option<Measures> {
        let mask = unpack_number(bytes)?;
        let mut measures = Measures::default();
        for at in 0..u64::BITS as usize {
            if mask >> at & 1 == 1 {
                let number = unpack_number(bytes)?;
                // What a later version counts besides is left out.
                if let Some(place) = measures.0.get_mut(at) {
                    *place = number;
                }
            }
        }
        Some(measures)
    }

    /// As it is told.
    pub(super) fn counts(&self) -> UseCounts {
        let known = |gauge| Some(self.gauge(gauge)).filter(|value| *value > 0);
        UseCounts {
            requests: self.count(Counter::Requests),
            errors: self.count(Counter::Errors),
            client_errors: self.count(Counter::ClientErrors),
            abandoned: self.count(Counter::Abandoned),
            panics: self.count(Counter::Panics),
            p50_ms: self.quantile(0.5),
            p95_ms: self.quantile(0.95),
            p99_ms: self.quantile(0.99),
            memory_bytes: known(Gauge::Memory),
            left_behind_bytes: known(Gauge::LeftBehind),
            asks: self.count(Counter::Asks),
            ask_errors: self.count(Counter::AskErrors),
            executions: self.count(Counter::Executions),
            failed_executions: self.count(Counter::FailedExecutions),
            tasks_done: self.count(Counter::TasksDone),
            tasks_failed: self.count(Counter::TasksFailed),
            tasks_waiting: self.gauge(Gauge::TasksWaiting),
            events_emitted: self.count(Counter::EventsEmitted),
            events_delivered: self.count(Counter::EventsDelivered),
            events_failed: self.count(Counter::EventsFailed),
            events_dropped: self.count(Counter::EventsDropped),
            events_waiting: self.gauge(Gauge::EventsWaiting),
            swaps: self.count(Counter::Swaps),
            unwell: self.count(Counter::Unwell),
        }
    }
}

pub(super) fn pack_number(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

pub(super) fn unpack_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(requests: u64, memory: u64, generation: u64) -> Measures {
        let mut measures = Measures::default();
        measures.add(Counter::Requests, requests);
        measures.set(Gauge::Memory, memory);
        measures.set(Gauge::Generation, generation);
        measures
    }

    #[test]
    fn what_is_packed_is_unpacked_and_takes_little() {
        let mut measures = measured(1_000, 40 << 20, 7);
        measures.add(Counter::Swaps, u64::MAX);
        measures.add_latency(2, 990);
        measures.add_latency(99, 10);
        let mut packed = Vec::new();
        measures.pack(&mut packed);
        Measures::default().pack(&mut packed);
        assert!(packed.len() < 32, "{}", packed.len());
        let mut left = &packed[..];
        assert_eq!(Measures::unpack(&mut left).as_ref(), Some(&measures));
        assert_eq!((Measures::unpack(&mut left), left.len()), (Some(Measures::default()), 0));
        for end in 0..packed.len() - 1 {
            assert_eq!(Measures::unpack(&mut &packed[..end]), None, "{end}");
        }
        assert_eq!(unpack_number(&mut &[0xff; 11][..]), None);
    }

    #[test]
    fn counts_add_up_and_of_what_is_at_a_moment_the_most_counts() {
        let mut all = measured(3, 100, 1);
        all.join(&measured(4, 80, 2));
        assert_eq!(all, measured(7, 100, 2));
        all.beside(&measured(1, 50, 1));
        assert_eq!(all, measured(8, 150, 2));
        assert_eq!(all.since(&measured(5, 0, 0)), measured(3, 150, 2));
        // Whoever counts began anew.
        assert_eq!(measured(2, 0, 0).since(&measured(5, 0, 0)).count(Counter::Requests), 2);
    }

    #[test]
    fn quantiles_lie_within_their_buckets() {
        let mut measures = Measures::default();
        assert_eq!(measures.quantile(0.5), None);
        measures.add_latency(1, 90);
        measures.add_latency(7, 9);
        measures.add_latency(14, 1);
        let [half, most, nearly_all] = [0.5, 0.95, 0.999].map(|part| measures.quantile(part).unwrap());
        assert!(half > 0.5 && half <= 1.0, "{half}");
        assert!(most > 50.0 && most <= 100.0, "{most}");
        assert_eq!(nearly_all, 30_000.0);
    }
}
