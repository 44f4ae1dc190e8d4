//! What waits for one subscriber: bounded, the oldest dropped and counted. What must not live here: who takes it.

use super::record::SharedEvent;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};
use tokio::sync::Notify;

/// How much may wait for one subscriber in memory, and how often what is kept is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimits {
    /// So many events.
    pub waiting: usize,
    /// So many bytes.
    pub bytes: usize,
    /// So often an event that is kept is tried before it is given up.
    pub attempts: u32,
    /// So long it is waited after the first attempt, and twice as long after each one more, up to a minute.
    pub pause: Duration,
    /// Whether all events are kept, whoever wants that: so that tests of plugins find them.
    pub keep_all: bool,
}

impl Default for EventLimits {
    fn default() -> Self {
        EventLimits {
            waiting: 10_000,
            bytes: 16 << 20,
            attempts: 10,
            pause: Duration::from_millis(500),
            keep_all: false,
        }
    }
}

/// Events that wait.
#[derive(Debug)]
pub(super) struct EventQueue {
    limits: EventLimits,
    waiting: Mutex<WaitingEvents>,
    come: Notify,
    dropped: AtomicU64,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct WaitingEvents {
    events: VecDeque<SharedEvent>,
    bytes: usize,
}

impl EventQueue {
    pub(super) fn new(limits: EventLimits) -> Self {
        EventQueue {
            limits,
            waiting: Mutex::default(),
            come: Notify::new(),
            dropped: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// More, in their order. It never waits.
    pub(super) fn add<'a>(&self, events: impl Iterator<Item = &'a SharedEvent>) {
        let mut dropped = Vec::new();
        let mut waiting = self.waiting.lock();
        let was_empty = waiting.events.is_empty();
        for event in events {
            waiting.bytes += event.size();
            waiting.events.push_back(event.clone());
            while waiting.events.len() > self.limits.waiting || waiting.bytes > self.limits.bytes {
                let Some(oldest) = waiting.events.pop_front() else { break };
                waiting.bytes -= oldest.size();
                dropped.push(oldest);
            }
        }
        drop(waiting);
        if !dropped.is_empty() {
            self.dropped.fetch_add(dropped.len() as u64, Ordering::Relaxed);
        }
        if was_empty {
            self.come.notify_one();
        }
    }

    /// Takes what waits, up to so many events, and up to so many bytes of them.
    pub(super) fn take(&self, most: usize, bytes: usize, into: &mut Vec<SharedEvent>) {
        let (mut waiting, mut taken) = (self.waiting.lock(), 0);
        while into.len() < most && taken < bytes {
            let Some(event) = waiting.events.pop_front() else { return };
            waiting.bytes -= event.size();
            taken += event.size();
            into.push(event);
        }
    }

    /// Takes back what could not be brought, if there is room.
    pub(super) fn put_back(&self, events: &mut Vec<SharedEvent>) {
        let mut waiting = self.waiting.lock();
        while let Some(event) = events.pop() {
            if waiting.events.len() >= self.limits.waiting || waiting.bytes + event.size() > self.limits.bytes {
                self.dropped.fetch_add(events.len() as u64 + 1, Ordering::Relaxed);
                events.clear();
                return;
            }
            waiting.bytes += event.size();
            waiting.events.push_front(event);
        }
    }

    /// Waits until something is there, or nothing comes any more: whether something is there.
    pub(super) async fn some(&self) -> bool {
        loop {
            let come = self.come.notified();
            if !self.waiting.lock().events.is_empty() {
                return true;
            }
            if self.closed.load(Ordering::Acquire) {
                return false;
            }
            come.await;
        }
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.come.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.lock().events.len()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventRecord;
    use std::sync::Arc;

    fn event(number: u8) -> SharedEvent {
        Arc::new(EventRecord::now("a.b".into(), &[number], [0; 16], 0))
    }

    fn taken(queue: &EventQueue, most: usize) -> Vec<u8> {
        let mut events = Vec::new();
        queue.take(most, usize::MAX, &mut events);
        events.iter().map(|event| event.payload()[0]).collect()
    }

    #[test]
    fn the_oldest_are_dropped_and_counted() {
        let queue = EventQueue::new(EventLimits { waiting: 3, ..EventLimits::default() });
        let events: Vec<_> = (0..5).map(event).collect();
        queue.add(events.iter());
        assert_eq!((queue.len(), queue.dropped()), (3, 2));
        assert_eq!(taken(&queue, 2), [2, 3]);
        queue.put_back(&mut vec![event(2), event(3)]);
        assert_eq!((taken(&queue, 9), queue.dropped()), (vec![2, 3, 4], 2));
        let size = event(0).size();
        let queue = EventQueue::new(EventLimits { bytes: size * 2, ..EventLimits::default() });
        queue.add(events.iter());
        assert_eq!((queue.len(), queue.dropped()), (2, 3));
        queue.put_back(&mut vec![event(1)]);
        assert_eq!((taken(&queue, 9), queue.dropped()), (vec![3, 4], 4), "there was no room");
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_the_end() {
        let queue = Arc::new(EventQueue::new(EventLimits::default()));
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { (queue.some().await, taken(&queue, 9), queue.some().await) }
        });
        tokio::task::yield_now().await;
        queue.add([event(1)].iter());
        tokio::task::yield_now().await;
        queue.close();
        assert_eq!(waiting.await.unwrap(), (true, vec![1], false));
    }
}
