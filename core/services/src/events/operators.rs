//! Events, as operators and the program around the host see them. What must not live here: what is done with events.

use super::{
    DurableEvents, EmittedEvent, Emitter, EventRecord, HeldSubscription, MemorySubscriber, PluginEvents,
    subscription_id,
};
use camlock_policy::{
    AskError, AskErrorCode, BoxFuture, DeadEventView, Emission, EventControl, EventCounts, EventView,
    SubscriptionState, SubscriptionView,
};
use data_encoding::{BASE64, HEXLOWER};
use std::{
    collections::BTreeMap,
    future::ready,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use tokio::sync::mpsc;

/// So many events wait for a client on their way to it; more wait in its queue.
const ON_THEIR_WAY: usize = 64;

/// What an event says, for people: JSON, or a text of bytes in base64.
pub(super) fn shown_payload(payload: &[u8]) -> serde_json::Value {
    serde_json::from_slice(payload).unwrap_or_else(|_| BASE64.encode(payload).into())
}

fn shown(event: &EventRecord) -> EventView {
    EventView {
        topic: event.topic.to_string(),
        payload: shown_payload(event.payload()),
        at: (UNIX_EPOCH + Duration::from_micros(event.at)).into(),
        trace_id: HEXLOWER.encode(&event.trace_id),
        depth: event.depth,
    }
}

impl PluginEvents {
    fn memory_subscriber(&self, id: &str) -> Result<Arc<MemorySubscriber>, AskError> {
        match self.0.subscriptions.lock().get(id) {
            Some(HeldSubscription::Granted(subscriber)) => Ok(subscriber.clone()),
            Some(HeldSubscription::Denied(..)) => {
                Err(AskError::new(AskErrorCode::Conflict, format!("`{id}` is not granted: nothing is brought to it")))
            }
            _ => Err(AskError::new(AskErrorCode::NotFound, format!("there is no subscription `{id}`"))),
        }
    }

    /// Where a durable subscription is, if this can be one.
    fn kept(&self, id: &str) -> Result<DurableEvents, AskError> {
        match self.memory_subscriber(id) {
            Ok(_) => {
                Err(AskError::new(AskErrorCode::Conflict, format!("`{id}` is not durable: nothing of it is kept")))
            }
            Err(error) if error.code == AskErrorCode::Conflict => Err(error),
            Err(unknown) => self.0.durable.clone().ok_or(unknown),
        }
    }

    fn memory_views(&self) -> Vec<SubscriptionView> {
        let subscriptions = self.0.subscriptions.lock();
        let held = subscriptions.values().filter_map(|held| match held {
            HeldSubscription::Granted(subscriber) => Some(subscriber.view()),
            // It is among those that are kept.
            HeldSubscription::Durable(..) => None,
            HeldSubscription::Denied(plugin, wanted) => Some(SubscriptionView {
                id: subscription_id(plugin, &wanted.name),
                plugin: plugin.to_string(),
                pattern: wanted.pattern.to_string(),
                durable: wanted.durable,
                deliver: wanted.durable.then(|| wanted.deliver.word().to_owned()),
                node: None,
                state: SubscriptionState::Denied,
                reason: Some("no operator has granted it".to_owned()),
                waiting: 0,
                delivered: 0,
                failed: 0,
                dropped: 0,
                dead: 0,
                position: None,
            }),
        });
        let mut views: Vec<_> = held.collect();
        drop(subscriptions);
        views.extend(self.0.streams.lock().iter().filter_map(|stream| stream.upgrade()?.view()));
        views
    }
}

impl EventControl for PluginEvents {
    fn emit(&self, emission: Emission) -> BoxFuture<Result<(), AskError>> {
        let events = self.clone();
        Box::pin(async move {
            let Emission { topic, payload, trace_id, durable } = &emission;
            let event = EmittedEvent { topic, payload, trace_id: *trace_id, depth: 0 };
            events.emit(Emitter::Outside, &event, *durable).await
        })
    }

    fn follow(&self, pattern: &str) -> Result<mpsc::Receiver<EventView>, AskError> {
        let pattern = pattern.parse().map_err(|error| AskError::new(AskErrorCode::Invalid, format!("{error}")))?;
        let mut follower = self.follow_topics(None, pattern)?;
        let (send, receive) = mpsc::channel(ON_THEIR_WAY);
        self.0.runtime.spawn(async move {
            loop {
                let events = tokio::select! {
                    events = follower.next() => events,
                    () = send.closed() => return,
                };
                for event in &events {
                    if send.send(shown(event)).await.is_err() {
                        return;
                    }
                }
                if events.is_empty() {
                    return;
                }
            }
        });
        Ok(receive)
    }

    fn subscriptions(&self) -> BoxFuture<Result<Vec<SubscriptionView>, AskError>> {
        let events = self.clone();
        Box::pin(async move {
            let mut views = events.memory_views();
            if let Some(durable) = &events.0.durable {
                views.extend(durable.views().await?);
            }
            Ok(views)
        })
    }

    fn dead(&self, id: &str, after: u64, most: usize) -> BoxFuture<Result<(Vec<DeadEventView>, bool), AskError>> {
        let (kept, id) = (self.kept(id), id.to_owned());
        Box::pin(async move { kept?.dead(&id, after, most).await })
    }

    fn replay(&self, id: &str, number: Option<u64>) -> BoxFuture<Result<u64, AskError>> {
        let (kept, id) = (self.kept(id), id.to_owned());
        Box::pin(async move { kept?.replay(&id, number).await })
    }

    fn pause(&self, id: &str, paused: bool) -> BoxFuture<Result<(), AskError>> {
        match self.memory_subscriber(id) {
            Ok(subscriber) => {
                subscriber.pause(paused);
                Box::pin(ready(Ok(())))
            }
            Err(_) => {
                let (kept, id) = (self.kept(id), id.to_owned());
                Box::pin(async move { kept?.pause(&id, paused).await })
            }
        }
    }

    fn counts(&self) -> BTreeMap<String, EventCounts> {
        let mut counts = self.0.meters.counts();
        for held in self.0.subscriptions.lock().values() {
            if let HeldSubscription::Granted(subscriber) = held
                && let Some(counts) = counts.get_mut(&*subscriber.plugin)
            {
                counts.waiting += subscriber.queue.len() as u64;
                counts.dropped += subscriber.queue.dropped();
            }
        }
        for (plugin, dead) in self.0.durable.iter().flat_map(DurableEvents::dead_counts) {
            counts.entry(plugin).or_default().dead = dead;
        }
        counts
    }
}
