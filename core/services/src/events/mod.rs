//! Events: who emits and who hears.
//!
//! An emitter is never held up by who hears: an event is put where it is distributed (`hub.rs`), waits for each subscriber in a queue
//! of its own that is bounded (`queue.rs`), and is brought to plugins in batches (`subscriber.rs`, `bring.rs`). What must not live
//! here: which plugins serve, and how a batch reaches one. Events that are kept are in `durable/`.

mod bring;
mod durable;
mod hub;
mod meters;
mod operators;
mod queue;
mod record;
mod service;
mod stream;
mod subscriber;
mod wire;

pub use durable::{EventPlace, EventsUrl, KeptEmission, NotAnEventsUrl, emitted_in_file};
pub(crate) use durable::{INSERT_ONE, SQLITE_TABLES};
pub use queue::EventLimits;
pub use record::{EventRecord, SharedEvent};
pub use service::EventService;
pub use stream::EventFollower;

use camlock_policy::{
    AskError, AskErrorCode, Asker, Deliver, EMIT, HOST_TOPICS, Subscription, TopicPattern, check_outside_topic,
    check_own_topic,
};
use durable::DurableEvents;
use hub::{EventHub, EventListener};
use meters::EventMeters;
use parking_lot::Mutex;
use queue::EventQueue;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use stream::StreamSeat;
use subscriber::{MemorySubscriber, pump, subscription_id};
use tokio::runtime::Handle;

/// An event says so many bytes at most.
pub const MOST_PAYLOAD: usize = 256 << 10;

/// So many events may lead to one: with more it is a loop.
pub const MOST_DEPTH: u32 = 16;

/// Events of this server. Cheap to clone.
#[derive(Clone)]
pub struct PluginEvents(Arc<SharedEvents>);

struct SharedEvents {
    hub: Arc<EventHub>,
    limits: EventLimits,
    deliver: Arc<dyn Deliver>,
    runtime: Handle,
    meters: Arc<EventMeters>,
    durable: Option<DurableEvents>,
    /// Emitted by nobody's plugin.
    outside: AtomicU64,
    subscriptions: Mutex<BTreeMap<String, HeldSubscription>>,
    streams: Mutex<Vec<Weak<StreamSeat>>>,
}

/// A subscription of a manifest.
enum HeldSubscription {
    Granted(Arc<MemorySubscriber>),
    Durable(Arc<str>, Subscription),
    Denied(Arc<str>, Subscription),
}

impl fmt::Debug for PluginEvents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PluginEvents").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

impl Drop for SharedEvents {
    fn drop(&mut self) {
        for held in self.subscriptions.get_mut().values() {
            held.close();
        }
    }
}

impl HeldSubscription {
    fn close(&self) {
        if let HeldSubscription::Granted(subscriber) = self {
            subscriber.queue.close();
        }
    }

    fn plugin(&self) -> &Arc<str> {
        match self {
            HeldSubscription::Granted(subscriber) => &subscriber.plugin,
            HeldSubscription::Durable(plugin, _) | HeldSubscription::Denied(plugin, _) => plugin,
        }
    }

    /// Whether it is this already.
    fn is(&self, wanted: &Subscription, granted: bool) -> bool {
        match self {
            HeldSubscription::Granted(subscriber) => granted && subscriber.wanted == *wanted,
            HeldSubscription::Durable(_, durable) => granted && durable == wanted,
            HeldSubscription::Denied(_, denied) => !granted && denied == wanted,
        }
    }
}

/// Who emits.
#[derive(Clone, Copy)]
pub(super) enum Emitter<'a> {
    Plugin(&'a Asker),
    Outside,
    Host,
}

/// What is emitted.
pub(super) struct EmittedEvent<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) trace_id: [u8; 16],
    pub(super) depth: u32,
}

impl PluginEvents {
    /// Those that are brought to plugins by this, on that runtime. None of them is kept.
    pub fn new(deliver: Arc<dyn Deliver>, limits: EventLimits, runtime: Handle) -> Self {
        PluginEvents::build(deliver, limits, runtime, None)
    }

