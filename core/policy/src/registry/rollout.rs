//! How the servers of a fleet come to serve the same: one proposes, each tries, and all swap or nobody does.

use super::{Actor, Agreed, NodeId, Record};
use crate::Fingerprint;
use std::collections::{BTreeMap, BTreeSet};

/// A rollout's number. Later ones have greater ones.
pub type RolloutId = u64;

/// What is proposed. The artifact's bytes are where other servers find them by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The plugin.
    pub plugin: String,
    /// What is to serve.
    pub agreed: Agreed,
    /// Who wants that.
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

/// A rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Its number.
    pub id: RolloutId,
    /// The plugin.
    pub plugin: String,
    /// What is to serve.
    pub agreed: Agreed,
    /// Who proposed it.
    pub proposer: NodeId,
    /// The servers that were alive when it began. Others take what comes of it.
    pub nodes: BTreeSet<NodeId>,
    /// What they answered so far: ready, or why they cannot.
    pub answers: BTreeMap<NodeId, Result<(), String>>,
    /// How it stands.
    pub state: RolloutState,
    /// In how many milliseconds its time is over, by the registry's clock; nothing if it is over already.
    pub left_ms: Option<u64>,
}

/// How a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// Answers are awaited.
    Open,
    /// All swap.
    Committed,
    /// Nobody swaps, and why: which node, and what it said; or a newer proposal took its place.
    Failed(String),
}
