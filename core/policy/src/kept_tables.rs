//! The port through which operators see plugins' own tables. What must not live here: where they are, and how they are changed.

use crate::{AskError, BoxFuture, PluginTablesView};

/// Plugins' own tables, for operators.
pub trait KeptTables: Send + Sync {
    /// Those of a plugin, with how much is in each; none if it has none.
    fn tables(&self, plugin: &str) -> BoxFuture<Result<PluginTablesView, AskError>>;
}
