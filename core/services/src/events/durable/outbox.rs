//! Events that plugins emitted in transactions of their own, when events are kept elsewhere than in that database: they are carried over
//! once they are committed, and only then removed. If this ends in between they come twice. What must not live here: where they go.

use super::{
    emitted::emission,
    port::KeptEmission,
    sql::{FRESH, LOCK_HEAD, REMOVE_FRESH, UNNUMBERED},
    store::{EventCell, EventStore, begin, on_postgres, on_sqlite, plain},
};
use crate::{PluginData, data::unavailable};
use camlock_policy::AskError;
use rusqlite::Connection;

impl EventStore {
    /// Carries some of them over, in their order: how many.
    pub(super) async fn carry_over(
        &self,
        carry: impl AsyncFnOnce(&[KeptEmission]) -> Result<(), AskError>,
    ) -> Result<u64, AskError> {
        match self.data() {
            // Nobody else has this file.
            PluginData::Sqlite(file) => {
                let own = self.own();
                let fresh = file.write(own, |connection: &mut Connection| on_sqlite(connection, FRESH, &[])).await?;
                if fresh.is_empty() {
                    return Ok(0);
                }
                carry(&fresh.iter().map(emission).collect::<Vec<_>>()).await?;
                let count = fresh.len() as u64;
                let remove = move |connection: &mut Connection| {
                    let transaction = begin(connection)?;
                    for row in &fresh {
                        on_sqlite(&transaction, REMOVE_FRESH, &row[..1])?;
                    }
                    transaction.commit().map_err(unavailable)
                };
                file.write(own, remove).await?;
                Ok(count)
            }
            PluginData::Postgres(connections) => {
                let mut connection = connections.get(self.own()).await?;
                if on_postgres(&mut connection, UNNUMBERED, &[]).await?.is_empty() {
                    return Ok(0);
                }
                connection.spoil();
                plain(&connection, "BEGIN").await?;
                // One server at a time, so that they stay in their order.
                on_postgres(&mut connection, LOCK_HEAD, &[]).await?;
                let fresh = on_postgres(&mut connection, FRESH, &[]).await?;
                carry(&fresh.iter().map(emission).collect::<Vec<_>>()).await?;
                for row in &fresh {
                    on_postgres(&mut connection, REMOVE_FRESH, &[EventCell::Number(row[0].number())]).await?;
                }
                plain(&connection, "COMMIT").await?;
                connection.restore();
                Ok(fresh.len() as u64)
            }
        }
    }
}