    /// The same, where those that are to be kept lie there, on the server with that name.
    pub fn kept_in(
        place: impl Into<EventPlace>,
        node: &str,
        deliver: Arc<dyn Deliver>,
        limits: EventLimits,
        runtime: Handle,
    ) -> Self {
        PluginEvents::build(deliver, limits, runtime, Some((place.into(), node)))
    }

    fn build(
        deliver: Arc<dyn Deliver>,
        limits: EventLimits,
        runtime: Handle,
        kept: Option<(EventPlace, &str)>,
    ) -> Self {
        let meters = Arc::<EventMeters>::default();
        let durable = kept.map(|(place, node)| {
            DurableEvents::start(place, node, deliver.clone(), (meters.clone(), limits), runtime.clone())
        });
        PluginEvents(Arc::new(SharedEvents {
            hub: EventHub::start(&runtime),
            limits,
            deliver,
            runtime,
            meters,
            durable,
            outside: AtomicU64::new(0),
            subscriptions: Mutex::default(),
            streams: Mutex::default(),
        }))
    }

    /// From now on a plugin has these subscriptions, each if it is granted. None: it does not serve.
    pub fn serve(&self, plugin: &str, wanted: &[(Subscription, bool)]) {
        let plugin: Arc<str> = plugin.into();
        let mut all = self.0.subscriptions.lock();
        all.retain(|_, held| {
            let keep = *held.plugin() != plugin || wanted.iter().any(|(wanted, granted)| held.is(wanted, *granted));
            if !keep {
                held.close();
            }
            keep
        });
        for (wanted, granted) in wanted {
            all.entry(subscription_id(&plugin, &wanted.name)).or_insert_with(|| {
                if *granted && wanted.durable {
                    HeldSubscription::Durable(plugin.clone(), wanted.clone())
                } else if *granted {
                    HeldSubscription::Granted(self.begin(plugin.clone(), wanted.clone()))
                } else {
                    HeldSubscription::Denied(plugin.clone(), wanted.clone())
                }
            });
        }
        drop(all);
        self.0.hub.forget_closed();
        if let Some(durable) = &self.0.durable {
            let wanted = wanted.iter().filter(|(wanted, granted)| *granted && wanted.durable);
            durable.serve(&plugin, &wanted.map(|(wanted, _)| wanted.clone()).collect::<Vec<_>>());
        }
    }

    fn begin(&self, plugin: Arc<str>, wanted: Subscription) -> Arc<MemorySubscriber> {
        let (pattern, meter) = (wanted.pattern.clone(), self.0.meters.of(&plugin));
        let subscriber = Arc::new(MemorySubscriber::new(plugin, wanted, EventQueue::new(self.0.limits), meter));
        self.0.hub.listen(Arc::new(EventListener { pattern, queue: subscriber.queue.clone() }));
        self.0.runtime.spawn(pump(subscriber.clone(), self.0.deliver.clone()));
        subscriber
    }

    /// The host tells of itself: a topic that begins with `camlock.`.
    pub fn emit_of_host(&self, topic: &str, payload: &[u8]) {
        debug_assert!(topic.starts_with(HOST_TOPICS));
        let event = EmittedEvent { topic, payload, trace_id: [0; 16], depth: 0 };
        if self.wants_kept(topic) {
            let (events, topic, payload) = (self.clone(), topic.to_owned(), payload.to_owned());
            self.0.runtime.spawn(async move { events.emit_of_host_kept(&topic, &payload).await });
        } else if let Err(error) = self.emit_now(Emitter::Host, &event) {
            tracing::debug!(topic, "an event of the host's was not emitted: {error}");
        }
    }

    /// The database may be away for a while; the host does not wait for it.
    async fn emit_of_host_kept(&self, topic: &str, payload: &[u8]) {
        let event = EmittedEvent { topic, payload, trace_id: [0; 16], depth: 0 };
        for pause in [1, 5, 25, 125] {
            match self.emit(Emitter::Host, &event, false).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(topic, "an event of the host's was not kept yet: {error}"),
            }
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
        tracing::warn!(topic, "an event of the host's was not kept: its database is away");
    }

