//! What was recorded, as it is told: of all servers together, in steps of one length. Pure.

use super::{
    measures::{Gauge, Measures},
    store::StoredPage,
    tiers::{PagePoints, Tier, choose},
};
use camlock_policy::{AnalyticsPoint, AnalyticsQuery, AnalyticsView, GenerationUse, UsageView, UtcTime};
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// So many generations are told of.
const GENERATIONS: usize = 8;

pub(super) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn time(seconds: u64) -> UtcTime {
    (UNIX_EPOCH + Duration::from_secs(seconds)).into()
}

/// What is asked for of these pages, each of one server.
pub(super) fn tell(plugin: &str, pages: &[StoredPage], query: AnalyticsQuery, now: u64) -> AnalyticsView {
    // Before that nothing is kept, and after now there is nothing.
    let earliest = Tier::Days.reaches_to(now);
    // This second is a part of what has happened so far.
    let so_far = now + 1;
    let (from, to) = (seconds(query.from).max(earliest), query.to.map_or(so_far, seconds).min(so_far));
    let (tier, step) = choose(from, to.max(from), now, query.step);
    let (from, to) = (from / step * step, to.max(from).div_ceil(step) * step);
    let mut steps: BTreeMap<u64, Measures> = BTreeMap::new();
    for (at, measures) in at_once(pages, tier).range(from..to.max(from)) {
        steps.entry(at / step * step).or_default().join(measures);
    }
    let point = |at| AnalyticsPoint { at: time(at), counts: steps.get(&at).cloned().unwrap_or_default().counts() };
    AnalyticsView {
        plugin: plugin.to_owned(),
        from: time(from),
        to: time(to),
        step,
        points: (from..to).step_by(step as usize).map(point).collect(),
        generations: generations(pages),
        usage: usage(pages),
    }
}

/// The points of a tier, those of all servers at the same time together.
fn at_once(pages: &[StoredPage], tier: Tier) -> PagePoints {
    let mut points = PagePoints::new();
    for (at, measures) in pages.iter().filter(|page| page.key.tier == tier).flat_map(|page| &page.points) {
        points.entry(*at).and_modify(|all| all.beside(measures)).or_insert_with(|| measures.clone());
    }
    points
}

fn generations(pages: &[StoredPage]) -> Vec<GenerationUse> {
    let of_nodes = pages.iter().filter(|page| page.key.tier == Tier::Generations);
    let of_node = |page: &StoredPage| {
        let node = page.node.clone();
        let told = |(generation, measures): (&u64, &Measures)| GenerationUse {
            generation: *generation,
            node: node.clone(),
            since: time(measures.gauge(Gauge::Since)),
            counts: measures.counts(),
        };
        page.points.iter().map(told).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = of_nodes.flat_map(of_node).collect();
    all.sort_by_key(|one| Reverse((one.since, one.generation)));
    all.truncate(GENERATIONS);
    all
}

fn usage(pages: &[StoredPage]) -> UsageView {
    let days = at_once(pages, Tier::Days);
    let mut all = Measures::default();
    days.values().for_each(|day| all.join(day));
    UsageView {
        last_used_at: Some(all.gauge(Gauge::UsedAt)).filter(|at| *at > 0).map(time),
        since: days.keys().next().map(|at| time(*at)),
        counts: all.counts(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics::{measures::Counter, store::PageKey};

    const NOW: u64 = 1_800_000_000;

    fn page(node: &str, tier: Tier, points: &[(u64, u64)]) -> StoredPage {
        let points = points.iter().map(|(at, requests)| {
            let mut measures = Measures::default();
            measures.add(Counter::Requests, *requests);
            measures.set(Gauge::Memory, 100);
            measures.set(Gauge::UsedAt, *at);
            measures.set(Gauge::Since, NOW - requests);
            (*at, measures)
        });
        let key = PageKey { plugin: "hello".into(), tier, page: 0 };
        StoredPage { key, node: node.to_owned(), points: points.collect() }
    }

    fn asked(pages: &[StoredPage], back: u64, step: Option<u64>) -> AnalyticsView {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let from = at(NOW.saturating_sub(back));
        let query = AnalyticsQuery { from, to: Some(at(NOW)), step: step.map(Duration::from_secs) };
        tell("hello", pages, query, NOW)
    }

    #[test]
    fn servers_are_told_together_and_in_steps() {
        let pages = [
            page("a", Tier::Minutes, &[(NOW - 600, 1), (NOW - 540, 2)]),
            page("b", Tier::Minutes, &[(NOW - 600, 10)]),
            page("a", Tier::Days, &[(NOW / 86_400 * 86_400, 20)]),
            page("a", Tier::Generations, &[(3, 7), (4, 5)]),
        ];
        let told = asked(&pages, 600, None);
        let requests: Vec<_> = told.points.iter().map(|point| point.counts.requests).collect();
        assert_eq!((told.step, requests), (60, vec![11, 2, 0, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!([0, 1].map(|at| told.points[at].counts.memory_bytes), [Some(200), Some(100)]);
        let told = asked(&pages, 600, Some(300));
        assert_eq!(told.points.iter().map(|point| point.counts.requests).collect::<Vec<_>>(), [13, 0]);
        assert_eq!(told.generations.iter().map(|one| one.generation).collect::<Vec<_>>(), [4, 3]);
        assert_eq!(told.usage.counts.requests, 20);
        assert_eq!(told.usage.last_used_at, Some(time(NOW / 86_400 * 86_400)));
    }

    #[test]
    fn what_has_just_happened_is_told_in_the_first_second_of_a_minute_too() {
        let now = NOW / 60 * 60;
        let query = AnalyticsQuery { from: UNIX_EPOCH + Duration::from_secs(now - 120), to: None, step: None };
        let told = tell("hello", &[page("a", Tier::Minutes, &[(now - 120, 1), (now, 2)])], query, now);
        assert_eq!(told.points.iter().map(|point| point.counts.requests).collect::<Vec<_>>(), [1, 0, 2]);
    }

    #[test]
    fn what_lies_before_all_that_is_kept_or_after_now_has_no_points() {
        let far = asked(&[], 100 * 365 * 86_400, None);
        assert!(far.points.len() < 100 && far.step == 604_800, "{}", far.points.len());
        let query = AnalyticsQuery { from: UNIX_EPOCH, to: Some(UNIX_EPOCH + Duration::from_secs(9)), step: None };
        let told = tell("hello", &[], query, NOW);
        assert!(told.points.len() <= 1 && told.usage.last_used_at.is_none());
    }
}
