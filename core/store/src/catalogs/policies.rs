//! What was done by policy: which advisories were told of what, which plugins were disabled for one, which updates were tried.
//!
//! All servers of a fleet look at the same advisories; what stands here is done once by one of them.

use super::{CatalogRecords, note};
use crate::{record::count, words::Words};
use camlock_policy::registry::{Actor, Unavailable};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An advisory that was told of a plugin's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvisedPlugin {
    /// The plugin.
    pub plugin: String,
    /// The version that is concerned.
    pub version: String,
    /// The advisory's id.
    pub advisory: String,
    /// Whether the plugin was disabled for it.
    pub disabled: bool,
    /// When.
    pub at: SystemTime,
}

#[derive(QueryableByName)]
struct AdvisedRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    plugin: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    version: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    advisory: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    act: String,
    #[diesel(sql_type = BigInt)]
    at_ms: i64,
}

impl CatalogRecords {
    /// What was told.
    pub async fn advised(&self) -> Result<Vec<AdvisedPlugin>, Unavailable> {
        let at = self.0.database.dialect().milliseconds("told_at");
        let all = format!(
            "SELECT plugin, version, advisory, act, {at} AS at_ms FROM catalog_advised ORDER BY plugin, advisory"
        );
        let of = |row: AdvisedRow| AdvisedPlugin {
            disabled: row.act == "disabled",
            at: UNIX_EPOCH + Duration::from_millis(count(row.at_ms)),
            plugin: row.plugin,
            version: row.version,
            advisory: row.advisory,
        };
        self.rows(all, vec![], of).await
    }

    /// Whether this server is to try this update by itself: false if a server has tried it.
    pub async fn try_update(&self, plugin: &str, version: &str) -> Result<bool, Unavailable> {
        let (plugin, version) = (plugin.to_owned(), version.to_owned());
        self.write(move |core, mut work| async move {
            let now = work.dialect().now();
            let put = format!(
                "INSERT INTO catalog_updates (plugin, version, node) VALUES ($1, $2, $3) ON CONFLICT (plugin) DO UPDATE \
                 SET version = excluded.version, node = excluded.node, tried_at = {now} \
                 WHERE catalog_updates.version <> excluded.version"
            );
            let values = vec![plugin.into(), version.into(), core.node().into()];
            let is_ours = work.run(&put, values).await? > 0;
            work.commit().await?;
            Ok(is_ours)
        })
        .await
    }

    /// What did not come to a try, because something was away, does not count as one.
    pub async fn forget_update(&self, plugin: &str, version: &str) -> Result<(), Unavailable> {
        let (plugin, version) = (plugin.to_owned(), version.to_owned());
        self.write(move |core, mut work| async move {
            let forget = "DELETE FROM catalog_updates WHERE plugin = $1 AND version = $2 AND node = $3";
            work.run(forget, vec![plugin.into(), version.into(), core.node().into()]).await?;
            work.commit().await
        })
        .await
    }

    /// Puts on record that an advisory was told, or that its plugin was disabled for it, with why. False: that is on record already.
    pub async fn advise(&self, told: AdvisedPlugin, reason: String, by: Actor) -> Result<bool, Unavailable> {
        self.write(move |core, mut work| async move {
            let now = work.dialect().now();
            let act = if told.disabled { "disabled" } else { "told" };
            let put = format!(
                "INSERT INTO catalog_advised (plugin, version, advisory, act) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (plugin, version, advisory) DO UPDATE SET act = excluded.act, told_at = {now} \
                 WHERE catalog_advised.act = 'told' AND excluded.act = 'disabled'"
            );
            let values = vec![(&told.plugin).into(), (&told.version).into(), (&told.advisory).into(), act.into()];
            let is_new = work.run(&put, values).await? > 0;
            if is_new {
                let what = if told.disabled { "advisory-disabled" } else { "advisory" };
                let detail =
                    serde_json::json!({ "advisory": told.advisory, "version": told.version, "reason": reason });
                note(&core, &mut work, what, (Some(&told.plugin), &by), &detail).await?;
            }
            work.commit().await?;
            Ok(is_new)
        })
        .await
    }
}
