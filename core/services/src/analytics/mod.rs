//! How plugins are used, over time: looked at every few seconds, kept in a small fixed space for a year, judged by rules.
//!
//! Minutes are kept for hours, hours for days, days for a year; what each generation came to beside them, so that one can be held against
//! the one before. A server that is killed loses what was counted since it last wrote, a minute at most. What must not live here: what is
//! counted (whoever looks says that), and how it is shown.

mod measures;
mod postgres;
mod reading;
mod recorder;
mod rules;
mod sqlite;
mod store;
mod tiers;

pub use measures::{Counter, Gauge, Measures};
pub use recorder::PluginSample;

pub(crate) use sqlite::TABLES as SQLITE_TABLES;

use crate::data::PluginData;
use camlock_policy::{
    Analytics, AnalyticsQuery, AnalyticsView, AskError, BoxFuture, LivePlugin, Overview, PluginProblemView,
    ProblemRule, Stage, UtcTime,
};
use parking_lot::Mutex;
use reading::{seconds, tell};
use recorder::Recorder;
use rules::{FoundProblem, PluginEvidence, judge};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use store::{AnalyticsStore, PageKey, StoredPage};
use tiers::Tier;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// How often plugins are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How often what was counted is written.
const WRITE: Duration = Duration::from_secs(60);
/// How often what is too old is removed.
const SWEEP: Duration = Duration::from_secs(3600);

/// How all plugins are now.
pub type Sampler = Arc<dyn Fn() -> BTreeMap<Arc<str>, PluginSample> + Send + Sync>;

/// The use of plugins. Cheap to clone.
#[derive(Clone)]
pub struct PluginAnalytics(Arc<AnalyticsParts>);

struct AnalyticsParts {
    store: AnalyticsStore,
    sampler: Mutex<Option<Sampler>>,
    recorder: Mutex<Recorder>,
    problems: Mutex<BTreeMap<(String, ProblemRule), PluginProblemView>>,
    /// One writes at a time.
    writing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for PluginAnalytics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PluginAnalytics").field("store", &self.0.store).finish_non_exhaustive()
    }
}

/// A problem that was not there before, or that is over.
#[derive(Clone, Debug, PartialEq)]
pub enum ProblemChange {
    Begun(PluginProblemView),
    Over(PluginProblemView),
}

/// What of a plugin is looked at as soon as it is another: what serves, since when it is unwell, how many cannot leave.
type Activity = Vec<(Option<u64>, Option<UtcTime>, usize)>;

fn activity(overview: &Overview) -> Activity {
    let mark = |plugin: &Arc<LivePlugin>| {
        let unwell = plugin.failed.as_ref().filter(|failed| failed.stage == Stage::Health).map(|failed| failed.at);
        (plugin.serving.as_ref().map(|serving| serving.generation), unwell, plugin.pinned.len())
    };
    overview.plugins.iter().map(mark).collect()
}

impl PluginAnalytics {
    /// Kept there, under this server's name.
    pub fn new(data: PluginData, node: &str) -> Self {
        PluginAnalytics(Arc::new(AnalyticsParts {
            store: AnalyticsStore { data, node: node.into() },
            sampler: Mutex::default(),
            recorder: Mutex::default(),
            problems: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }))
    }

    /// Looks at plugins for as long as there are overviews, and tells which problems begin and end.
    pub async fn keep(
        self,
        sampler: Sampler,
        mut overview: watch::Receiver<Arc<Overview>>,
        mut told: impl FnMut(ProblemChange),
    ) {
        *self.0.sampler.lock() = Some(sampler);
        let (mut write_at, mut sweep_at) = (Instant::now() + WRITE, Instant::now());
        let (mut look_at, mut before) = (Instant::now() + LOOK, Activity::new());
        loop {
            if matches!(timeout_at(look_at, overview.changed()).await, Ok(Err(_))) {
                return;
            }
            let seen = overview.borrow_and_update().clone();
            let active = activity(&seen);
            if active == before && Instant::now() < look_at {
                continue;
            }
            // At once: what comes from now on is another generation's.
            (look_at, before) = (Instant::now() + LOOK, active);
            let now = SystemTime::now();
            self.look(now);
            self.judge(&seen, now).into_iter().for_each(&mut told);
            if Instant::now() < write_at || self.0.recorder.lock().is_written() {
                continue;
            }
            write_at = Instant::now() + WRITE;
            if let Err(error) = self.write(now).await {
                tracing::debug!("the use of plugins was not written for now: {}", error.message);
            } else if Instant::now() >= sweep_at {
                sweep_at = Instant::now() + SWEEP;
                if let Err(error) = self.0.store.sweep(seconds(now)).await {
                    tracing::debug!("the use of plugins of long ago was not removed: {}", error.message);
                }
            }
        }
    }

