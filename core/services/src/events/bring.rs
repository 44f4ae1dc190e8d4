//! Bringing a batch of events to a plugin, and what came of it. What must not live here: which events, and what is done with those
//! that failed.

use super::{
    record::SharedEvent,
    wire::{HandlerFailure, MOST_EVENTS, begin_batch, put_event, read_failures, size_in_batch},
};
use camlock_policy::{Deliver, Delivered, Delivery, Undelivered};
use http_body_util::{BodyExt, Limited};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// A batch may take so long, and so much more for each event in it.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(2));

/// What a plugin says of a batch is so long at most.
const LONGEST_ANSWER: usize = 4 << 20;

/// An event, where it stands, and how often it is tried with this.
pub(super) type Attempted = (SharedEvent, u64, u32);

/// What came of a batch.
#[derive(Debug)]
pub(super) enum Brought {
    /// Its handlers ran, but for those that failed, or that were not tried after one that did.
    Handled(Vec<HandlerFailure>),
    /// None of the plugin's code ran.
    NotServing,
    /// Its generation had to go: some of its handlers may have run.
    Left,
    /// It is not known which of its handlers ran, and why.
    Broken(String),
    /// The plugin takes no events.
    NotTaken,
}

/// How large batches are: small ones for a plugin that takes long.
#[derive(Debug)]
pub(super) struct BatchSize(usize);

impl Default for BatchSize {
    fn default() -> Self {
        BatchSize(16)
    }
}

impl BatchSize {
    pub(super) fn most(&self) -> usize {
        self.0
    }

    /// It is to be one event for now.
    pub(super) fn shrink(&mut self) {
        self.0 = 1;
    }

    fn took(&mut self, time: Duration) {
        if time < Duration::from_millis(500) {
            self.0 = (self.0 * 2).min(MOST_EVENTS);
        } else if time > Duration::from_secs(5) {
            self.0 = (self.0 / 2).max(1);
        }
    }
}

/// Brings these to whatever serves of the plugin. If they are to stay `in_order`, none is tried after one that failed.
pub(super) async fn bring(
    deliver: &dyn Deliver,
    (plugin, subscription): (&str, &str),
    events: &[Attempted],
    in_order: bool,
    size: &mut BatchSize,
) -> Brought {
    let bytes = events.iter().map(|(event, ..)| size_in_batch(event)).sum();
    let mut batch = begin_batch(subscription, in_order, bytes);
    for (event, position, attempt) in events {
        put_event(event, *position, *attempt, &mut batch);
    }
    let trace_id = events.first().map_or([0; 16], |(event, ..)| event.trace_id);
    let delivering = deliver.deliver(plugin, Delivery::new("/events/1", batch.freeze(), trace_id));
    let patience = PATIENCE.0 + PATIENCE.1 * u32::try_from(events.len()).unwrap_or(u32::MAX);
    let begun = Instant::now();
    let done = timeout(patience, delivering).await;
    size.took(begun.elapsed());
    match done {
        Ok(Ok(delivered)) => read(delivered).await,
        Ok(Err(Undelivered::NotServing(_))) => Brought::NotServing,
        Ok(Err(Undelivered::Leaving)) => Brought::Left,
        Ok(Err(other)) => Brought::Broken(other.to_string()),
        Err(_) => Brought::Broken(format!("it did not end within {} s", patience.as_secs())),
    }
}

async fn read(delivered: Delivered) -> Brought {
    let (head, body) = delivered.response.into_parts();
    let read = timeout(PATIENCE.0, Limited::new(body, LONGEST_ANSWER).collect()).await;
    let told = match read {
        Ok(Ok(told)) => told.to_bytes(),
        Ok(Err(error)) => return Brought::Broken(format!("what the plugin says of events broke off: {error}")),
        Err(_) => return Brought::Broken("what the plugin says of events did not come to its end".to_owned()),
    };
    match head.status.as_u16() {
        200 => read_failures(told).map_or_else(Brought::Broken, Brought::Handled),
        404 => Brought::NotTaken,
        status => Brought::Broken(format!("the plugin answered {status}: {}", String::from_utf8_lossy(&told))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_long_is_brought_little() {
        let mut size = BatchSize::default();
        for _ in 0..10 {
            size.took(Duration::from_millis(1));
        }
        assert_eq!(size.most(), MOST_EVENTS);
        size.took(Duration::from_secs(2));
        assert_eq!(size.most(), MOST_EVENTS);
        for _ in 0..10 {
            size.took(Duration::from_secs(6));
        }
        assert_eq!(size.most(), 1);
    }
}
