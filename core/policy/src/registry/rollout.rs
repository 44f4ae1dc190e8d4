//! How the servers of a fleet come to serve the same: one proposes, each tries, and all swap or nobody does.

use super::{Actor, Agreed, NodeId, Record};
use crate::Fingerprint;
use std::collections::{BTreeMap, BTreeSet};

/// A rollout's number. Later ones have greater ones.
pub type RolloutId = u64;

/// What is proposed. The artifact's bytes are where other servers find them by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The plugin that the proposal is about.
    pub plugin: String,
    /// What is to serve.
    pub agreed: Agreed,
    /// Who wants that it serves.
    pub by: Actor,
    /// What lies in the proposer's directory: with this proposal it is accounted for.
    pub seen: Option<Fingerprint>,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// It is agreed on already, or nobody else has to be asked: this is on record now.
    Agreed(Box<Record>),
    /// The others are asked. The proposer's own answer is in it.
    Asking(Box<Rollout>),
    /// There is no record of the plugin any more.
    Unknown,
}

/// A proposal that several servers answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The rollout's number.
    pub id: RolloutId,
    /// The plugin that it is about.
    pub plugin: String,
    /// What is to serve.
    pub agreed: Agreed,
    /// The node that proposed it.
    pub proposer: NodeId,
    /// The servers that were alive when it began. Others take what comes of it.
    pub nodes: BTreeSet<NodeId>,
    /// What they answered so far: ready, or why they cannot.
    pub answers: BTreeMap<NodeId, Result<(), String>>,
    /// Whether answers are awaited, and if not, what came of it.
    pub state: RolloutState,
    /// In how many milliseconds its time is over, by the registry's clock; nothing if it is over already.
    pub left_ms: Option<u64>,
}

/// How a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// Not every server that was alive has answered yet.
    Open,
    /// All were ready, or their time was over: all swap.
    Committed,
    /// Nobody swaps, and why: which node, and what it said; or a newer proposal took its place.
    Failed(String),
}
