//! What a node writes by itself: that it is alive, what happened, and, once an hour, nothing of what is too old.

use crate::{
    StoreOptions, Trouble,
    connection::{Value, number},
    shared::StoreCore,
};
use camlock_policy::registry::Happened;
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::watch;

/// Notes that are written at once.
const NOTES: usize = 200;

/// What is too old is deleted as often as this.
const PRUNE: Duration = Duration::from_secs(3_600);

/// So many changes are kept for those who follow a file.
pub(crate) const CHANGES: i64 = 10_000;

/// So many milliseconds are a day.
const DAY: i64 = 24 * 3_600 * 1_000;

/// Keeps at it until the store ends.
pub(crate) async fn keep(shared: StoreCore, mut ending: watch::Receiver<bool>) {
    let mut usable = shared.database.follow_trouble();
    let first = tokio::time::Instant::now() + shared.options.heartbeat;
    let mut beat = tokio::time::interval_at(first, shared.options.heartbeat);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pruned = None::<Instant>;
    loop {
        if usable.borrow_and_update().is_none() {
            shared.write_notes().await;
            if pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNE) {
                pruned = Some(Instant::now());
                let this = shared.clone();
                if let Err(error) =
                    shared.database.within_time(shared.options.transfer, async move { this.prune().await }).await
                {
                    tracing::warn!("what is too old was not deleted from the registry: {error}");
                }
            }
        }
        tokio::select! {
            _ = beat.tick() => shared.beat().await,
            () = shared.noted.notified() => {}
            changed = usable.changed() => if changed.is_err() { return },
            // It is told once, or its sender is gone.
            _ = ending.changed() => break,
        }
    }
    shared.write_notes().await;
    let this = shared.clone();
    // If it cannot be said, the others find out by themselves.
    let _ = shared.database.within(async move { this.leave().await }).await;
}

impl StoreCore {
    /// Puts this node on record, or tells what changed about it.
    pub(crate) async fn enroll(&self) -> Result<(), Trouble> {
        let mut work = self.database.write().await?;
        let now = work.dialect().now();
        let enroll = format!(
            "INSERT INTO nodes (id, host, address, version, started_at, heard_at) VALUES ($1, $2, $3, $4, {now}, {now}) \
             ON CONFLICT (id) DO UPDATE SET host = excluded.host, address = excluded.address, version = excluded.version, \
             started_at = CASE WHEN $5 THEN nodes.started_at ELSE excluded.started_at END, heard_at = excluded.heard_at"
        );
        // Connecting again is not starting again.
        let again = self.enrolled.swap(true, Ordering::Relaxed);
        let StoreOptions { address, version, .. } = &self.options;
        work.run(&enroll, vec![self.node().into(), (&self.host).into(), address.into(), version.into(), again.into()])
            .await?;
        if !again {
            // What it was about to build in an earlier life nobody builds.
            work.run("DELETE FROM build_rights WHERE node = $1", vec![self.node().into()]).await?;
        }
        if work.dialect() == crate::connection::Dialect::Postgres {
            // Entries that were restored from a dump bear transactions of another server, which may be ahead of this one's.
            let restored = "UPDATE plugin_journal SET xact = '0' WHERE xact >= pg_snapshot_xmax(pg_current_snapshot()) \
                 AND xact <> pg_current_xact_id()";
            work.run(restored, vec![]).await?;
        }
        work.commit().await
    }

    /// Lets this node be heard of.
    async fn beat(&self) {
        let this = self.clone();
        let beat = self.database.within(async move {
            let mut work = this.database.heartbeat().await?;
            let beat = format!("UPDATE nodes SET heard_at = {} WHERE id = $1", work.dialect().now());
            let known = work.run(&beat, vec![this.node().into()]).await? > 0;
            drop(work);
            if known { Ok(()) } else { this.enroll().await }
        });
        if let Err(error) = beat.await {
            tracing::debug!("{error}");
        }
    }

    /// Nobody has to wait for this node any more.
    async fn leave(&self) -> Result<(), Trouble> {
        let mut work = self.database.heartbeat().await?;
        let past = work.dialect().later("$1");
        let silence = -i64::try_from(self.options.silence.as_millis()).unwrap_or(0) - 1;
        let leave = format!("UPDATE nodes SET heard_at = {past} WHERE id = $2");
        work.run(&leave, vec![silence.into(), self.node().into()]).await.map(drop)
    }

    /// Writes what happened, in order, as far as it can be written.
    async fn write_notes(&self) {
        loop {
            let notes = self.oldest_notes(NOTES);
            let count = notes.len();
            if count == 0 {
                return;
            }
            let this = self.clone();
            match self.database.within(async move { this.write(notes).await }).await {
                Ok(()) => self.forget_notes(count),
                Err(error) => return tracing::debug!("{error}"),
            }
        }
    }

    async fn write(&self, notes: Vec<Happened>) -> Result<(), Trouble> {
        let mut work = self.database.report().await?;
        let note = format!(
            "INSERT INTO plugin_journal (at, node, plugin, generation, what, actor, detail) VALUES ({}, $2, $3, $4, $5, $6, {})",
            work.dialect().time("$1"),
            work.dialect().json("$7")
        );
        for happened in notes {
            let Happened { plugin, generation, what, by, detail, at } = happened;
            let values: Vec<Value> = vec![
                milliseconds(at).into(),
                self.node().into(),
                plugin.into(),
                generation.into(),
                what.into(),
                by.as_str().into(),
                detail.to_string().into(),
            ];
            work.run(&note, values).await?;
        }
        work.commit().await
    }

    /// Deletes what is too old.
    async fn prune(&self) -> Result<(), Trouble> {
        let mut work = self.database.report().await?;
        work.patiently(self.options.transfer).await?;
        let ago = work.dialect().later("$1");
        let days = -i64::from(self.options.journal_days) * DAY;
        for old in [
            format!("DELETE FROM plugin_journal WHERE at < {ago}"),
            format!("DELETE FROM nodes WHERE heard_at < {ago}"),
            format!("DELETE FROM rollouts WHERE state <> 'open' AND begun_at < {ago}"),
        ] {
            work.run(&old, vec![days.into()]).await?;
        }
        let expired = format!("DELETE FROM build_rights WHERE until < {ago}");
        work.run(&expired, vec![(-DAY).into()]).await?;
        if work.dialect() == crate::connection::Dialect::Sqlite {
            let changes = "DELETE FROM plugin_changes WHERE seq <= (SELECT max(seq) FROM plugin_changes) - $1";
            work.run(changes, vec![CHANGES.into()]).await?;
        }
        // The newest ones of each plugin, and what serves or is to serve, keep their bytes.
        let bytes = "DELETE FROM artifact_bytes WHERE digest NOT IN \
             (SELECT digest FROM (SELECT digest, row_number() OVER (PARTITION BY plugin ORDER BY number DESC) AS place \
              FROM artifacts) AS placed WHERE place <= $1) \
             AND digest NOT IN (SELECT artifact_digest FROM plugins WHERE artifact_digest IS NOT NULL) \
             AND digest NOT IN (SELECT artifact_digest FROM node_plugins WHERE artifact_digest IS NOT NULL) \
             AND digest NOT IN (SELECT digest FROM rollouts WHERE state = 'open')";
        work.run(bytes, vec![i64::from(self.options.artifacts).into()]).await?;
        work.commit().await
    }
}

/// Since 1970.
pub(crate) fn milliseconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    number(u64::try_from(since).unwrap_or(u64::MAX))
}

/// The time so many milliseconds after 1970 began.
pub(crate) fn time(milliseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}
