//! The port to how people arranged their dashboards. What must not live here: what stands in a layout.

use crate::{BoxFuture, registry::Unavailable};

/// Where layouts are kept, by the names of tokens.
pub trait Layouts: Send + Sync {
    /// What is kept for a token of this name.
    fn layout(&self, token: String) -> BoxFuture<Result<Option<String>, Unavailable>>;
    /// Keeps this, or nothing.
    fn keep(&self, token: String, layout: Option<String>) -> BoxFuture<Result<(), Unavailable>>;
}
