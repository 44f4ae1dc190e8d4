//! The port through which operators see how plugins are used, and what is wrong with them. What must not live here: how that is counted,
//! and where it is kept.

use crate::{AskError, BoxFuture};
use camlock_api::{AnalyticsView, PluginProblemView};
use std::time::{Duration, SystemTime};

/// The upper ends of the buckets in which it is counted how long answers took, in microseconds. The last bucket has none.
pub const LATENCY_BOUNDS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
    30_000_000,
];

/// So many buckets there are.
pub const LATENCY_BUCKETS: usize = LATENCY_BOUNDS.len() + 1;

/// Which stretch of time is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnalyticsQuery {
    /// From when on.
    pub from: SystemTime,
    /// Until when; without, all that has happened so far.
    pub to: Option<SystemTime>,
    /// For how long a point stands; without, so that there are not too many.
    pub step: Option<Duration>,
}

/// How plugins are used, for operators.
pub trait Analytics: Send + Sync {
    /// What was counted of a plugin, on all servers.
    fn read(&self, plugin: &str, query: AnalyticsQuery) -> BoxFuture<Result<AnalyticsView, AskError>>;
    /// What is wrong with plugins on this server now, by name and rule.
    fn problems(&self) -> Vec<PluginProblemView>;
}
