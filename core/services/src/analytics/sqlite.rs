//! Pages of points in SQLite. What must not live here: when they are written.

use super::store::{PageKey, StoredPage};
use crate::data::unavailable;
use camlock_policy::AskError;
use rusqlite::{Connection, TransactionBehavior, params};
use std::sync::Arc;

pub(crate) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS analytics (
        plugin TEXT NOT NULL, node TEXT NOT NULL, tier INTEGER NOT NULL, page INTEGER NOT NULL, points BLOB NOT NULL,
        PRIMARY KEY (plugin, node, tier, page)
    ) WITHOUT ROWID;
";

pub(super) fn write(connection: &mut Connection, node: &str, pages: &[(PageKey, Vec<u8>)]) -> Result<(), AskError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)?;
    {
        let sql = "INSERT INTO analytics (plugin, node, tier, page, points) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (plugin, node, tier, page) DO UPDATE SET points = excluded.points";
        let mut statement = transaction.prepare_cached(sql).map_err(unavailable)?;
        for (key, points) in pages {
            let values = params![&*key.plugin, node, key.tier as i16, key.page as i64, points];
            statement.execute(values).map_err(unavailable)?;
        }
    }
    transaction.commit().map_err(unavailable)
}

/// Those of one node, of all plugins, from these pages on.
pub(super) fn of_node(
    connection: &Connection,
    node: &str,
    first: [(i16, i64); 4],
) -> Result<Vec<StoredPage>, AskError> {
    let mut found = Vec::new();
    for (tier, page) in first {
        let sql = "SELECT plugin, node, tier, page, points FROM analytics WHERE node = ?1 AND tier = ?2 AND page >= ?3";
        found.extend(query(connection, sql, params![node, tier, page])?);
    }
    Ok(found)
}

/// Those of one plugin, of all nodes.
pub(super) fn of_plugin(connection: &Connection, plugin: &str) -> Result<Vec<StoredPage>, AskError> {
    query(connection, "SELECT plugin, node, tier, page, points FROM analytics WHERE plugin = ?1", params![plugin])
}

fn query(connection: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<StoredPage>, AskError> {
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let rows = statement.query_map(values, |row| {
        let plugin: Arc<str> = row.get::<_, String>(0)?.into();
        let (node, tier, page) = (row.get(1)?, row.get(2)?, row.get::<_, i64>(3)? as u64);
        Ok(StoredPage::of(plugin, node, tier, page, &row.get::<_, Vec<u8>>(4)?))
    });
    let found = rows.map_err(unavailable)?.collect::<Result<Vec<_>, _>>().map_err(unavailable)?;
    Ok(found.into_iter().flatten().collect())
}

pub(super) fn purge(connection: &Connection, plugin: &str) -> Result<(), AskError> {
    connection.execute("DELETE FROM analytics WHERE plugin = ?1", [plugin]).map(drop).map_err(unavailable)
}

/// Removes pages of these tiers before these.
pub(super) fn sweep(connection: &Connection, first: [(i16, i64); 4]) -> Result<(), AskError> {
    for (tier, page) in first {
        let sql = "DELETE FROM analytics WHERE tier = ?1 AND page < ?2";
        connection.execute(sql, params![tier, page]).map_err(unavailable)?;
    }
    Ok(())
}
