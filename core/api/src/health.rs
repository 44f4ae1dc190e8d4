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
    /// Handlers that block their threads now. For viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Vec<BlockedHandler>>,
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
