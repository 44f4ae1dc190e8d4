//! What is counted of plugins in all places, as one sample of each: what their use is made of. Problems that are found become events of
//! `camlock.plugin.NAME.problem`. What must not live here: what is kept of it, and the rules.

use crate::tasks::OperatorsTasks;
use camlock_admin::AsksCounted;
use camlock_http::{CLASSES, Meters};
use camlock_policy::{EventControl, ExecutionStatus, Executions, Manager, QueuedTasks, Stage};
use camlock_services::{
    analytics::{Counter, Gauge, Measures, PluginAnalytics, PluginSample, ProblemChange},
    events::PluginEvents,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Where it is counted.
pub(crate) struct CountedPlaces {
    pub(crate) manager: Manager,
    pub(crate) meters: Meters,
    pub(crate) asks: AsksCounted,
    pub(crate) executions: Arc<dyn Executions>,
    pub(crate) events: PluginEvents,
    pub(crate) tasks: OperatorsTasks,
}

/// Looks at plugins from now on, and emits what is found to be wrong.
pub(crate) async fn follow(analytics: PluginAnalytics, counted: CountedPlaces) {
    let (overview, events) = (counted.manager.watch(), counted.events.clone());
    let told = move |change| {
        let (state, problem) = match &change {
            ProblemChange::Begun(problem) => ("begun", problem),
            ProblemChange::Over(problem) => ("over", problem),
        };
        let payload = json!({
            "rule": problem.rule, "state": state, "what": problem.what, "evidence": problem.evidence,
            "recommendation": problem.recommendation, "act": problem.act, "since": problem.since,
        });
        events.emit_of_host(&format!("camlock.plugin.{}.problem", problem.plugin), payload.to_string().as_bytes());
    };
    analytics.keep(Arc::new(move || counted.samples()), overview, told).await;
}

impl CountedPlaces {
    /// All plugins that there are, as they are now.
    fn samples(&self) -> BTreeMap<Arc<str>, PluginSample> {
        let mut samples: BTreeMap<Arc<str>, PluginSample> = BTreeMap::new();
        for plugin in &self.manager.overview().plugins {
            let unwell = plugin.failed.as_ref().filter(|failed| failed.stage == Stage::Health);
            let mut measures = Measures::default();
            measures.set(Gauge::Memory, plugin.memory().unwrap_or(0));
            let left = plugin.serving.as_ref().and_then(|serving| serving.left_behind_bytes);
            measures.set(Gauge::LeftBehind, left.unwrap_or(0));
            let sample = PluginSample {
                measures,
                generation: plugin.serving.as_ref().map(|serving| serving.generation),
                unwell: unwell.map(|failed| milliseconds(failed.at.system())),
            };
            samples.insert(plugin.name.as_str().into(), sample);
        }
        let mut with = |plugin: &str, count: &dyn Fn(&mut Measures)| {
            if let Some(sample) = samples.get_mut(plugin) {
                count(&mut sample.measures);
            }
        };
        for (plugin, meter) in self.meters.all() {
            with(&plugin, &|measures| of_requests(&meter, measures));
        }
        for (plugin, counts) in (self.asks)() {
            with(&plugin, &|measures| {
                measures.add(Counter::Asks, counts.asks);
                measures.add(Counter::AskErrors, counts.errors.iter().sum());
            });
        }
        for (plugin, counts) in self.executions.counts() {
            with(&plugin, &|measures| {
                let all: u64 = counts.ended.iter().sum();
                let well = ExecutionStatus::ALL.iter().position(|status| *status == ExecutionStatus::Success);
                measures.add(Counter::Executions, all);
                measures.add(Counter::FailedExecutions, all - well.map_or(0, |well| counts.ended[well]));
            });
        }
        for (plugin, counts) in EventControl::counts(&self.events) {
            with(&plugin, &|measures| {
                measures.add(Counter::EventsEmitted, counts.emitted);
                measures.add(Counter::EventsDelivered, counts.delivered);
                measures.add(Counter::EventsFailed, counts.failed);
                measures.add(Counter::EventsDropped, counts.dropped);
                measures.set(Gauge::EventsWaiting, counts.waiting);
            });
        }
        for (plugin, counts) in self.tasks.counts() {
            with(&plugin, &|measures| {
                measures.add(Counter::TasksDone, counts.done);
                measures.add(Counter::TasksFailed, counts.failed);
                measures.set(Gauge::TasksWaiting, counts.waiting);
            });
        }
        samples
    }
}

fn of_requests(meter: &camlock_http::Meter, measures: &mut Measures) {
    for class in 0..CLASSES {
        let counted = meter.class(class);
        let all: u64 = counted.buckets.iter().sum();
        measures.add(Counter::Requests, all);
        match class + 1 {
            4 => measures.add(Counter::ClientErrors, all),
            5 => measures.add(Counter::Errors, all),
            _ => {}
        }
        counted.buckets.iter().enumerate().for_each(|(bucket, times)| measures.add_latency(bucket, *times));
    }
    measures.add(Counter::Abandoned, meter.all_left());
    measures.add(Counter::Panics, meter.panics());
}

fn milliseconds(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
