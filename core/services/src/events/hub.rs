//! Who hears of what, in memory: an emitter puts an event where it is distributed, and goes on. What must not live here: how events
//! reach a subscriber's code.

use super::{queue::EventQueue, record::SharedEvent};
use camlock_policy::TopicPattern;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{runtime::Handle, sync::Notify};

/// So many topics are known at once; with one more all are looked up anew.
const MOST_ROUTES: usize = 4_096;

/// Where so much waits to be distributed, an emitter helps.
const MUCH: usize = 1_024;

/// One who hears of events.
#[derive(Debug)]
pub(super) struct EventListener {
    pub(super) pattern: TopicPattern,
    pub(super) queue: Arc<EventQueue>,
}

/// Who hears of a topic.
pub(super) struct TopicRoute {
    pub(super) topic: Arc<str>,
    listeners: Box<[Arc<EventQueue>]>,
}

impl TopicRoute {
    pub(super) fn has_listeners(&self) -> bool {
        !self.listeners.is_empty()
    }
}

/// Where events are distributed.
pub(super) struct EventHub {
    listeners: Mutex<Vec<Arc<EventListener>>>,
    routes: RwLock<HashMap<Arc<str>, Arc<TopicRoute>>>,
    pending: Mutex<VecDeque<(Arc<TopicRoute>, SharedEvent)>>,
    /// Held by whoever distributes: so events keep their order.
    distributing: Mutex<Vec<SharedEvent>>,
    come: Arc<Notify>,
    /// Whether whoever distributes was woken already.
    is_woken: AtomicBool,
}

impl fmt::Debug for EventHub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EventHub").finish_non_exhaustive()
    }
}

impl Drop for EventHub {
    fn drop(&mut self) {
        self.come.notify_one();
    }
}

impl EventHub {
    /// One that distributes on that runtime for as long as there are emitters.
    pub(super) fn start(runtime: &Handle) -> Arc<Self> {
        let hub = Arc::new(EventHub {
            listeners: Mutex::default(),
            routes: RwLock::default(),
            pending: Mutex::default(),
            distributing: Mutex::default(),
            come: Arc::default(),
            is_woken: AtomicBool::new(false),
        });
        let distributed = Arc::downgrade(&hub);
        runtime.spawn(async move {
            while let Some(hub) = distributed.upgrade() {
                hub.is_woken.store(false, Ordering::SeqCst);
                hub.distribute();
                let (come, is_done) = (hub.come.clone(), hub.pending.lock().is_empty());
                drop(hub);
                if is_done {
                    come.notified().await;
                }
            }
        });
        hub
    }

    /// From now on that one hears of events.
    pub(super) fn listen(&self, listener: Arc<EventListener>) {
        let mut listeners = self.listeners.lock();
        listeners.retain(|listener| !listener.queue.is_closed());
        listeners.push(listener);
        self.routes.write().clear();
    }

    /// Forgets those whose queues are closed.
    pub(super) fn forget_closed(&self) {
        let mut listeners = self.listeners.lock();
        listeners.retain(|listener| !listener.queue.is_closed());
        self.routes.write().clear();
    }

    /// Who hears of a topic.
    pub(super) fn route(&self, topic: &str) -> Arc<TopicRoute> {
        if let Some(known) = self.routes.read().get(topic) {
            return known.clone();
        }
        // Whoever comes to listen meanwhile has to wait, and then clears what is written here.
        let listeners = self.listeners.lock();
        let hearing =
            listeners.iter().filter(|listener| listener.pattern.matches(topic) && !listener.queue.is_closed());
        let hearing = hearing.map(|listener| listener.queue.clone()).collect();
        let route = Arc::new(TopicRoute { topic: topic.into(), listeners: hearing });
        let mut routes = self.routes.write();
        if routes.len() >= MOST_ROUTES {
            routes.clear();
        }
        routes.insert(route.topic.clone(), route.clone());
        route
    }

    /// Puts an event where it is distributed.
    pub(super) fn emit(&self, route: Arc<TopicRoute>, event: SharedEvent) {
        let waiting = {
            let mut pending = self.pending.lock();
            pending.push_back((route, event));
            pending.len()
        };
        if waiting >= MUCH {
            self.distribute();
        } else if !self.is_woken.swap(true, Ordering::SeqCst) {
            self.come.notify_one();
        }
    }

    /// Gives each subscriber what is for it.
    fn distribute(&self) {
        let mut run = self.distributing.lock();
        let pending = std::mem::take(&mut *self.pending.lock());
        let mut pending = pending.into_iter().peekable();
        while let Some((route, event)) = pending.next() {
            run.push(event);
            while let Some((_, event)) = pending.next_if(|(next, _)| Arc::ptr_eq(next, &route)) {
                run.push(event);
            }
            for queue in &route.listeners {
                queue.add(run.iter());
            }
            run.clear();
        }
    }

    /// What waits to be distributed.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        self.distribute();
    }
}
