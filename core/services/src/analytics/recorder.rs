//! What is counted turned into points: what each plugin did since it was last looked at is added to the minute, the hour and the day that
//! it falls into, and to the generation that served. Pure; times are given.

use super::{
    measures::{Counter, Gauge, Measures},
    store::{PageKey, StoredPage},
    tiers::{PagePoints, Tier, pack},
};
use std::{collections::BTreeMap, sync::Arc};

/// So many generations of a plugin are remembered.
const GENERATIONS: usize = 8;

/// A plugin at a moment.
#[derive(Clone, Debug, Default)]
pub struct PluginSample {
    /// What was counted of it since this server began.
    pub measures: Measures,
    /// The generation that serves.
    pub generation: Option<u64>,
    /// When it was last found unwell: any number that is another one each time.
    pub unwell: Option<u64>,
}

#[derive(Default)]
pub(super) struct Recorder {
    plugins: BTreeMap<Arc<str>, RecordedPlugin>,
    /// What was written before this server began is among the pages.
    pub(super) restored: bool,
}

#[derive(Default)]
struct RecordedPlugin {
    last: PluginSample,
    pages: BTreeMap<(Tier, u64), RecordedPage>,
}

#[derive(Default)]
struct RecordedPage {
    /// Each packed: most of them are never looked at again.
    points: BTreeMap<u64, Box<[u8]>>,
    /// Raised with each change; and how far it was when the page was written.
    changes: u64,
    written: u64,
}

impl RecordedPage {
    fn join(&mut self, at: u64, measures: &Measures) {
        let known = self.points.get(&at).and_then(|packed| Measures::unpack(&mut &packed[..]));
        let mut all = known.unwrap_or_default();
        all.join(measures);
        let mut packed = Vec::new();
        all.pack(&mut packed);
        self.points.insert(at, packed.into());
        self.changes += 1;
    }

    fn unpacked(&self) -> PagePoints {
        let unpack = |packed: &[u8]| Measures::unpack(&mut &packed[..]);
        self.points.iter().filter_map(|(at, packed)| Some((*at, unpack(packed)?))).collect()
    }
}

/// Pages that are to be written, and how far each was.
pub(super) type UnwrittenPages = Vec<(PageKey, Vec<u8>, u64)>;

impl Recorder {
    /// Takes in how all plugins are now, in seconds since 1970.
    pub(super) fn look(&mut self, samples: BTreeMap<Arc<str>, PluginSample>, now: u64) {
        for (plugin, sample) in samples {
            self.plugins.entry(plugin).or_default().look(sample, now);
        }
    }

    /// What this server wrote before it began anew.
    pub(super) fn restore(&mut self, pages: Vec<StoredPage>) {
        for StoredPage { key, points, .. } in pages {
            let page = self.plugins.entry(key.plugin).or_default().pages.entry((key.tier, key.page)).or_default();
            let was_changed = page.changes > page.written;
            points.iter().for_each(|(at, measures)| page.join(*at, measures));
            if !was_changed {
                page.written = page.changes;
            }
        }
        self.restored = true;
    }

    pub(super) fn unwritten(&self) -> UnwrittenPages {
        let mut unwritten = Vec::new();
        for (plugin, recorded) in &self.plugins {
            for ((tier, page), recorded) in &recorded.pages {
                if recorded.changes > recorded.written {
                    let key = PageKey { plugin: plugin.clone(), tier: *tier, page: *page };
                    unwritten.push((key, pack(&recorded.unpacked()), recorded.changes));
                }
            }
        }
        unwritten
    }

    pub(super) fn is_written(&self) -> bool {
        self.plugins.values().all(|plugin| plugin.pages.values().all(|page| page.changes == page.written))
    }

    /// These were written; what is not written to any more is let go of. Where nothing can be written for long, the oldest goes.
    pub(super) fn written(&mut self, pages: &[(PageKey, u64)], now: u64) {
        for (key, changes) in pages {
            let plugin = self.plugins.get_mut(&key.plugin);
            if let Some(page) = plugin.and_then(|plugin| plugin.pages.get_mut(&(key.tier, key.page))) {
                page.written = *changes;
            }
        }
        for plugin in self.plugins.values_mut() {
            plugin.pages.retain(|(tier, page), recorded| {
                let is_used = *page >= tier.first_at_hand(now);
                let is_unwritten = recorded.changes > recorded.written && *page >= tier.first_kept(now);
                is_used || is_unwritten
            });
        }
    }

    /// What was recorded of a plugin since this server began, and what it wrote to before.
    pub(super) fn pages(&self, plugin: &str) -> Vec<((Tier, u64), PagePoints)> {
        let recorded = self.plugins.get(plugin).into_iter().flat_map(|plugin| &plugin.pages);
        recorded.map(|(place, page)| (*place, page.unpacked())).collect()
    }

    /// The points of one tier, in their order.
    pub(super) fn points(&self, plugin: &str, tier: Tier) -> Vec<(u64, Measures)> {
        let recorded = self.plugins.get(plugin).into_iter().flat_map(|plugin| &plugin.pages);
        recorded.filter(|((of, _), _)| *of == tier).flat_map(|(_, page)| page.unpacked()).collect()
    }

    /// Forgets what was recorded of a plugin.
    pub(super) fn forget(&mut self, plugin: &str) {
        if let Some(plugin) = self.plugins.get_mut(plugin) {
            plugin.pages.clear();
        }
    }
}

