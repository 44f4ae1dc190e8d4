//! What is counted of a plugin's asks. What must not live here: what is shown of it.

use crate::rate::{Allowance, AskLimits};
use camlock_policy::{AskCounts, AskError, AskErrorCode};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// Of one plugin, whatever its generation.
pub(crate) struct AskMeter {
    asks: AtomicU64,
    errors: [AtomicU64; AskErrorCode::ALL.len()],
    left: Mutex<(Allowance, Allowance)>,
}

impl AskMeter {
    fn new(limits: AskLimits, now: Instant) -> Self {
        let left = Mutex::new((Allowance::new(limits.asks, now), Allowance::new(limits.bytes, now)));
        AskMeter { asks: AtomicU64::new(0), errors: Default::default(), left }
    }

    /// Counts an ask of so many bytes, unless it is one too many.
    pub(crate) fn admit(&self, bytes: u64, now: Instant) -> Result<(), AskError> {
        self.asks.fetch_add(1, Ordering::Relaxed);
        let mut left = self.left.lock();
        let (asks, all_bytes) = &mut *left;
        asks.take(1, now).and_then(|()| all_bytes.take(bytes, now)).map_err(|wait| {
            let wait = wait.as_millis();
            AskError::new(AskErrorCode::Limit, format!("the plugin asks for too much: try again in {wait} ms"))
        })
    }

    pub(crate) fn failed(&self, code: AskErrorCode) {
        let place = AskErrorCode::ALL.iter().position(|known| *known == code);
        if let Some(errors) = place.and_then(|place| self.errors.get(place)) {
            errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counts(&self) -> AskCounts {
        AskCounts {
            asks: self.asks.load(Ordering::Relaxed),
            errors: self.errors.each_ref().map(|errors| errors.load(Ordering::Relaxed)),
            ..AskCounts::default()
        }
    }
}

/// By plugin. They are kept as long as the server runs: a plugin that comes back goes on where it was.
pub(crate) struct AskMeters {
    limits: AskLimits,
    by_plugin: Mutex<HashMap<Arc<str>, Arc<AskMeter>>>,
}

impl AskMeters {
    pub(crate) fn new(limits: AskLimits) -> Self {
        AskMeters { limits, by_plugin: Mutex::default() }
    }

    pub(crate) fn of(&self, plugin: &Arc<str>, now: Instant) -> Arc<AskMeter> {
        let mut by_plugin = self.by_plugin.lock();
        match by_plugin.get(plugin) {
            Some(meter) => meter.clone(),
            None => {
                let meter = Arc::new(AskMeter::new(self.limits, now));
                by_plugin.insert(plugin.clone(), meter.clone());
                meter
            }
        }
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, AskCounts> {
        self.by_plugin.lock().iter().map(|(plugin, meter)| (plugin.to_string(), meter.counts())).collect()
    }
}
