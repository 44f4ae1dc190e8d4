//! Changes in a file of SQLite. It tells nobody of them, so the file itself is watched, and what changed is read.

use crate::{Trouble, connection::Value, database::Word, feed::PendingChanges, shared::StoreCore};
use diesel::{QueryableByName, sql_types::BigInt};
use futures_util::FutureExt;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use std::{
    ffi::OsString,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::Notify;

/// A transaction is visible a little after its pages were written: after the disk has taken them, if its writer wants that. So one
/// looks again, until there is something.
const LOOKS: [Duration; 9] = [
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

/// When it was this node letting itself be heard of, one look will do, in case that somebody else wrote at that moment.
const LOOK: [Duration; 1] = [Duration::from_millis(20)];

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
    known: ChangeCounters,
}

impl Files {
    /// Watches from now on.
    pub(crate) async fn open(shared: &StoreCore, path: &Path) -> Result<Self, Trouble> {
        let changed = Arc::new(Notify::new());
        let watcher = watch(path, changed.clone());
        if let Err(error) = &watcher {
            tracing::warn!("{} is not watched ({error}); it is looked at every second", path.display());
        }
        let known = clock(shared).await?;
        Ok(Files { changed, watcher: watcher.ok(), known })
    }

    /// Follows the file until it cannot be read.
    pub(crate) async fn follow(mut self, shared: &StoreCore) -> Trouble {
        let mut beats = shared.beats.load(Ordering::Relaxed);
        // Why the last look could not be finished.
        let mut unread: Option<Trouble> = None;
        loop {
            let mut only_a_beat = tokio::select! {
                () = self.changed.notified() => shared.beats.load(Ordering::Relaxed) != beats,
                () = shared.database.wrote.notified() => false,
                () = tokio::time::sleep(UNWATCHED), if self.watcher.is_none() => true,
                // What could not be read then may not be followed by another change.
                () = tokio::time::sleep(UNWATCHED), if unread.is_some() => false,
            };
            let before = unread.take();
            let mut number = 0;
            loop {
                let looks: &[Duration] = if only_a_beat { &LOOK } else { &LOOKS };
                let Some(pause) = looks.get(number) else { break };
                tokio::select! {
                    () = tokio::time::sleep(*pause), if !pause.is_zero() => {}
                    () = self.changed.notified(), if number > 0 => {
                        let now = shared.beats.load(Ordering::Relaxed);
                        if now == beats {
                            number = 0;
                        }
                        beats = now;
                    }
                    () = shared.database.wrote.notified() => (number, only_a_beat) = (0, false),
                    () = std::future::ready(()), if pause.is_zero() => {}
                }
                if only_a_beat {
                    // One write raises several events.
                    let _ = self.changed.notified().now_or_never();
                }
                match self.look(shared).await {
                    Ok(true) => {
                        unread = None;
                        break;
                    }
                    Ok(false) => {
                        unread = None;
                        number += 1;
                    }
                    Err(trouble) if trouble.passes() => {
                        // It is locked, or the disk is full. What changed is found at the next look.
                        number += 1;
                        unread = Some(trouble);
                    }
                    Err(trouble) => return trouble,
                }
            }
            beats = shared.beats.load(Ordering::Relaxed);
            match &unread {
                Some(trouble) if unread != before => {
                    tracing::warn!("changes in the registry cannot be read: {trouble}")
                }
                None if before.is_some() => tracing::info!("changes in the registry are read again"),
                _ => {}
            }
        }
    }

    /// Reads what changed, and tells it; whether anything did.
    async fn look(&mut self, shared: &StoreCore) -> Result<bool, Trouble> {
        let now = clock(shared).await?;
        if now == self.known {
            return Ok(false);
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
        Ok(true)
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
