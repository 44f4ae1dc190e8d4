//! Events that are kept until they are handled: at least once, in the order of their numbers, whatever ends in between.
//!
//! An emission is written together with others (`writer.rs`), numbered by one server after the other (`clerk.rs`), and brought to each
//! subscription by whoever holds it for the moment (`courier.rs`). What must not live here: events in memory.

mod clerk;
mod courier;
mod emitted;
mod ledger;
#[cfg(feature = "nats")]
mod nats;
mod operators;
#[cfg(feature = "nats")]
mod outbox;
mod port;
mod sql;
mod store;
mod url;
mod writer;

pub use emitted::emitted_in_file;
pub use port::KeptEmission;
pub(crate) use sql::{INSERT_ONE, SQLITE_TABLES};
pub use url::{EventsUrl, NotAnEventsUrl};

use super::{EventLimits, bring::Attempted, meters::EventMeters, record::EventRecord, subscriber::subscription_id};
use crate::PluginData;
use camlock_policy::{AskError, Deliver, DeliverTo, Subscription, TopicPattern};
use parking_lot::{Mutex, RwLock};
use port::{EventLedger, KeptEvent};
use std::{collections::BTreeMap, fmt, sync::Arc};
use store::EventStore;
use tokio::{runtime::Handle, sync::watch};
use writer::EventWriter;

/// Where events are kept.
#[derive(Clone, Debug)]
pub struct EventPlace {
    /// Elsewhere than in the database, if it is set.
    url: Option<EventsUrl>,
    /// What plugins emit in their own transactions is there in any case, to begin with.
    data: PluginData,
}

impl EventPlace {
    /// There, or else in the database.
    pub fn new(url: Option<EventsUrl>, data: PluginData) -> Self {
        EventPlace { url, data }
    }

    fn open(self) -> Arc<dyn EventLedger> {
        let store = EventStore::new(self.data);
        match self.url {
            None => Arc::new(store),
            #[cfg(feature = "nats")]
            Some(url) => Arc::new(nats::NatsEvents::new(url.0, store)),
            #[cfg(not(feature = "nats"))]
            Some(url) => match url.0 {},
        }
    }
}

impl From<PluginData> for EventPlace {
    fn from(data: PluginData) -> Self {
        EventPlace::new(None, data)
    }
}

/// Kept events. Cheap to clone.
#[derive(Clone)]
pub(super) struct DurableEvents(Arc<SharedDurable>);

pub(super) struct SharedDurable {
    store: Arc<dyn EventLedger>,
    /// This server, for subscriptions that each has.
    node: Box<str>,
    /// This run of it, for the right to bring events.
    holder: Arc<str>,
    deliver: Arc<dyn Deliver>,
    runtime: Handle,
    meters: Arc<EventMeters>,
    limits: EventLimits,
    writer: EventWriter,
    /// Patterns of which somebody wants events kept, as far as that is known.
    wanted: RwLock<Vec<TopicPattern>>,
    /// By id: dropping it ends what brings events to it.
    couriers: Mutex<BTreeMap<String, (Subscription, watch::Sender<bool>)>>,
    /// Grows with each reason to look again.
    look: watch::Sender<u64>,
    /// Events that were given up, by plugin, as of the last look.
    dead: Mutex<BTreeMap<String, u64>>,
    /// Ends with the last of these.
    _alive: watch::Sender<()>,
}

impl fmt::Debug for DurableEvents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DurableEvents").field("node", &self.0.node).finish_non_exhaustive()
    }
}

impl KeptEvent {
    /// As it is brought, with that attempt.
    fn attempted(&self, attempt: u32) -> Attempted {
        let said = &self.said;
        let event = EventRecord::at(said.at, said.topic.as_str().into(), &said.payload, said.trace_id, said.depth);
        (Arc::new(event), self.position, attempt)
    }
}

impl DurableEvents {
    /// Those there, on the server with that name.
    pub(super) fn start(
        place: EventPlace,
        node: &str,
        deliver: Arc<dyn Deliver>,
        (meters, limits): (Arc<EventMeters>, EventLimits),
        runtime: Handle,
    ) -> Self {
        let store = place.open();
        let holder = format!("{node}/{}", fresh_id());
        let (look, alive) = (watch::channel(0).0, watch::channel(()).0);
        let ended = alive.subscribe();
        let durable = DurableEvents(Arc::new(SharedDurable {
            writer: EventWriter::new(store.clone()),
            store,
            node: node.into(),
            holder: holder.into(),
            deliver,
            runtime: runtime.clone(),
            meters,
            limits,
            wanted: RwLock::default(),
            couriers: Mutex::default(),
            look,
            dead: Mutex::default(),
            _alive: alive,
        }));
        runtime.spawn(clerk::work(Arc::downgrade(&durable.0), durable.0.look.subscribe(), ended));
        durable
    }

    /// Whether somebody wants events of this topic kept, as far as that is known.
    pub(super) fn wants(&self, topic: &str) -> bool {
        self.0.limits.keep_all || self.0.wanted.read().iter().any(|pattern| pattern.matches(topic))
    }

    /// Keeps an event: when this returns it is on the disk.
    pub(super) async fn keep(&self, event: &super::EmittedEvent<'_>) -> Result<(), AskError> {
        self.0.writer.keep(&self.0, event).await
    }

    /// From now on a plugin has these durable subscriptions here, and no others.
    pub(super) fn serve(&self, plugin: &Arc<str>, wanted: &[Subscription]) {
        let mut couriers = self.0.couriers.lock();
        let prefix = format!("{plugin}:");
        couriers.retain(|id, (subscription, _)| !id.starts_with(&prefix) || wanted.contains(subscription));
        for wanted in wanted {
            let id = subscription_id(plugin, &wanted.name);
            if couriers.contains_key(&id) {
                continue;
            }
            {
                let mut patterns = self.0.wanted.write();
                if !patterns.contains(&wanted.pattern) {
                    patterns.push(wanted.pattern.clone());
                }
            }
            let (there, ended) = watch::channel(false);
            let node = if wanted.deliver == DeliverTo::Every { self.0.node.to_string() } else { String::new() };
            let subscription = courier::CarriedSubscription {
                id: id.clone(),
                node,
                plugin: plugin.clone(),
                wanted: wanted.clone(),
                meter: self.0.meters.of(plugin),
            };
            let looked = self.0.look.subscribe();
            self.0.runtime.spawn(courier::carry(Arc::downgrade(&self.0), subscription, looked, ended));
            couriers.insert(id, (wanted.clone(), there));
        }
    }

    /// There is a reason to look again, for everybody.
    fn look_again(&self) {
        self.0.look.send_modify(|count| *count += 1);
    }

    /// Removes what is kept for a plugin.
    pub(super) async fn purge(&self, plugin: &str) -> Result<(), AskError> {
        if !self.0.store.is_there() {
            return Ok(());
        }
        self.0.store.purge(plugin.to_owned()).await
    }

    /// Events that were given up for a plugin, as of the last look.
    pub(super) fn dead_counts(&self) -> BTreeMap<String, u64> {
        self.0.dead.lock().clone()
    }
}

/// Something that no other run of a server has.
fn fresh_id() -> String {
    use std::time::{SystemTime, UNIX_EPOCH};
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let here = Box::new(0_u8);
    format!("{}-{now}-{:x}", std::process::id(), std::ptr::from_ref(&*here).addr())
}
