//! Changes in a file of SQLite. It tells nobody of them, so the file itself is watched, and what changed is read.
//!
//! What must not live here: which change is this process's own (`writers`), and what follows from one.

use crate::{
    Trouble,
    connection::Value,
    database::Word,
    feed::PendingChanges,
    shared::StoreCore,
    writers::{OwnWrite, Writers},
};
use diesel::{QueryableByName, sql_types::BigInt};
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use std::{
    ffi::OsString,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// A transaction is visible a little after its pages were written: after the disk has taken them, if its writer wants that. No
/// event tells of it, so one looks again and again after somebody else's last write.
const AFTER_OTHERS: [Duration; 9] = [
    Duration::ZERO,
    Duration::from_millis(2),
    Duration::from_millis(8),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
];

/// What this process commits is visible at once. The later look is for whoever wrote at that very moment.
const AFTER_A_CHANGE: [Duration; 2] = [Duration::ZERO, Duration::from_millis(20)];

/// When it was this node letting itself be heard of.
const AFTER_A_HEARTBEAT: [Duration; 1] = [Duration::from_millis(20)];

/// Others are there for so long after they last wrote: two of their heartbeats, and some.
const OTHERS_STAY: Duration = Duration::from_secs(60);

/// Without word from the operating system one looks as often as this.
const UNWATCHED: Duration = Duration::from_secs(1);

/// How far the file was read.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
struct ChangeCounters {
    #[diesel(sql_type = BigInt)]
    changes: i64,
    #[diesel(sql_type = BigInt)]
    journal: i64,
    #[diesel(sql_type = BigInt)]
    fleet: i64,
    #[diesel(sql_type = BigInt)]
    tokens: i64,
}

const CLOCK: &str = "SELECT fleet, tokens, (SELECT coalesce(max(seq), 0) FROM plugin_changes) AS changes, \
     (SELECT coalesce(max(id), 0) FROM plugin_journal) AS journal FROM registry_clock";

/// The database's files, watched.
pub(crate) struct Files {
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    writers: Arc<Writers>,
    known: ChangeCounters,
    /// When somebody else last wrote.
    others: Option<Instant>,
}

/// Why one looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The turns of this process ended so.
    Own(OwnWrite),
    /// Somebody else may have written.
    Others,
}

/// When one looks, each time that long after the look before.
fn looks(reason: Reason, among_others: bool) -> &'static [Duration] {
    match reason {
        // Others may have begun to write at the moment when this process ended, so that their change looks like its own.
        Reason::Own(OwnWrite::Heartbeat) if !among_others => &AFTER_A_HEARTBEAT,
        Reason::Own(OwnWrite::Change) if !among_others => &AFTER_A_CHANGE,
        Reason::Own(_) | Reason::Others => &AFTER_OTHERS,
    }
}

impl Files {
    /// Watches from now on.
    pub(crate) async fn open(shared: &StoreCore, writers: Arc<Writers>) -> Result<Self, Trouble> {
        let changed = Arc::new(Notify::new());
        let path = writers.file();
        let watcher = watch(path, changed.clone());
        if let Err(error) = &watcher {
            tracing::warn!("{} is not watched ({error}); it is looked at every second", path.display());
        }
        let known = clock(shared).await?;
        Ok(Files { changed, watcher: watcher.ok(), writers, known, others: None })
    }

