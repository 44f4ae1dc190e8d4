//! How people arranged their dashboards, by the names of their tokens. What must not live here: what stands in a layout.

use crate::{database::Work, shared::StoreCore, words::Words};
use camlock_policy::{BoxFuture, Layouts, registry::Unavailable};
use diesel::{QueryableByName, sql_types::Text};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// Layouts, in the registry.
#[derive(Clone)]
pub struct StoredLayouts(pub(crate) StoreCore);

impl std::fmt::Debug for StoredLayouts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("StoredLayouts").field(&self.0.database).finish()
    }
}

#[derive(QueryableByName)]
struct LayoutRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    layout: String,
}

fn put(work: &Work) -> String {
    format!(
        "INSERT INTO page_layouts (token, layout) VALUES ($1, $2) ON CONFLICT (token) DO UPDATE SET \
         layout = excluded.layout, changed_at = {}",
        work.dialect().now()
    )
}

impl Layouts for StoredLayouts {
    fn layout(&self, token: String) -> BoxFuture<Result<Option<String>, Unavailable>> {
        let database = self.0.database.clone();
        let load = async move {
            let mut work = database.read().await?;
            let look = "SELECT layout FROM page_layouts WHERE token = $1";
            let row = work.row::<LayoutRow>(look, vec![token.into()]).await?;
            work.commit().await?;
            Ok(row.map(|row| row.layout))
        };
        self.0.database.within_time(PATIENCE, load)
    }

    fn keep(&self, token: String, layout: Option<String>) -> BoxFuture<Result<(), Unavailable>> {
        let database = self.0.database.clone();
        let keep = async move {
            let mut work = database.write().await?;
            match layout {
                Some(layout) => {
                    let put = put(&work);
                    work.run(&put, vec![token.into(), layout.into()]).await?;
                }
                None => {
                    work.run("DELETE FROM page_layouts WHERE token = $1", vec![token.into()]).await?;
                }
            }
            work.commit().await
        };
        self.0.database.within_time(PATIENCE, keep)
    }
}
