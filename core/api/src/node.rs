//! The servers of a fleet.

use crate::{Digest, Headline, UtcTime};
use serde::{Deserialize, Serialize};

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Node))]
pub struct NodeStatus {
    pub id: String,
    /// The machine's name.
    pub host: String,
    /// Where it listens.
    pub address: String,
    /// Its version of Camlock.
    pub version: String,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub started: UtcTime,
    /// When it was last heard of.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub heard: UtcTime,
    /// It has been silent for so long that nobody waits for it.
    pub stale: bool,
    /// It is the one that answers.
    pub this: bool,
    /// What it serves.
    pub serves: Vec<NodePlugin>,
    /// Plugins of which it serves something else than what was agreed on.
    pub lags: Vec<String>,
}

/// What a server serves of one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodePlugin {
    /// The plugin's name.
    pub plugin: String,
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub state: Headline,
    /// Why, where there is something to say.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub reason: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub generation: Option<u64>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub artifact: Option<Digest>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub version: Option<String>,
    /// The revision that it follows.
    pub revision: u64,
}
