//! What a plugin has in the registry's schema, as its role for run time sees it.

use super::roles::{quoted, unavailable};
use crate::database::{
    MigrationError,
    kept::{count, table},
    names::TableNames,
};
use camlock_policy::PluginTableView;
use tokio_postgres::{Client, Error};

const RELATIONS: &str = "
    SELECT c.relname::text, c.relkind::text
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition";

/// Its tables and views. The connection is as it was afterwards, unless this fails.
pub(in crate::database) async fn kept(
    client: &Client,
    schema: &str,
    plugin: &str,
) -> Result<Vec<PluginTableView>, MigrationError> {
    let told = |error: Error| unavailable(&error);
    let names = TableNames::of(plugin);
    // Whoever looks does not wait for those who change something, nor for a table that takes long to read.
    client.batch_execute("BEGIN READ ONLY; SET LOCAL statement_timeout TO '5s'").await.map_err(told)?;
    let mut tables = Vec::new();
    for row in client.query(RELATIONS, &[&schema]).await.map_err(told)? {
        let (name, kind): (String, String) = (row.get(0), row.get(1));
        if !names.owns(&name) {
            continue;
        }
        let rows = if kind == "r" || kind == "p" {
            let counted = client.query_one(&count(&format!("{}.{}", quoted(schema), quoted(&name))), &[]).await;
            Some(counted.map_err(told)?.get::<_, i64>(0).unsigned_abs())
        } else {
            None
        };
        tables.push(table(name, rows));
    }
    client.batch_execute("COMMIT").await.map_err(told)?;
    Ok(tables)
}
