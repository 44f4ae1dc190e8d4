//! How plugins are used and how they do, over time; and what is wrong with them by rules that are written down.

use crate::UtcTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a plugin was used and how it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Analytics))]
pub struct AnalyticsView {
    pub plugin: String,
    /// When the first point begins.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub from: UtcTime,
    /// When the last point ends.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub to: UtcTime,
    /// How many seconds a point stands for.
    pub step: u64,
    /// One after the other, without gaps; of all servers together.
    pub points: Vec<AnalyticsPoint>,
    /// Generations that served lately, each with all that was counted while it did. The latest first.
    pub generations: Vec<GenerationUse>,
    pub usage: UsageView,
}

/// What was counted in one stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UseCounts {
    /// Requests that were answered.
    pub requests: u64,
    /// Answers with a status of 500 and above.
    pub errors: u64,
    /// Answers with a status from 400 to 499.
    pub client_errors: u64,
    /// Requests whose clients left before there was an answer.
    pub abandoned: u64,
    pub panics: u64,
    /// Until half of the answers had begun, in milliseconds. Null: there were none. It is known to within a bucket of the metrics.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub p50_ms: Option<f64>,
    /// Until 95 of 100 had begun.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub p95_ms: Option<f64>,
    /// Until 99 of 100 had begun.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub p99_ms: Option<f64>,
    /// The most that it held. Null: that is not counted of it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub memory_bytes: Option<u64>,
    /// What generations before left in memory.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub left_behind_bytes: Option<u64>,
    /// What it asked of its host.
    pub asks: u64,
    pub ask_errors: u64,
    pub executions: u64,
    pub failed_executions: u64,
    pub tasks_done: u64,
    /// Attempts at tasks that failed.
    pub tasks_failed: u64,
    /// The most tasks that waited.
    pub tasks_waiting: u64,
    pub events_emitted: u64,
    pub events_delivered: u64,
    /// Attempts at events that failed.
    pub events_failed: u64,
    /// Events that it never heard of.
    pub events_dropped: u64,
    /// The most events that waited for it.
    pub events_waiting: u64,
    /// Generations that came to serve.
    pub swaps: u64,
    /// Times at which it was found unwell: it was started anew, or what served before came back.
    pub unwell: u64,
}

/// A point of a plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnalyticsPoint {
    /// When it begins.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: UtcTime,
    #[serde(flatten)]
    pub counts: UseCounts,
}

/// A generation and what was counted while it served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GenerationUse {
    /// The server's own number of it.
    pub generation: u64,
    /// The server that it served on.
    pub node: String,
    /// Since when it was counted.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: UtcTime,
    #[serde(flatten)]
    pub counts: UseCounts,
}

/// All that is known of the use of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Usage))]
pub struct UsageView {
    /// When somebody last had it do something: a request, a task, an event or an execution. To within ten seconds.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub last_used_at: Option<UtcTime>,
    /// From this day on it is counted. Null: nothing was counted yet.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub since: Option<UtcTime>,
    #[serde(flatten)]
    pub counts: UseCounts,
}

/// By which rule something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ProblemRule {
    /// More requests fail than before this generation.
    ErrorRate,
    /// Answers take more than twice as long as before this generation.
    Latency,
    /// What it holds in memory grows steadily.
    MemoryGrows,
    /// The same code was started again and again.
    Restarts,
    /// Generations cannot leave the process.
    Pinned,
    /// It does not keep up with the events that it wants to hear of.
    SlowSubscriber,
    /// More tasks come than it does.
    QueueGrows,
    /// An advisory of its catalog is about this version.
    Advisory,
}

impl ProblemRule {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            ProblemRule::ErrorRate => "error-rate",
            ProblemRule::Latency => "latency",
            ProblemRule::MemoryGrows => "memory-grows",
            ProblemRule::Restarts => "restarts",
            ProblemRule::Pinned => "pinned",
            ProblemRule::SlowSubscriber => "slow-subscriber",
            ProblemRule::QueueGrows => "queue-grows",
            ProblemRule::Advisory => "advisory",
        }
    }
}

/// What may be done about a problem at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RecommendedAct {
    Rollback,
    Reload,
}

/// What is wrong with a plugin, by one rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PluginProblem))]
pub struct PluginProblemView {
    pub plugin: String,
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub rule: ProblemRule,
    /// When it was first seen.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: UtcTime,
    /// What is wrong, in one sentence.
    pub what: String,
    /// The numbers by which it was found.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub evidence: Value,
    /// What to do, in one sentence.
    pub recommendation: String,
    /// The order that does it; null: none does.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<RecommendedAct>, required))]
    pub act: Option<RecommendedAct>,
}
