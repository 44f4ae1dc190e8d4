//! What came of candidates and generations, counted from one overview to the next. Pure.

use camlock_policy::{BuildView, LivePlugin, Overview, Stage};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// What was counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    plugins: BTreeMap<String, (Arc<LivePlugin>, Counts)>,
}

/// What was counted of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) builds: u64,
    pub(super) failed_builds: u64,
    pub(super) building: Duration,
    pub(super) loads: u64,
    pub(super) failed_loads: u64,
    /// Generations that came to serve.
    pub(super) swaps: u64,
    /// Generations that were drained and left.
    pub(super) drains: u64,
    /// Candidates up to this one were counted, and generations that served.
    candidate: u64,
    served: u64,
    /// Generations that are in the process.
    there: BTreeSet<u64>,
}

impl Tally {
    /// Counts what happened since the overview before.
    pub(super) fn look(&mut self, overview: &Overview) {
        let mut before = std::mem::take(&mut self.plugins);
        for plugin in &overview.plugins {
            let (seen, mut counts) = match before.remove(&plugin.name) {
                Some((seen, counts)) => (Some(seen), counts),
                None => (None, Counts::default()),
            };
            if !seen.is_some_and(|seen| Arc::ptr_eq(&seen, plugin)) {
                counts.look(plugin);
            }
            self.plugins.insert(plugin.name.clone(), (plugin.clone(), counts));
        }
    }

    /// All plugins, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&LivePlugin, &Counts)> {
        self.plugins.values().map(|(plugin, counts)| (&**plugin, counts))
    }
}

impl Counts {
    fn look(&mut self, plugin: &LivePlugin) {
        let counted = self.candidate;
        for build in plugin.builds.iter().filter(|build| build.generation > counted) {
            self.count(build);
        }
        self.candidate = plugin.builds.iter().map(|build| build.generation).fold(self.candidate, u64::max);
        let serving = plugin.serving.as_ref().map(|serving| serving.generation);
        if let Some(generation) = serving.filter(|generation| *generation > self.served) {
            self.swaps += 1;
            self.served = generation;
        }
        let draining = plugin.draining.iter().map(|draining| draining.generation);
        let pinned = plugin.pinned.iter().map(|pinned| pinned.generation);
        let there: BTreeSet<_> = serving.into_iter().chain(draining).chain(pinned).collect();
        self.drains += self.there.difference(&there).count() as u64;
        self.there = there;
    }

    fn count(&mut self, build: &BuildView) {
        let took = |stage| build.stages.milliseconds(stage).map(|took| Duration::from_secs_f64(took / 1e3));
        let failed_at = build.failed.as_ref().map(|failed| failed.stage);
        if let Some(took) = took("build") {
            self.builds += 1;
            self.building += took;
            self.failed_builds += u64::from(failed_at == Some(Stage::Build));
        } else if failed_at == Some(Stage::Build) {
            self.builds += 1;
            self.failed_builds += 1;
        }
        if took("load").is_some() || failed_at == Some(Stage::Load) {
            self.loads += 1;
            self.failed_loads += u64::from(failed_at == Some(Stage::Load));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::tests::view;
    use camlock_policy::{FailureView, Kind, PluginView};
    use std::time::SystemTime;

    fn build(generation: u64, stages: &[(&'static str, u64)], failed: Option<Stage>) -> Arc<BuildView> {
        Arc::new(BuildView {
            generation,
            began: SystemTime::UNIX_EPOCH.into(),
            stages: stages.iter().map(|(stage, seconds)| (*stage, Duration::from_secs(*seconds))).collect(),
            artifact: None,
            version: None,
            failed: failed.map(|stage| FailureView {
                generation,
                stage,
                reason: "it failed".to_owned(),
                at: SystemTime::UNIX_EPOCH.into(),
                diagnostics: Vec::new(),
            }),
        })
    }

    /// The plugin serves as generation 3; 2 drains, 1 is pinned.
    fn overview(builds: Vec<Arc<BuildView>>, change: impl FnOnce(&mut PluginView)) -> Overview {
        let mut plugin = view();
        change(&mut plugin);
        let mut live = LivePlugin::new(plugin, Some(Kind::Crate), BTreeMap::new());
        live.builds = builds;
        Overview { plugins: vec![Arc::new(live)], ..Overview::default() }
    }

    #[test]
    fn everything_is_counted_once() {
        let mut tally = Tally::default();
        let counted = |tally: &Tally| tally.all().next().map(|(_, counts)| counts.clone()).unwrap();
        let first = build(3, &[("build", 2), ("verify", 1), ("load", 1)], None);
        let begun = overview(vec![first.clone()], |_| {});
        tally.look(&begun);
        tally.look(&begun);
        let expected = Counts {
            builds: 1,
            building: Duration::from_secs(2),
            loads: 1,
            swaps: 1,
            candidate: 3,
            served: 3,
            there: [1, 2, 3].into(),
            ..Counts::default()
        };
        assert_eq!(counted(&tally), expected);
        let broken = build(4, &[("build", 3)], Some(Stage::Build));
        let recalled = build(5, &[("verify", 1), ("load", 1)], Some(Stage::Load));
        tally.look(&overview(vec![recalled, broken, first.clone()], |plugin| plugin.draining.clear()));
        let expected = Counts {
            builds: 2,
            failed_builds: 1,
            building: Duration::from_secs(5),
            loads: 2,
            failed_loads: 1,
            drains: 1,
            candidate: 5,
            there: [1, 3].into(),
            ..expected
        };
        assert_eq!(counted(&tally), expected);
        tally.look(&Overview::default());
        assert_eq!(tally.all().count(), 0);
    }
}