impl RecordedPlugin {
    fn look(&mut self, sample: PluginSample, now: u64) {
        let mut measures = sample.measures.since(&self.last.measures);
        let (before, serving) = (self.last.generation, sample.generation);
        let is_new = serving.is_some() && serving != before;
        if is_new {
            measures.add(Counter::Swaps, 1);
        }
        if sample.unwell.is_some() && sample.unwell != self.last.unwell {
            measures.add(Counter::Unwell, 1);
        }
        let is_other = [Gauge::Memory, Gauge::LeftBehind, Gauge::TasksWaiting, Gauge::EventsWaiting]
            .into_iter()
            .any(|gauge| sample.measures.gauge(gauge) != self.last.measures.gauge(gauge));
        self.last =
            PluginSample { generation: serving.or(before), unwell: sample.unwell.or(self.last.unwell), ..sample };
        if !measures.has_counted() && !is_other {
            return;
        }
        if measures.was_used() {
            measures.set(Gauge::UsedAt, now);
        }
        measures.set(Gauge::Generation, serving.unwrap_or(0));
        for tier in Tier::OF_TIME {
            let at = now / tier.seconds() * tier.seconds();
            self.pages.entry((tier, tier.page(now))).or_default().join(at, &measures);
        }
        self.attribute(&measures, (before, serving), now);
    }

    /// What was counted until one generation took the place of another was the old one's.
    fn attribute(&mut self, measures: &Measures, (before, serving): (Option<u64>, Option<u64>), now: u64) {
        let page = self.pages.entry((Tier::Generations, 0)).or_default();
        if let Some(generation) = before.or(serving) {
            if !page.points.contains_key(&generation) {
                page.join(generation, &since(now));
            }
            page.join(generation, measures);
        }
        if let Some(generation) = serving.filter(|generation| !page.points.contains_key(generation)) {
            page.join(generation, &since(now));
        }
        while page.points.len() > GENERATIONS {
            page.points.pop_first();
        }
    }
}

fn since(now: u64) -> Measures {
    let mut measures = Measures::default();
    measures.set(Gauge::Since, now);
    measures
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn sample(requests: u64, memory: u64, generation: u64) -> BTreeMap<Arc<str>, PluginSample> {
        let mut measures = Measures::default();
        measures.add(Counter::Requests, requests);
        measures.set(Gauge::Memory, memory);
        [("hello".into(), PluginSample { measures, generation: Some(generation), unwell: None })].into()
    }

    fn requests(points: &[(u64, Measures)]) -> Vec<(u64, u64)> {
        points.iter().map(|(at, measures)| (*at, measures.count(Counter::Requests))).collect()
    }

    #[test]
    fn what_happens_falls_into_its_minute_and_its_generation() {
        let mut recorder = Recorder::default();
        recorder.look(sample(5, 10, 1), NOW);
        recorder.look(sample(7, 10, 1), NOW + 10);
        // Nothing happened: there is no point.
        recorder.look(sample(7, 10, 1), NOW + 60);
        recorder.look(sample(8, 10, 2), NOW + 120);
        recorder.look(sample(10, 20, 2), NOW + 180);
        let minutes = recorder.points("hello", Tier::Minutes);
        assert_eq!(requests(&minutes), [(NOW, 7), (NOW + 120, 1), (NOW + 180, 2)]);
        assert_eq!(minutes[0].1.gauge(Gauge::UsedAt), NOW + 10);
        assert_eq!(minutes[1].1.count(Counter::Swaps), 1);
        assert_eq!(requests(&recorder.points("hello", Tier::Generations)), [(1, 8), (2, 2)]);
        assert_eq!(recorder.points("hello", Tier::Generations)[1].1.gauge(Gauge::Since), NOW + 120);
        let hours = recorder.points("hello", Tier::Hours);
        assert_eq!(hours.iter().map(|(_, measures)| measures.count(Counter::Requests)).sum::<u64>(), 10);
        for generation in 3..20 {
            recorder.look(sample(10, 20, generation), NOW + 200 + generation);
        }
        assert_eq!(recorder.points("hello", Tier::Generations).len(), GENERATIONS);
    }

    #[test]
    fn what_was_written_before_is_added_to_and_written_once() {
        let mut recorder = Recorder::default();
        recorder.look(sample(5, 10, 1), NOW);
        let unwritten = recorder.unwritten();
        assert_eq!(unwritten.len(), 4);
        let stored = |(key, packed, _): &(PageKey, Vec<u8>, u64)| {
            StoredPage::of(key.plugin.clone(), "here".to_owned(), key.tier as i16, key.page, packed).unwrap()
        };
        let stored: Vec<_> = unwritten.iter().map(stored).collect();
        let written: Vec<_> = unwritten.into_iter().map(|(key, _, changes)| (key, changes)).collect();
        // It changes while it is written.
        recorder.look(sample(6, 10, 1), NOW + 5);
        recorder.written(&written, NOW + 5);
        assert!(!recorder.is_written());
        // The server is killed, and begins anew in the same minute.
        let mut recorder = Recorder::default();
        recorder.look(sample(2, 10, 1), NOW + 30);
        recorder.restore(stored);
        assert_eq!(requests(&recorder.points("hello", Tier::Minutes)), [(NOW, 7)]);
        let written: Vec<_> = recorder.unwritten().into_iter().map(|(key, _, changes)| (key, changes)).collect();
        recorder.written(&written, NOW + 30);
        assert!(recorder.is_written());
        // What is no longer written to is let go of, but for what each generation came to.
        recorder.written(&[], NOW + 100 * 86_400);
        assert_eq!(recorder.pages("hello").len(), 1);
    }
}
