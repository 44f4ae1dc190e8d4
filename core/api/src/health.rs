//! What a server is.

use serde::{Deserialize, Serialize};

/// What `/_/health` says. Of a server of another version it may be less.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerHealth {
    /// `ok`, as long as it answers.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub status: String,
    /// The server's version.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub version: String,
    /// The revision it was built from.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub revision: Option<String>,
    /// The compiler it was built with.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub rustc: Option<String>,
    /// The contract it offers to plugins.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub abi: String,
    /// The plugins that are compiled in.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub built_in: Vec<String>,
    /// The number of the server's process. For viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
    /// That of its parent, which replaces it if it dies. For viewers; without one there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// How the process before this one died, if it did. For viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub died_before: Option<String>,
    /// Upgrades in place that came to nothing. For viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_upgrades: Option<FailedUpgrades>,
    /// Handlers that block their threads now. For viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Vec<BlockedHandler>>,
}

/// Upgrades of a server's program that came to nothing, so that what served goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailedUpgrades {
    /// How many there were since this process began.
    pub times: u64,
    /// Why the last one did, in a sentence.
    pub reason: String,
}

/// A handler that blocks the thread that runs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlockedHandler {
    pub plugin: String,
    pub generation: u64,
    /// The request's method.
    pub method: String,
    /// The route that it asked for.
    pub route: String,
    /// How long it has blocked by now.
    pub seconds: f64,
}
