//! A plugin's own tables.

use serde::{Deserialize, Serialize};

/// What a plugin has in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PluginTables))]
pub struct PluginTablesView {
    /// By name.
    pub tables: Vec<PluginTableView>,
    /// Its migrations that have run, in order.
    pub migrations: Vec<RanMigrationView>,
}

/// A table, or a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PluginTable))]
pub struct PluginTableView {
    pub name: String,
    /// How many rows it has; those of a view are not counted.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub rows: Option<u64>,
    /// There are more rows: no more are counted.
    pub more: bool,
}

/// A migration that has run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RanMigration))]
pub struct RanMigrationView {
    pub number: u32,
    pub name: String,
    /// It took away what earlier versions need.
    pub contracts: bool,
}
