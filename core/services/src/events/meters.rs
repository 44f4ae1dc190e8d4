//! What is counted of events, by plugin. What must not live here: what is shown of it.

use camlock_policy::EventCounts;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Of one plugin, whatever its generation.
#[derive(Debug, Default)]
pub(super) struct EventMeter {
    pub(super) emitted: AtomicU64,
    /// Emissions that were refused because too many events led to them.
    pub(super) loops: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) failed: AtomicU64,
    /// Of subscriptions that are gone; those that are there count themselves.
    pub(super) dropped: AtomicU64,
}

/// By plugin. They are kept as long as the server runs.
#[derive(Debug, Default)]
pub(super) struct EventMeters(Mutex<HashMap<Arc<str>, Arc<EventMeter>>>);

impl EventMeters {
    pub(super) fn of(&self, plugin: &Arc<str>) -> Arc<EventMeter> {
        let mut by_plugin = self.0.lock();
        match by_plugin.get(plugin) {
            Some(meter) => meter.clone(),
            None => {
                let meter = Arc::<EventMeter>::default();
                by_plugin.insert(plugin.clone(), meter.clone());
                meter
            }
        }
    }

    pub(super) fn counts(&self) -> BTreeMap<String, EventCounts> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = |meter: &EventMeter| EventCounts {
            emitted: read(&meter.emitted),
            loops: read(&meter.loops),
            delivered: read(&meter.delivered),
            failed: read(&meter.failed),
            dropped: read(&meter.dropped),
            waiting: 0,
            dead: 0,
        };
        self.0.lock().iter().map(|(plugin, meter)| (plugin.to_string(), counts(meter))).collect()
    }
}
