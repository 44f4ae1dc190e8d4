//! What a plugin has in the file.

use super::{applied, own};
use crate::database::{
    kept::{count, describe, table},
    names::TableNames,
};
use camlock_policy::PluginTablesView;
use rusqlite::Connection;

/// Its tables and views, and which of its migrations have run.
pub(in crate::database) fn kept(connection: &Connection, plugin: &str) -> rusqlite::Result<PluginTablesView> {
    let mut tables = Vec::new();
    for (kind, name) in own(connection, &TableNames::of(plugin))? {
        // The names of a plugin's own hold nothing that would have to be escaped.
        let rows = match &*kind {
            "table" => Some(connection.query_row(&count(&format!("main.\"{name}\"")), [], |row| row.get::<_, i64>(0))?),
            _ => None,
        };
        tables.push(table(name, rows.map(i64::unsigned_abs)));
    }
    Ok(describe(tables, applied(connection, plugin)?))
}
