//! Who is being served beside one plugin: by what is counted of requests. What must not live here: what follows from it.

use camlock_http::Meters;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// It is looked so often.
const EVERY: Duration = Duration::from_millis(100);

/// Whoever got an answer within this time is being served.
const LATELY: Duration = Duration::from_secs(1);

/// What was seen of requests.
pub(crate) struct Bystanders {
    meters: Meters,
    seen: Mutex<Seen>,
}

struct Seen {
    at: Option<Instant>,
    /// How much was counted of each plugin, and when that last became more.
    each: HashMap<Arc<str>, (u64, Option<Instant>)>,
    /// The two that were served last: one of them is somebody else, whoever asks.
    last: Vec<(Arc<str>, Instant)>,
}

impl Bystanders {
    pub(crate) fn new(meters: Meters) -> Self {
        Bystanders { meters, seen: Mutex::new(Seen { at: None, each: HashMap::new(), last: Vec::new() }) }
    }

    /// Whether anybody but this plugin was served lately.
    pub(crate) fn are_there(&self, plugin: &str, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.is_none_or(|at| now.saturating_duration_since(at) >= EVERY) {
            seen.look(&self.meters, now);
        }
        seen.last.iter().any(|(other, at)| **other != *plugin && now.saturating_duration_since(*at) < LATELY)
    }
}

impl Seen {
    fn look(&mut self, meters: &Meters, now: Instant) {
        let before = std::mem::take(&mut self.each);
        let first = self.at.replace(now).is_none();
        for (plugin, meter) in meters.all() {
            let count = meter.requests();
            let (counted, at) = before.get(&plugin).copied().unwrap_or_default();
            let at = if count > counted && !first { Some(now) } else { at };
            self.each.insert(plugin, (count, at));
        }
        let mut last: Vec<_> =
            self.each.iter().filter_map(|(plugin, (_, at))| Some((plugin.clone(), (*at)?))).collect();
        last.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        last.truncate(2);
        self.last = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn who_was_served_lately_is_there() {
        let meters = Meters::default();
        let bystanders = Bystanders::new(meters.clone());
        let begin = Instant::now();
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let serve = |plugin| meters.of(plugin).answered(StatusCode::OK, Duration::from_millis(1));
        serve("old");
        assert!(!bystanders.are_there("flood", begin), "nobody knows how long ago that was");
        serve("flood");
        assert!(!bystanders.are_there("flood", at(100)), "it is no other");
        assert!(bystanders.are_there("other", at(150)));
        serve("shop");
        serve("flood");
        assert!(!bystanders.are_there("flood", at(150)), "it is not looked so often");
        assert!(bystanders.are_there("flood", at(200)));
        assert!(bystanders.are_there("flood", at(1_100)));
        assert!(!bystanders.are_there("flood", at(1_300)), "that was a while ago");
        serve("old");
        assert!(bystanders.are_there("flood", at(1_400)));
    }
}
