//! Where kept events lie, as those who bring them and look after them see it: a database, or a NATS server. All of these are held to
//! the same tests. What must not live here: how any of them does it.

use bytes::Bytes;
use camlock_policy::{AskError, BoxFuture, TopicPattern};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// An event that is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEmission {
    /// What it is about.
    pub topic: String,
    /// What it says.
    pub payload: Bytes,
    /// When it was emitted, in microseconds since 1970.
    pub at: u64,
    /// The trace that it belongs to, or zeros.
    pub trace_id: [u8; 16],
    /// How many events led to it.
    pub depth: u32,
}

/// One that is kept, with its number among all, and its position among those of its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptEvent {
    pub(super) number: u64,
    pub(super) position: u64,
    pub(super) said: KeptEmission,
}

/// Which subscription: of one server, or of all (the node is empty).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SubscriptionKey {
    pub(super) id: String,
    pub(super) node: String,
}

/// The right to bring events to a subscription. What is done by it is done only if nobody else got it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BringingRight {
    pub(super) key: SubscriptionKey,
    /// One run of a server.
    pub(super) holder: Arc<str>,
    pub(super) epoch: i64,
}

/// What a subscription is, as it is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubscriptionTerms {
    pub(super) plugin: String,
    pub(super) pattern: TopicPattern,
    pub(super) deliver: &'static str,
}

/// The right to bring events, and where it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicClaim {
    pub(super) right: BringingRight,
    /// Up to this number everything is handled, or given up.
    pub(super) done: u64,
    /// Of the next event.
    pub(super) attempts: u32,
    /// So long it is waited before the next attempt.
    pub(super) due: Duration,
    pub(super) paused: bool,
    pub(super) replays: u64,
}

/// The next events of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EventBatch {
    /// Those that its pattern matches, in the order of their numbers.
    pub(super) events: Vec<KeptEvent>,
    /// It was looked up to there: with no more of its own than these.
    pub(super) upto: u64,
    /// So many were removed before it has had them.
    pub(super) lost: u64,
}

/// A subscription, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubscriptionRow {
    pub(super) key: SubscriptionKey,
    pub(super) plugin: String,
    pub(super) pattern: String,
    pub(super) deliver: String,
    pub(super) done: u64,
    pub(super) attempts: u64,
    pub(super) paused: String,
    pub(super) reason: String,
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) lost: u64,
    /// For so long nobody had it.
    pub(super) unseen: Duration,
    /// So many events were given up.
    pub(super) dead: u64,
    /// The last number of all events.
    pub(super) last: u64,
}

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeadEvent {
    pub(super) event: KeptEvent,
    pub(super) node: String,
    pub(super) attempts: u32,
    pub(super) reason: String,
    /// In milliseconds since 1970.
    pub(super) died: u64,
}

pub(super) type LedgerFuture<T> = BoxFuture<Result<T, AskError>>;

/// Where kept events lie. What is acknowledged here is on the disk.
pub(super) trait EventLedger: Send + Sync {
    /// Whether there can be anything: who keeps nothing has no file, and gets none by looking.
    fn is_there(&self) -> bool;

    /// Keeps events, in their order.
    fn keep(&self, events: Arc<Vec<KeptEmission>>) -> LedgerFuture<()>;

    /// Gives some of those that have none their numbers: to how many.
    fn number_fresh(&self) -> LedgerFuture<u64>;

    /// The last number.
    fn head(&self) -> LedgerFuture<u64>;

    /// Grows `look` whenever others have kept something, for as long as this is polled.
    fn listen(&self, look: watch::Sender<u64>) -> BoxFuture<()>;

    /// There is such a subscription from now on; a new one begins behind all that is kept.
    fn register(&self, key: SubscriptionKey, terms: SubscriptionTerms) -> LedgerFuture<()>;

    /// Gets the right to bring events to it for a while, or holds on to it, if nobody else has it.
    fn claim(&self, key: SubscriptionKey, holder: Arc<str>) -> LedgerFuture<Option<TopicClaim>>;

    /// Somebody else may have the right at once.
    fn release(&self, key: SubscriptionKey, holder: Arc<str>) -> LedgerFuture<()>;

    /// The next events after those that are done.
    fn read(&self, right: BringingRight, done: u64, pattern: TopicPattern) -> LedgerFuture<EventBatch>;

    /// Everything is handled up to there: so many events, and so many that were lost.
    fn advance(&self, right: BringingRight, upto: u64, counts: (u64, u64)) -> LedgerFuture<()>;

    /// The next event failed so often, for that reason, and is tried again after that pause.
    fn failed(&self, right: BringingRight, attempts: u32, reason: String, pause: Duration) -> LedgerFuture<()>;

    /// The next event is given up.
    fn give_up(&self, right: BringingRight, event: KeptEvent, attempts: u32, reason: String) -> LedgerFuture<()>;

    /// The next of those given up that is to be tried anew, and how often it was tried.
    fn to_replay(&self, key: SubscriptionKey) -> LedgerFuture<Option<(KeptEvent, u32)>>;

    /// One that was given up is handled.
    fn revived(&self, key: SubscriptionKey, number: u64) -> LedgerFuture<()>;

    /// It is not, for that reason.
    fn still_dead(&self, key: SubscriptionKey, number: u64, reason: String) -> LedgerFuture<()>;

    /// Those given up after that number, up to so many.
    fn dead(&self, id: String, after: u64, most: usize) -> LedgerFuture<Vec<DeadEvent>>;

    /// One that was given up, or all of them, are to be tried anew: so many.
    fn replay(&self, id: String, number: Option<u64>) -> LedgerFuture<u64>;

    /// All subscriptions.
    fn list(&self) -> LedgerFuture<Vec<SubscriptionRow>>;

    /// Whether there is such a subscription, on any server.
    fn is_known(&self, id: String) -> LedgerFuture<bool>;

    /// It is paused for that reason, or goes on.
    fn pause(&self, id: String, reason: Option<String>) -> LedgerFuture<()>;

    /// Removes what is kept for a plugin.
    fn purge(&self, plugin: String) -> LedgerFuture<()>;

    /// Removes what is old: what everybody has had goes after an hour, and the rest after a week.
    fn sweep(&self) -> LedgerFuture<()>;
}