    /// Emits an event of the program around the host, in memory alone: any topic but those of the host.
    pub fn emit_of_program(&self, topic: &str, payload: &[u8], trace_id: [u8; 16]) -> Result<(), AskError> {
        self.emit_now(Emitter::Outside, &EmittedEvent { topic, payload, trace_id, depth: 0 })
    }

    /// Whether somebody wants events of this topic kept.
    fn wants_kept(&self, topic: &str) -> bool {
        self.0.durable.as_ref().is_some_and(|durable| durable.wants(topic))
    }

    fn emit_now(&self, emitter: Emitter<'_>, event: &EmittedEvent<'_>) -> Result<(), AskError> {
        self.admit(emitter, event)?;
        self.emit_in_memory(event);
        Ok(())
    }

    /// The same; it is kept before, if it is to be, or somebody wants it kept.
    async fn emit(&self, emitter: Emitter<'_>, event: &EmittedEvent<'_>, keep: bool) -> Result<(), AskError> {
        self.admit(emitter, event)?;
        match &self.0.durable {
            Some(durable) if keep || durable.wants(event.topic) => durable.keep(event).await?,
            None if keep => return Err(AskError::new(AskErrorCode::Unavailable, "this host keeps no events")),
            _ => {}
        }
        self.emit_in_memory(event);
        Ok(())
    }

    /// Removes what is kept for a plugin, and its durable subscriptions.
    pub async fn purge(&self, plugin: &str) -> Result<(), AskError> {
        match &self.0.durable {
            Some(durable) => durable.purge(plugin).await,
            None => Ok(()),
        }
    }

    /// Whether it may be emitted; it is counted then.
    fn admit(&self, emitter: Emitter<'_>, event: &EmittedEvent<'_>) -> Result<(), AskError> {
        if let Emitter::Outside = emitter {
            check_outside_topic(event.topic)?;
        }
        let Emitter::Plugin(asker) = emitter else {
            self.0.outside.fetch_add(1, Ordering::Relaxed);
            return check_size(event.payload.len());
        };
        let meter = self.0.meters.of(&asker.plugin);
        let admitted = may_emit(asker, event.topic, event.payload.len(), event.depth);
        if event.depth > MOST_DEPTH && meter.loops.fetch_add(1, Ordering::Relaxed) == 0 {
            let (plugin, topic) = (&*asker.plugin, event.topic);
            tracing::warn!(plugin, topic, "a loop of events was cut: {MOST_DEPTH} of them led to this one");
        }
        admitted?;
        meter.emitted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn emit_in_memory(&self, event: &EmittedEvent<'_>) {
        let route = self.0.hub.route(event.topic);
        if route.has_listeners() {
            let record = EventRecord::now(route.topic.clone(), event.payload, event.trace_id, event.depth);
            self.0.hub.emit(route, Arc::new(record));
        }
    }
}

fn check_size(bytes: usize) -> Result<(), AskError> {
    if bytes <= MOST_PAYLOAD {
        return Ok(());
    }
    Err(AskError::new(AskErrorCode::Limit, format!("an event says {MOST_PAYLOAD} bytes at most, not {bytes}")))
}

/// Whether a plugin may emit such an event.
pub(crate) fn may_emit(asker: &Asker, topic: &str, bytes: usize, depth: u32) -> Result<(), AskError> {
    check_own_topic(&asker.plugin, topic)?;
    check_size(bytes)?;
    let opens = |permission: &str| {
        let granted = permission.strip_prefix(EMIT);
        granted.is_some_and(|granted| {
            granted == topic || granted.parse::<TopicPattern>().is_ok_and(|granted| granted.matches(topic))
        })
    };
    if !asker.granted.any(opens) {
        asker.may(&format!("{EMIT}{topic}"))?;
    }
    if depth > MOST_DEPTH {
        let told = format!("`{topic}` is cut off: {MOST_DEPTH} events led to it, so it is a loop");
        return Err(AskError::new(AskErrorCode::Limit, told));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
