//! Pages of points in PostgreSQL. What must not live here: when they are written, and the table (a migration of the registry).

use super::store::{PageKey, StoredPage, host};
use crate::data::{PostgresConnections, unavailable};
use camlock_policy::AskError;
use std::sync::Arc;
use tokio_postgres::{Row, types::ToSql};

pub(super) async fn write(
    connections: &PostgresConnections,
    node: &str,
    pages: &[(PageKey, Vec<u8>)],
) -> Result<(), AskError> {
    const WRITE: &str = "INSERT INTO analytics (plugin, node, tier, page, points) SELECT plugin, $1, tier, page, points FROM \
                         unnest($2::TEXT[], $3::SMALLINT[], $4::BIGINT[], $5::BYTEA[]) AS new (plugin, tier, page, points) \
                         ON CONFLICT (plugin, node, tier, page) DO UPDATE SET points = excluded.points";
    let mut connection = connections.get(&host()).await?;
    let statement = connection.statement(WRITE).await?;
    let plugins: Vec<&str> = pages.iter().map(|(key, _)| &*key.plugin).collect();
    let tiers: Vec<i16> = pages.iter().map(|(key, _)| key.tier as i16).collect();
    let numbers: Vec<i64> = pages.iter().map(|(key, _)| key.page as i64).collect();
    let points: Vec<&[u8]> = pages.iter().map(|(_, points)| &points[..]).collect();
    let values: [&(dyn ToSql + Sync); 5] = [&node, &plugins, &tiers, &numbers, &points];
    connection.client()?.execute(&statement, &values).await.map(drop).map_err(unavailable)
}

/// Those of one node, of all plugins, from these pages on.
pub(super) async fn of_node(
    connections: &PostgresConnections,
    node: &str,
    first: [(i16, i64); 4],
) -> Result<Vec<StoredPage>, AskError> {
    const READ: &str = "SELECT plugin, node, tier, page, points FROM analytics JOIN unnest($2::SMALLINT[], $3::BIGINT[]) \
                        AS kept (of_tier, first) ON tier = of_tier AND page >= first WHERE node = $1";
    let mut connection = connections.get(&host()).await?;
    let statement = connection.statement(READ).await?;
    let (tiers, pages) = parts(first);
    let found = connection.client()?.query(&statement, &[&node, &tiers, &pages]).await.map_err(unavailable)?;
    Ok(found.iter().filter_map(page).collect())
}

/// Those of one plugin, of all nodes.
pub(super) async fn of_plugin(
    connections: &PostgresConnections,
    plugin: &Arc<str>,
) -> Result<Vec<StoredPage>, AskError> {
    const READ: &str = "SELECT plugin, node, tier, page, points FROM analytics WHERE plugin = $1";
    let mut connection = connections.get(plugin).await?;
    let statement = connection.statement(READ).await?;
    let found = connection.client()?.query(&statement, &[&&**plugin]).await.map_err(unavailable)?;
    Ok(found.iter().filter_map(page).collect())
}

fn page(row: &Row) -> Option<StoredPage> {
    let plugin: Arc<str> = row.get::<_, &str>(0).into();
    StoredPage::of(plugin, row.get(1), row.get(2), row.get::<_, i64>(3) as u64, row.get(4))
}

pub(super) async fn purge(connections: &PostgresConnections, plugin: &Arc<str>) -> Result<(), AskError> {
    let mut connection = connections.get(plugin).await?;
    let statement = connection.statement("DELETE FROM analytics WHERE plugin = $1").await?;
    connection.client()?.execute(&statement, &[&&**plugin]).await.map(drop).map_err(unavailable)
}

/// Removes pages of these tiers before these.
pub(super) async fn sweep(connections: &PostgresConnections, first: [(i16, i64); 4]) -> Result<(), AskError> {
    const SWEEP: &str = "DELETE FROM analytics USING unnest($1::SMALLINT[], $2::BIGINT[]) AS kept (of_tier, first) \
                         WHERE tier = of_tier AND page < first";
    let mut connection = connections.get(&host()).await?;
    let statement = connection.statement(SWEEP).await?;
    let (tiers, pages) = parts(first);
    connection.client()?.execute(&statement, &[&tiers, &pages]).await.map(drop).map_err(unavailable)
}

fn parts(first: [(i16, i64); 4]) -> (Vec<i16>, Vec<i64>) {
    first.into_iter().unzip()
}
