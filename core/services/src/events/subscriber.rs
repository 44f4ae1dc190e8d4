//! One subscription of a plugin to events in memory, and what brings them to it. What must not live here: who else hears of them.

use super::{
    bring::{BatchSize, Brought, bring},
    meters::EventMeter,
    queue::EventQueue,
    wire::MOST_BYTES,
};
use camlock_policy::{Deliver, Subscription, SubscriptionState, SubscriptionView};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// So long it is waited for a plugin that does not serve for now.
const AGAIN: Duration = Duration::from_millis(250);

/// A subscription, and what was counted of it.
pub(super) struct MemorySubscriber {
    pub(super) plugin: Arc<str>,
    pub(super) wanted: Subscription,
    pub(super) queue: Arc<EventQueue>,
    pub(super) meter: Arc<EventMeter>,
    paused: watch::Sender<bool>,
    delivered: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

/// A subscription's id: the plugin, and its name among the plugin's.
pub(super) fn subscription_id(plugin: &str, name: &str) -> String {
    format!("{plugin}:{name}")
}

impl MemorySubscriber {
    pub(super) fn new(plugin: Arc<str>, wanted: Subscription, queue: EventQueue, meter: Arc<EventMeter>) -> Self {
        MemorySubscriber {
            plugin,
            wanted,
            queue: Arc::new(queue),
            meter,
            paused: watch::channel(false).0,
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_failure: Mutex::default(),
        }
    }

    pub(super) fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    pub(super) fn view(&self) -> SubscriptionView {
        let is_paused = *self.paused.borrow();
        let state = if is_paused { SubscriptionState::Paused } else { SubscriptionState::Active };
        let reason =
            if is_paused { Some("an operator paused it".to_owned()) } else { self.last_failure.lock().clone() };
        SubscriptionView {
            id: subscription_id(&self.plugin, &self.wanted.name),
            plugin: self.plugin.to_string(),
            pattern: self.wanted.pattern.to_string(),
            durable: false,
            deliver: None,
            node: None,
            state,
            reason,
            waiting: self.queue.len() as u64,
            delivered: self.delivered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dropped: self.queue.dropped(),
            dead: 0,
            position: None,
        }
    }

    fn count(&self, delivered: usize, failed: usize, why: Option<String>) {
        for (counted, count) in [
            (&self.delivered, delivered),
            (&self.meter.delivered, delivered),
            (&self.failed, failed),
            (&self.meter.failed, failed),
        ] {
            counted.fetch_add(count as u64, Ordering::Relaxed);
        }
        if let Some(why) = why {
            let id = subscription_id(&self.plugin, &self.wanted.name);
            tracing::debug!(plugin = &*self.plugin, subscription = id, "events were not handled: {why}");
            *self.last_failure.lock() = Some(why);
        }
    }
}

impl Drop for MemorySubscriber {
    fn drop(&mut self) {
        self.meter.dropped.fetch_add(self.queue.dropped(), Ordering::Relaxed);
    }
}

/// Brings what comes, batch by batch, until the queue is closed.
pub(super) async fn pump(subscriber: Arc<MemorySubscriber>, deliver: Arc<dyn Deliver>) {
    let (mut taken, mut batch, mut size) = (Vec::new(), Vec::new(), BatchSize::default());
    let mut paused = subscriber.paused.subscribe();
    let names = (&*subscriber.plugin, &*subscriber.wanted.name);
    while subscriber.queue.some().await && !subscriber.queue.is_closed() {
        if paused.wait_for(|paused| !paused).await.is_err() {
            return;
        }
        subscriber.queue.take(size.most(), MOST_BYTES, &mut taken);
        batch.extend(taken.iter().map(|event| (event.clone(), 0, 1)));
        let brought = bring(&*deliver, names, &batch, false, &mut size).await;
        batch.clear();
        let all = taken.len();
        match brought {
            Brought::Handled(failures) => {
                let failed = failures.len().min(all);
                subscriber.count(all - failed, failed, failures.into_iter().next_back().map(|failure| failure.reason));
            }
            Brought::NotServing => {
                subscriber.queue.put_back(&mut taken);
                tokio::time::sleep(AGAIN).await;
            }
            Brought::Left => subscriber.count(0, all, Some("the plugin's generation had to go".to_owned())),
            Brought::NotTaken => subscriber.count(0, all, Some("the plugin has no `event`".to_owned())),
            Brought::Broken(why) => subscriber.count(0, all, Some(why)),
        }
        taken.clear();
    }
}
