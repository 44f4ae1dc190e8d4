//! Events and who hears of them.

use crate::UtcTime;
use serde::{Deserialize, Serialize};

/// Who hears of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Subscription))]
pub struct SubscriptionView {
    /// The plugin, a colon, and its name among the plugin's.
    pub id: String,
    pub plugin: String,
    /// Which topics.
    pub pattern: String,
    /// Whether events are kept until they are handled.
    pub durable: bool,
    /// Which servers hear of a durable event: `one`, `every`.
    pub deliver: Option<String>,
    /// The server that this is about, where each has its own place.
    pub node: Option<String>,
    pub state: SubscriptionState,
    /// Why it is so, or how it last failed.
    pub reason: Option<String>,
    /// Events that wait for it.
    pub waiting: u64,
    /// Events that it handled: of what is in memory, and since this server began.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Events that it never heard of: the oldest of too many that waited, or those that were kept for as long as they are.
    pub dropped: u64,
    /// Events that were given up, and can be replayed.
    pub dead: u64,
    /// Up to where it has handled what is kept.
    pub position: Option<u64>,
}

/// How it is with a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SubscriptionState {
    /// It is brought what comes.
    Active,
    /// An event is tried again and again.
    Retrying,
    /// Nothing is brought to it until an operator has it go on.
    Paused,
    /// No operator has granted it.
    Denied,
    /// What serves of the plugin does not have it.
    Unused,
}

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadEventView {
    /// Its place among all that are kept.
    pub number: u64,
    pub topic: String,
    /// Its place among those of its topic.
    pub position: u64,
    /// What it says: JSON, or a text of bytes in base64.
    pub payload: serde_json::Value,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: UtcTime,
    pub trace_id: String,
    pub depth: u32,
    /// The server that gave it up, where each has its own place.
    pub node: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// How it failed at last.
    pub reason: String,
    /// When it was given up.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub died: UtcTime,
}

/// An event, to those who follow a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventView {
    pub topic: String,
    /// What it says: JSON, or a text of bytes in base64.
    pub payload: serde_json::Value,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: UtcTime,
    pub trace_id: String,
    pub depth: u32,
}