    /// Counts what happened until now.
    fn look(&self, now: SystemTime) {
        let Some(sampler) = self.0.sampler.lock().clone() else { return };
        // One looks at a time: what was counted never goes back.
        let mut recorder = self.0.recorder.lock();
        recorder.look(sampler(), seconds(now));
    }

    /// Holds plugins against the rules.
    fn judge(&self, overview: &Overview, now: SystemTime) -> Vec<ProblemChange> {
        let mut found: BTreeMap<(String, ProblemRule), FoundProblem> = BTreeMap::new();
        for plugin in &overview.plugins {
            let pinned = plugin.pinned.iter().map(|pinned| (pinned.generation, pinned.reason.clone())).collect();
            let recorder = self.0.recorder.lock();
            let evidence = PluginEvidence {
                serving: plugin.serving.as_ref().map(|serving| serving.generation),
                generations: recorder.points(&plugin.name, Tier::Generations),
                minutes: recorder.points(&plugin.name, Tier::Minutes),
                pinned,
                now: seconds(now),
            };
            drop(recorder);
            found.extend(judge(&evidence).into_iter().map(|problem| ((plugin.name.clone(), problem.rule), problem)));
        }
        let mut problems = self.0.problems.lock();
        let mut changes = Vec::new();
        let mut before = std::mem::take(&mut *problems);
        for ((plugin, rule), FoundProblem { what, evidence, recommendation, act, .. }) in found {
            let known = before.remove(&(plugin.clone(), rule));
            let since = known.as_ref().map_or_else(|| now.into(), |known| known.since);
            let view = PluginProblemView { plugin: plugin.clone(), rule, since, what, evidence, recommendation, act };
            if known.is_none() {
                changes.push(ProblemChange::Begun(view.clone()));
            }
            problems.insert((plugin, rule), view);
        }
        changes.extend(before.into_values().map(ProblemChange::Over));
        changes
    }

    /// Writes what was counted until now.
    pub async fn flush(&self) -> Result<(), AskError> {
        let now = SystemTime::now();
        self.look(now);
        if self.0.recorder.lock().is_written() { Ok(()) } else { self.write(now).await }
    }

    async fn write(&self, now: SystemTime) -> Result<(), AskError> {
        let _writing = self.0.writing.lock().await;
        let now = seconds(now);
        if !self.0.recorder.lock().restored {
            let own = self.0.store.own(now).await?;
            self.0.recorder.lock().restore(own);
        }
        let unwritten = self.0.recorder.lock().unwritten();
        let (pages, marks): (Vec<_>, Vec<_>) =
            unwritten.into_iter().map(|(key, packed, changes)| ((key.clone(), packed), (key, changes))).unzip();
        let written = self.0.store.write(pages).await;
        self.0.recorder.lock().written(if written.is_ok() { &marks } else { &[] }, now);
        written
    }

    /// Forgets how a plugin was used.
    pub async fn purge(&self, plugin: &Arc<str>) -> Result<(), AskError> {
        let _writing = self.0.writing.lock().await;
        self.look(SystemTime::now());
        self.0.recorder.lock().forget(plugin);
        self.0.store.purge(plugin).await
    }

    async fn view_of(&self, plugin: &Arc<str>, query: AnalyticsQuery) -> Result<AnalyticsView, AskError> {
        let stored = self.0.store.of_plugin(plugin).await?;
        let now = SystemTime::now();
        self.look(now);
        let recorder = self.0.recorder.lock();
        let mut pages: BTreeMap<(String, Tier, u64), StoredPage> = BTreeMap::new();
        for page in stored {
            pages.insert((page.node.clone(), page.key.tier, page.key.page), page);
        }
        // What is here is newer than what is written of it.
        let node = &self.0.store.node;
        for ((tier, page), points) in recorder.pages(plugin) {
            let place = (node.to_string(), tier, page);
            let known = pages.entry(place).or_insert_with(|| StoredPage {
                key: PageKey { plugin: plugin.clone(), tier, page },
                node: node.to_string(),
                points: BTreeMap::new(),
            });
            if recorder.restored {
                known.points = points;
            } else {
                points.iter().for_each(|(at, more)| known.points.entry(*at).or_default().join(more));
            }
        }
        drop(recorder);
        let pages: Vec<_> = pages.into_values().collect();
        Ok(tell(plugin, &pages, query, seconds(now)))
    }
}

impl Analytics for PluginAnalytics {
    fn read(&self, plugin: &str, query: AnalyticsQuery) -> BoxFuture<Result<AnalyticsView, AskError>> {
        let (analytics, plugin) = (self.clone(), Arc::from(plugin));
        Box::pin(async move { analytics.view_of(&plugin, query).await })
    }

    fn problems(&self) -> Vec<PluginProblemView> {
        self.0.problems.lock().values().cloned().collect()
    }
}
