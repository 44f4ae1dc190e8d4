//! Requests for artifacts whose bytes were lost: a server that lacks them asks for them, and a server that has them offers them
//! again.
//!
//! An object store may lose what lay in it, and the registry deletes the bytes of old artifacts. The servers that built or serve
//! them still have them in their data directories. What must not live here: which artifacts are wanted, and how bytes travel.

use crate::{Trouble, database::Word, shared::StoreCore, words::Words};
use camlock_policy::{
    Digest, Fingerprint, Kept,
    registry::{Exchange, Unavailable},
};
use diesel::{QueryableByName, sql_types::Text};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Artifacts whose bytes are to be had.
pub(crate) const TO_BE_HAD: &str =
    "(artifacts.elsewhere OR EXISTS (SELECT 1 FROM artifact_bytes WHERE artifact_bytes.digest = artifacts.digest))";

/// Requests are answered no more often than this: one that cannot be answered must not keep the database busy.
const BETWEEN_ANSWERS: Duration = Duration::from_secs(1);

/// Where this server has an artifact, if it has it.
pub(crate) type Holding = Arc<dyn Fn(Digest) -> Option<PathBuf> + Send + Sync>;

#[derive(QueryableByName)]
struct RequestedRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    digest: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    plugin: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    fingerprint: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    version: String,
}

/// Offers what other servers ask for and this one has, until it is aborted.
pub(crate) async fn answer(shared: StoreCore, exchange: Arc<dyn Exchange>, holding: Holding) {
    let mut fleet = shared.fleet.subscribe();
    loop {
        // Whatever comes from here on is another reason to look.
        fleet.mark_unchanged();
        match shared.requested().await {
            Ok(requested) => {
                let mut offered = false;
                for kept in requested {
                    let Some(path) = holding(kept.digest) else { continue };
                    offered = true;
                    match exchange.offer(&kept, Some(path)).await {
                        Ok(_) => {
                            tracing::info!(plugin = kept.name, digest = %kept.digest, "an artifact that was lost is offered again")
                        }
                        Err(why) => tracing::warn!(
                            plugin = kept.name,
                            "an artifact that was lost cannot be offered again: {why}"
                        ),
                    }
                }
                if offered {
                    tokio::time::sleep(BETWEEN_ANSWERS).await;
                }
            }
            // When the database can be used again there is word of everything.
            Err(why) => tracing::debug!("what other servers ask for is not known: {why}"),
        }
        if fleet.changed().await.is_err() {
            return;
        }
    }
}

impl StoreCore {
    /// The artifacts that some server lacks.
    async fn requested(&self) -> Result<Vec<Kept>, Unavailable> {
        let this = self.clone();
        self.database
            .within(async move {
                let requested = "SELECT digest, plugin, fingerprint, version FROM artifacts \
                     WHERE requested_at IS NOT NULL ORDER BY number";
                let rows = this.database.alone().await?.rows::<RequestedRow>(requested, vec![]).await?;
                let kept = |row: RequestedRow| {
                    Some(Kept {
                        digest: row.digest.parse().ok()?,
                        name: row.plugin,
                        version: row.version,
                        fingerprint: Fingerprint(row.fingerprint),
                        at: SystemTime::now(),
                    })
                };
                Ok(rows.into_iter().filter_map(kept).collect())
            })
            .await
    }

    /// Asks the other servers for an artifact whose bytes nobody shares; whether another server is there to answer.
    pub(crate) async fn request(&self, digest: Digest) -> Result<bool, Trouble> {
        let mut work = self.database.write().await?;
        let (now, since) = (work.dialect().now(), work.dialect().later("$2"));
        let request = format!("UPDATE artifacts SET requested_at = {now} WHERE digest = $1 AND NOT {TO_BE_HAD}");
        if work.run(&request, vec![digest.to_string().into()]).await? == 0 {
            // Nobody ever offered it, or its bytes lie where this server does not look.
            work.commit().await?;
            return Ok(false);
        }
        let others = format!("SELECT id AS word FROM nodes WHERE id <> $1 AND heard_at > {since} LIMIT 1");
        let silence = -i64::try_from(self.options.silence.as_millis()).unwrap_or(i64::MAX);
        let others = work.row::<Word>(&others, vec![self.node().into(), silence.into()]).await?;
        work.commit().await?;
        Ok(others.is_some())
    }

    /// Waits until an artifact that was asked for is offered again; not for long, since it may be that nobody has it.
    pub(crate) async fn until_answered(&self, digest: Digest) -> Result<bool, Trouble> {
        let mut fleet = self.fleet.subscribe();
        let answered = async {
            loop {
                fleet.mark_unchanged();
                let open =
                    "SELECT digest AS word FROM artifacts WHERE digest = $1 AND requested_at IS NOT NULL LIMIT 1";
                let open = self.database.alone().await?.row::<Word>(open, vec![digest.to_string().into()]).await?;
                if open.is_none() {
                    return Ok(true);
                }
                // The sender lives as long as this.
                let _ = fleet.changed().await;
            }
        };
        tokio::time::timeout(self.options.request, answered).await.unwrap_or(Ok(false))
    }

    /// The object store has lost these bytes: nobody counts on them any more.
    pub(crate) async fn put_lost(&self, digest: Digest) -> Result<(), Trouble> {
        let mut work = self.database.write().await?;
        let lost = "UPDATE artifacts SET elsewhere = $2 WHERE digest = $1 AND elsewhere";
        work.run(lost, vec![digest.to_string().into(), false.into()]).await?;
        work.commit().await
    }
}
