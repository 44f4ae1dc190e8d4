//! Following events without a handler: by a plugin at run time, and by operators. What must not live here: how it crosses.

use super::{EventListener, EventQueue, PluginEvents, record::SharedEvent, wire::MOST_BYTES, wire::MOST_EVENTS};
use camlock_policy::{AskError, AskErrorCode, SubscriptionState, SubscriptionView, TopicPattern};
use std::sync::{Arc, atomic::Ordering};

/// So many streams a plugin may have open at once.
const MOST_STREAMS: usize = 100;

/// Who follows, as operators see it.
pub(super) struct StreamSeat {
    /// None: an operator.
    pub(super) plugin: Option<Arc<str>>,
    pub(super) pattern: TopicPattern,
    pub(super) queue: Arc<EventQueue>,
}

/// Events as they come. Whoever reads slowly misses the oldest.
pub struct EventFollower {
    seat: Arc<StreamSeat>,
    events: PluginEvents,
}

impl Drop for EventFollower {
    fn drop(&mut self) {
        self.seat.queue.close();
        if let Some(plugin) = &self.seat.plugin {
            self.events.0.meters.of(plugin).dropped.fetch_add(self.seat.queue.dropped(), Ordering::Relaxed);
        }
        self.events.0.hub.forget_closed();
    }
}

impl EventFollower {
    /// The next events, at least one. They may be waited for as long as it takes.
    pub async fn next(&mut self) -> Vec<SharedEvent> {
        let mut events = Vec::new();
        while events.is_empty() && self.seat.queue.some().await {
            self.seat.queue.take(MOST_EVENTS, MOST_BYTES, &mut events);
        }
        events
    }

    /// So many were missed.
    pub fn dropped(&self) -> u64 {
        self.seat.queue.dropped()
    }

    pub(super) fn pattern(&self) -> &TopicPattern {
        &self.seat.pattern
    }
}

impl StreamSeat {
    pub(super) fn view(&self) -> Option<SubscriptionView> {
        let plugin = self.plugin.as_ref()?;
        Some(SubscriptionView {
            id: format!("{plugin}:stream:{}", self.pattern),
            plugin: plugin.to_string(),
            pattern: self.pattern.to_string(),
            durable: false,
            deliver: None,
            node: None,
            state: SubscriptionState::Active,
            reason: None,
            waiting: self.queue.len() as u64,
            delivered: 0,
            failed: 0,
            dropped: self.queue.dropped(),
            dead: 0,
            position: None,
        })
    }
}

impl PluginEvents {
    /// Follows events of these topics, from now on, for a plugin or for an operator.
    pub fn follow_topics(&self, plugin: Option<&Arc<str>>, pattern: TopicPattern) -> Result<EventFollower, AskError> {
        let queue = Arc::new(EventQueue::new(self.0.limits));
        let seat = Arc::new(StreamSeat { plugin: plugin.cloned(), pattern: pattern.clone(), queue: queue.clone() });
        {
            let mut streams = self.0.streams.lock();
            streams.retain(|stream| stream.strong_count() > 0);
            let own =
                streams.iter().filter(|stream| stream.upgrade().is_some_and(|seat| seat.plugin.as_ref() == plugin));
            if plugin.is_some() && own.count() >= MOST_STREAMS {
                let told = format!("the plugin follows {MOST_STREAMS} patterns already");
                return Err(AskError::new(AskErrorCode::Limit, told));
            }
            streams.push(Arc::downgrade(&seat));
        }
        self.0.hub.listen(Arc::new(EventListener { pattern, queue }));
        Ok(EventFollower { seat, events: self.clone() })
    }
}
