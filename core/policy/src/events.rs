//! The port through which operators, and the program around the host, emit events and look after who hears of them. What must not
//! live here: how events are brought.

use crate::{AskError, BoxFuture};
use bytes::Bytes;
use camlock_api::{DeadEventView, EventView, SubscriptionView};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// What was counted of one plugin's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Events that it emitted.
    pub emitted: u64,
    /// Events that it may not emit because too many others led to them.
    pub loops: u64,
    /// Events that its handlers took.
    pub delivered: u64,
    /// Attempts at which its handlers failed.
    pub failed: u64,
    /// Events that it never heard of, for too many waited.
    pub dropped: u64,
    /// Events that wait for it.
    pub waiting: u64,
    /// Events that were given up.
    pub dead: u64,
}

/// An event to be emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    /// What it is about.
    pub topic: String,
    /// What it says.
    pub payload: Bytes,
    /// Whether it is kept even if nobody wants it kept.
    pub durable: bool,
    /// The W3C trace id that it belongs to, or zeros.
    pub trace_id: [u8; 16],
}

/// Events, for whoever is no plugin.
pub trait EventControl: Send + Sync {
    /// Emits one. When this returns, what is to be kept is kept.
    fn emit(&self, emission: Emission) -> BoxFuture<Result<(), AskError>>;
    /// Events of these topics from now on, as this server emits them. Whoever reads slowly misses some.
    fn follow(&self, pattern: &str) -> Result<mpsc::Receiver<EventView>, AskError>;
    /// Who hears of events.
    fn subscriptions(&self) -> BoxFuture<Result<Vec<SubscriptionView>, AskError>>;
    /// Events of a subscription that were given up, after this number, so many at most; and whether there are more.
    fn dead(&self, id: &str, after: u64, most: usize) -> BoxFuture<Result<(Vec<DeadEventView>, bool), AskError>>;
    /// Tries anew what was given up: this event, or all of them. How many that are.
    fn replay(&self, id: &str, number: Option<u64>) -> BoxFuture<Result<u64, AskError>>;
    /// Brings nothing any more, or goes on.
    fn pause(&self, id: &str, paused: bool) -> BoxFuture<Result<(), AskError>>;
    /// What was counted, by plugin.
    fn counts(&self) -> BTreeMap<String, EventCounts>;
}
