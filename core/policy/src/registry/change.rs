//! What a registry's feed tells: that something changed, not what it is now. It travels from the feed to the supervisor as it is.
//!
//! What must not live here: how a database tells it, and what follows.

use std::collections::BTreeSet;

/// Something changed in the registry, or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryChange {
    /// The records of these plugins.
    Plugins(BTreeSet<String>),
    /// Any record.
    Everything,
    /// Rollouts, and what they answer; artifacts.
    Rollouts,
    /// The journal.
    Journal,
    /// Tokens.
    Tokens,
    /// Nothing for now, for the database cannot be used. Whoever asks hears why; everything is told when it can be used again.
    Away,
}