    /// Follows the file until it cannot be read.
    pub(crate) async fn follow(mut self, shared: &StoreCore) -> Trouble {
        let mut pending: &[Duration] = &[];
        // Why the last look could not be finished.
        let mut unread: Option<Trouble> = None;
        loop {
            // What could not be read may not be followed by another change; and somebody who does not hear of any has to look.
            let without_reason = self.watcher.is_none() || unread.is_some();
            let pause = pending.first().copied().or(without_reason.then_some(UNWATCHED));
            let reason = tokio::select! {
                biased;
                ended = self.writers.ended() => Some(Reason::Own(ended)),
                () = self.changed.notified() => {
                    if self.writers.explains_change() {
                        continue;
                    }
                    self.others = Some(Instant::now());
                    Some(Reason::Others)
                }
                () = pause_for(pause) => None,
            };
            if let Some(reason) = reason {
                pending = looks(reason, self.others.is_some_and(|others| others.elapsed() < OTHERS_STAY));
                if !pending[0].is_zero() {
                    continue;
                }
            }
            pending = pending.get(1..).unwrap_or_default();
            let looked = self.look(shared).await;
            unread = match (looked, unread) {
                (Ok(()), None) => None,
                (Ok(()), Some(_)) => {
                    tracing::info!("changes in the registry are read again");
                    None
                }
                // It is locked, or the disk is full. What changed is found at the next look.
                (Err(trouble), before) if trouble.passes() => {
                    if before.as_ref() != Some(&trouble) {
                        tracing::warn!("changes in the registry cannot be read: {trouble}");
                    }
                    Some(trouble)
                }
                (Err(trouble), _) => return trouble,
            };
        }
    }

    /// Reads what changed, and tells it.
    async fn look(&mut self, shared: &StoreCore) -> Result<(), Trouble> {
        let now = clock(shared).await?;
        if now == self.known {
            return Ok(());
        }
        let mut heard = PendingChanges {
            rollouts: now.fleet != self.known.fleet,
            journal: now.journal != self.known.journal,
            tokens: now.tokens != self.known.tokens,
            ..PendingChanges::default()
        };
        if now.changes != self.known.changes {
            let range: Vec<Value> = vec![self.known.changes.into(), now.changes.into()];
            let names = "SELECT DISTINCT name AS word FROM plugin_changes WHERE seq > $1 AND seq <= $2";
            let names = shared.database.alone().await?.rows::<Word>(names, range).await?;
            heard.plugins = names.into_iter().map(|name| name.word).collect();
            // Old ones are deleted now and then; who was asleep for so long has missed some.
            heard.everything = now.changes - self.known.changes > crate::clerk::CHANGES;
        }
        self.known = now;
        heard.tell(shared).await;
        Ok(())
    }
}

/// Waits so long; without a time, for ever.
async fn pause_for(pause: Option<Duration>) {
    match pause {
        Some(pause) if pause.is_zero() => {}
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

async fn clock(shared: &StoreCore) -> Result<ChangeCounters, Trouble> {
    let clock = shared.database.alone().await?.row::<ChangeCounters>(CLOCK, vec![]).await?;
    clock.ok_or_else(|| Trouble::passing(format!("{} has lost the row of `registry_clock`", shared.database.address)))
}

fn watch(path: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let name = path.file_name().map(OsString::from).unwrap_or_default();
    let ours = move |path: &Path| {
        let found = path.file_name().unwrap_or_default().as_encoded_bytes();
        found.strip_prefix(name.as_encoded_bytes()).is_some_and(|rest| rest.is_empty() || rest == b"-wal")
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let concerns = match &event {
            Ok(event) => {
                let wrote =
                    !event.kind.is_access() || event.kind == EventKind::Access(AccessKind::Close(AccessMode::Write));
                event.need_rescan() || wrote && event.paths.iter().any(|path| ours(path))
            }
            Err(_) => true,
        };
        if concerns {
            changed.notify_one();
        }
    })?;
    watcher.watch(path.parent().unwrap_or(Path::new("/")), RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_alone_looks_little() {
        assert_eq!(looks(Reason::Own(OwnWrite::Heartbeat), false), AFTER_A_HEARTBEAT);
        assert_eq!(looks(Reason::Own(OwnWrite::Change), false), AFTER_A_CHANGE);
        for among_others in [false, true] {
            assert_eq!(looks(Reason::Own(OwnWrite::GivenUp), among_others), AFTER_OTHERS);
            assert_eq!(looks(Reason::Others, among_others), AFTER_OTHERS);
        }
        assert_eq!(looks(Reason::Own(OwnWrite::Heartbeat), true), AFTER_OTHERS);
    }
}
