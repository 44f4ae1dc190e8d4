//! What is on record: what operators decided, what the servers of a fleet agreed on, and what happened.
//!
//! Here live the types of the record and the ports to it. Whoever keeps it (a database) implements them; the supervisor and
//! the admin API use them. What must not live here: SQL, and anything that decides.

mod actor;
mod archive;
mod change;
mod exchange;
mod record;
mod rollout;

pub use actor::Actor;
pub use archive::{
    Archive, Event, EventId, EventPage, EventQuery, Happened, NewToken, NodeView, Role, Served, TokenView, Tokens,
};
pub use change::RegistryChange;
pub use exchange::{Claim, Exchange, RightToBuild};
pub use record::{Agreed, Decision, Newcomer, NotDecided, Pardon, Record};
pub use rollout::{Proposal, Proposed, Rollout, RolloutId, RolloutState};

use crate::{BoxFuture, Fingerprint};
use std::collections::{BTreeMap, BTreeSet};

/// The registry cannot be used for now, and why, in one sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// A server of the fleet: an id that it keeps in its data directory.
pub type NodeId = String;

/// What the supervisor wants to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Records of these plugins; of all if none are named.
    pub names: Option<BTreeSet<String>>,
    /// Rollouts that it takes part in: how they stand, also if they have ended. Open ones are read in any case.
    pub rollouts: BTreeSet<RolloutId>,
}

/// What is on record, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The records that were asked for. A name that was asked for and is not here has no record.
    pub records: Vec<Record>,
    /// Open rollouts, and those that were asked for.
    pub rollouts: Vec<Rollout>,
    /// What lay in this node's directory when it last reported it.
    pub seen: BTreeMap<String, Fingerprint>,
    /// Why this is only what was last known, if it is.
    pub stale: Option<String>,
}

/// The record, as the supervisor uses it. Each call is one transaction. Dropping a future may or may not undo it.
pub trait Registry: Send + Sync {
    /// The id of this server in the fleet.
    fn this_node(&self) -> NodeId;

    /// Reads records and rollouts, all as of one moment.
    fn read(&self, reading: Reading) -> BoxFuture<Result<Snapshot, Unavailable>>;

    /// Makes records for plugins that have none; those that are there stay as they are, but for a record that was removed,
    /// which begins anew. All their records afterwards.
    fn register(&self, newcomers: Vec<Newcomer>) -> BoxFuture<Result<Vec<Record>, Unavailable>>;

    /// Writes what was decided, if the record's revision is this one (or in any case, without). The record afterwards.
    fn decide(
        &self,
        name: &str,
        decision: Decision,
        by: Actor,
        revision: Option<u64>,
    ) -> BoxFuture<Result<Record, NotDecided>>;

    /// Proposes that all servers serve this. With no other server alive it is agreed on at once.
    fn propose(&self, proposal: Proposal) -> BoxFuture<Result<Proposed, Unavailable>>;

    /// Says that this node is ready, or why it cannot. When all have answered this commits the rollout, or fails it.
    fn answer(&self, rollout: RolloutId, answer: Result<(), String>) -> BoxFuture<Result<RolloutState, Unavailable>>;

    /// Ends a rollout whose time is over: with those that answered, or not at all. It does nothing to others.
    fn conclude(&self, rollout: RolloutId) -> BoxFuture<Result<RolloutState, Unavailable>>;

    /// Tells what this node serves: what changed since it last did. The record keeps what is not told of.
    fn report(&self, served: Vec<Served>) -> BoxFuture<Result<(), Unavailable>>;

    /// Notes what happened. In order; nobody waits for it.
    fn note(&self, happened: Happened);
}
