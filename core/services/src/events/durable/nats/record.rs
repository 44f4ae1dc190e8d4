//! The rows of subscriptions and of events that were given up, as they are written. What must not live here: when they change.

use super::link::NatsRow;
use crate::events::durable::port::{DeadEvent, KeptEmission, KeptEvent, SubscriptionKey, SubscriptionTerms};
use camlock_policy::{AskError, AskErrorCode};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NatsSubscription {
    pub(super) id: String,
    pub(super) node: String,
    pub(super) plugin: String,
    pub(super) pattern: String,
    pub(super) deliver: String,
    pub(super) done: u64,
    /// Of which stream that is: when it was made, in microseconds since 1970. 0: that is not known.
    #[serde(default)]
    pub(super) stream: u64,
    pub(super) attempts: u32,
    /// In milliseconds: between the last attempt and the next one.
    pub(super) pause: u64,
    pub(super) given_up: u64,
    pub(super) paused: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) lost: u64,
    /// Empty: nobody has the right to bring events.
    pub(super) holder: String,
    pub(super) epoch: i64,
    /// Some of those given up are to be tried anew.
    pub(super) replays: bool,
}

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BuriedEvent {
    pub(super) plugin: String,
    node: String,
    number: u64,
    position: u64,
    topic: String,
    payload: String,
    at: u64,
    trace: String,
    depth: u32,
    pub(super) attempts: u32,
    pub(super) reason: String,
    pub(super) replay: bool,
}

impl SubscriptionKey {
    /// As a row's key: words of NATS have few letters.
    pub(super) fn row(&self) -> String {
        let node = if self.node.is_empty() { "-".to_owned() } else { HEXLOWER.encode(self.node.as_bytes()) };
        format!("{}{node}", begin(&self.id))
    }

    pub(super) fn dead_row(&self, number: u64) -> String {
        format!("{}.{number}", self.row())
    }
}

/// With what the rows of a subscription begin, on all servers.
pub(super) fn begin(id: &str) -> String {
    format!("{}.", HEXLOWER.encode(id.as_bytes()))
}

/// The number at the end of a dead event's key.
pub(super) fn number_of(key: &str) -> u64 {
    key.rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl NatsSubscription {
    pub(super) fn new(key: &SubscriptionKey, terms: &SubscriptionTerms, (done, stream): (u64, u64)) -> Self {
        let (id, node) = (key.id.clone(), key.node.clone());
        NatsSubscription { id, node, done, stream, ..NatsSubscription::default() }.with(terms)
    }

    /// In that stream: if it is a newer one than that in which it was so far, all of it is still to be had.
    pub(super) fn in_stream(self, stream: u64) -> Self {
        let (done, attempts) = if self.stream == 0 { (self.done, self.attempts) } else { (0, 0) };
        NatsSubscription { stream, done, attempts, ..self }
    }

    pub(super) fn with(self, terms: &SubscriptionTerms) -> Self {
        let (plugin, pattern) = (terms.plugin.clone(), terms.pattern.to_string());
        NatsSubscription { plugin, pattern, deliver: terms.deliver.to_owned(), ..self }
    }
}

impl BuriedEvent {
    pub(super) fn new(plugin: &str, node: &str, event: &KeptEvent, attempts: u32, reason: String) -> Self {
        BuriedEvent {
            plugin: plugin.to_owned(),
            node: node.to_owned(),
            number: event.number,
            position: event.position,
            topic: event.said.topic.clone(),
            payload: BASE64.encode(&event.said.payload),
            at: event.said.at,
            trace: HEXLOWER.encode(&event.said.trace_id),
            depth: event.said.depth,
            attempts,
            reason,
            replay: false,
        }
    }

    pub(super) fn event(&self) -> KeptEvent {
        let trace = HEXLOWER.decode(self.trace.as_bytes()).ok();
        KeptEvent {
            number: self.number,
            position: self.position,
            said: KeptEmission {
                topic: self.topic.clone(),
                payload: BASE64.decode(self.payload.as_bytes()).unwrap_or_default().into(),
                at: self.at,
                trace_id: trace.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default(),
                depth: self.depth,
            },
        }
    }

    pub(super) fn dead(&self, died: u64) -> DeadEvent {
        let (node, reason) = (self.node.clone(), self.reason.clone());
        DeadEvent { event: self.event(), node, attempts: self.attempts, reason, died }
    }
}

pub(super) fn written(row: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(row).unwrap_or_default()
}

pub(super) fn read<T: DeserializeOwned>(row: &NatsRow) -> Result<T, AskError> {
    let told = |error| format!("`{}` in NATS is not as this version writes it: {error}", row.key);
    serde_json::from_slice(&row.value).map_err(|error| AskError::new(AskErrorCode::Unavailable, told(error)))
}
