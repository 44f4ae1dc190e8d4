//! What a plugin may: what it asks for, and what was granted to it.

use serde::{Deserialize, Serialize};

/// What holds a plugin to what it was granted.
pub const CHECKED_BY_THE_HOST: &str = "checked by the host, not contained";

/// What a plugin may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Grants))]
pub struct GrantsView {
    /// Where the plugin came from: `directory`, `upload`, or `catalog:<name>`. What is granted is granted to what came from there.
    pub source: String,
    /// Whether an operator decided it; else what the source is granted holds.
    pub decided: bool,
    /// Whether whatever each version asks for is granted.
    pub all: bool,
    /// What is granted: all that was decided, or, of what is asked for, what the source is granted.
    pub granted: Vec<String>,
    /// What the manifest of what serves asks for, and that of a candidate that waits; of a plugin that has neither, what it last asked for.
    pub asked: Vec<PermissionView>,
    /// What holds the plugin to it.
    pub enforcement: String,
}

/// A permission that a plugin asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Permission))]
pub struct PermissionView {
    pub permission: String,
    /// What it lets a plugin do.
    pub meaning: String,
    /// Whether the plugin has it.
    pub granted: bool,
}
