//! What is looked up for people: the journal, the fleet, and the tokens that let them in.

use super::{Actor, NodeId, Unavailable};
use crate::{BoxFuture, Digest, Endpoint, Fingerprint, Headline};
pub use camlock_api::Role;
use std::{fmt, str::FromStr, time::SystemTime};
use tokio::sync::watch;

/// Something that happened, to be noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// The plugin; none if it concerns the server.
    pub plugin: Option<String>,
    /// The generation, if it concerns one.
    pub generation: Option<u64>,
    /// What, in a word: `serving`, `failed`, `enabled`.
    pub what: &'static str,
    /// Who brought it about.
    pub by: Actor,
    /// More about it: an object.
    pub detail: serde_json::Value,
    /// When.
    pub at: SystemTime,
}

/// An event's place in the journal. It reads as text, and resumes what follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The transaction that wrote it: transactions are in the order in which they can be read without missing one.
    pub transaction: u64,
    /// Its number.
    pub number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.transaction, self.number)
    }
}

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let (transaction, number) = text.split_once('-').ok_or(NoEventId)?;
        let parse = |text: &str| text.parse().map_err(|_| NoEventId);
        Ok(EventId { transaction: parse(transaction)?, number: parse(number)? })
    }
}

/// A text that is no event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event's id is two numbers with a `-` between them")]
pub struct NoEventId;

/// Something that happened, as it is on record.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place.
    pub id: EventId,
    /// When, by the clock of whoever wrote it.
    pub at: SystemTime,
    /// The node; none if it was decided in the database.
    pub node: Option<NodeId>,
    /// The plugin.
    pub plugin: Option<String>,
    /// The generation.
    pub generation: Option<u64>,
    /// What, in a word.
    pub what: String,
    /// Who.
    pub by: Actor,
    /// More about it.
    pub detail: serde_json::Value,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only those after this one, oldest first. Without: the newest, newest first, or those before `before`.
    pub after: Option<EventId>,
    /// Only those before this one, newest first.
    pub before: Option<EventId>,
    /// Only this plugin's.
    pub plugin: Option<String>,
    /// So many at most.
    pub limit: usize,
}

/// Events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventPage {
    /// In the order that was asked for.
    pub events: Vec<Event>,
    /// There are more beyond the last one.
    pub more: bool,
}

/// What a node serves of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The plugin.
    pub plugin: String,
    /// Its state there.
    pub state: Headline,
    /// Why, where there is something to say.
    pub reason: Option<String>,
    /// The generation that serves.
    pub generation: Option<u64>,
    /// Its artifact.
    pub artifact: Option<Digest>,
    /// Its version.
    pub version: Option<String>,
    /// What lay in the node's directory when it last came to agree with the others.
    pub seen: Option<Fingerprint>,
    /// The record that it follows.
    pub revision: u64,
    /// What it answers; none if that has not changed since it was told.
    pub endpoints: Option<Vec<Endpoint>>,
}

/// A server of the fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    /// Its id.
    pub id: NodeId,
    /// The host's name.
    pub host: String,
    /// Where it listens.
    pub address: String,
    /// Its version of Camlock.
    pub version: String,
    /// When it began.
    pub started: SystemTime,
    /// When it was last heard of.
    pub heard: SystemTime,
    /// Whether it has been silent for so long that nobody waits for it.
    pub stale: bool,
    /// Whether it is the one that answers.
    pub this: bool,
    /// What it serves.
    pub serves: Vec<Served>,
    /// Plugins of which it serves something else than what was agreed on.
    pub lags: Vec<String>,
}

/// What people look up.
pub trait Archive: Send + Sync {
    /// The fleet.
    fn nodes(&self) -> BoxFuture<Result<Vec<NodeView>, Unavailable>>;
    /// The journal. What was written late is never skipped by who goes on after the last event that they had.
    fn events(&self, query: EventQuery) -> BoxFuture<Result<EventPage, Unavailable>>;
    /// Changes whenever there may be new events.
    fn fresh(&self) -> watch::Receiver<u64>;
}

/// A token to be made. Its secret is not among this: only its hash is ever kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// What it is called, for the journal.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The sha-256 of its secret.
    pub hash: Digest,
    /// Until when.
    pub expires: Option<SystemTime>,
}

/// A token, as it is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// Its number.
    pub id: u64,
    /// What it is called.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The sha-256 of its secret.
    pub hash: Digest,
    /// When it was made.
    pub created: SystemTime,
    /// Until when.
    pub expires: Option<SystemTime>,
    /// Since when it lets nobody in any more.
    pub revoked: Option<SystemTime>,
}

/// Tokens on record. Every server knows all of them in memory, so that one that was let in goes on without the database.
pub trait Tokens: Send + Sync {
    /// All, as they were last read.
    fn known(&self) -> Vec<TokenView>;
    /// Makes one; nothing if the name is taken by one that still holds.
    fn create(&self, token: NewToken, by: Actor) -> BoxFuture<Result<Option<TokenView>, Unavailable>>;
    /// Revokes one; whether there was one.
    fn revoke(&self, id: u64, by: Actor) -> BoxFuture<Result<bool, Unavailable>>;
}
