//! The turn to write into a file of SQLite, and what this process wrote there last: what changed otherwise somebody else did.
//!
//! What must not live here: what is written, and what follows from a change.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, OwnedMutexGuard};

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnWrite {
    /// This node let itself be heard of, which is no news to it.
    Heartbeat,
    /// Something was committed.
    Change,
    /// Nothing was, or it is not known: somebody else may be writing.
    GivenUp,
}

/// SQLite has one writer at a time. Those of one process are served in order, and at once: left to its lock they would try again
/// at random, so that two of them could keep a third one out for seconds, and it would blame somebody else.
pub(crate) struct Writers {
    turn: Arc<tokio::sync::Mutex<()>>,
    file: PathBuf,
    own: Mutex<Own>,
    ended: Notify,
}

#[derive(Default)]
struct Own {
    /// The files as the last turn left them.
    left: Option<Stamps>,
    /// How the turns ended that nobody has asked about.
    unseen: Option<OwnWrite>,
}

/// Of the database and its write-ahead log.
type Stamps = [Option<FileStamp>; 2];

/// Inode, length, and when it was written.
type FileStamp = (u64, u64, i64, i64);

impl Writers {
    pub(crate) fn of(file: &Path) -> Arc<Self> {
        Arc::new(Writers { turn: Arc::default(), file: file.to_owned(), own: Mutex::default(), ended: Notify::new() })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Waits for the right to write.
    pub(crate) async fn turn(self: &Arc<Self>) -> WritersTurn {
        let alone = self.turn.clone().lock_owned().await;
        WritersTurn { writers: self.clone(), outcome: OwnWrite::GivenUp, _alone: alone }
    }

    /// Whether this process is writing.
    pub(crate) fn is_busy(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    /// Whether a change of the files need not be anybody else's: this process is writing, or nobody has since it did.
    pub(crate) fn explains_change(&self) -> bool {
        self.is_busy() || self.own().left.is_some_and(|left| left == self.stamps())
    }

    /// Waits until turns have ended since the last call.
    pub(crate) async fn ended(&self) -> OwnWrite {
        loop {
            if let Some(outcome) = self.own().unseen.take() {
                return outcome;
            }
            self.ended.notified().await;
        }
    }

    /// Nothing in it is left half done by a panic.
    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, outcome: OwnWrite) {
        let mut own = self.own();
        own.left = Some(self.stamps());
        own.unseen = Some(own.unseen.map_or(outcome, |before| before.and(outcome)));
        self.ended.notify_one();
    }

    fn stamps(&self) -> Stamps {
        let mut log = self.file.clone().into_os_string();
        log.push("-wal");
        [self.file.as_path(), Path::new(&log)].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
        })
    }
}

impl OwnWrite {
    /// How two turns ended, taken together: as the one that says more.
    fn and(self, later: Self) -> Self {
        match (self, later) {
            (OwnWrite::GivenUp, _) | (_, OwnWrite::GivenUp) => OwnWrite::GivenUp,
            (OwnWrite::Change, _) | (_, OwnWrite::Change) => OwnWrite::Change,
            (OwnWrite::Heartbeat, OwnWrite::Heartbeat) => OwnWrite::Heartbeat,
        }
    }
}

/// The right to write, until it is dropped.
pub(crate) struct WritersTurn {
    writers: Arc<Writers>,
    outcome: OwnWrite,
    // Dropped after what `drop` does.
    _alone: OwnedMutexGuard<()>,
}

impl WritersTurn {
    /// What was written is committed.
    pub(crate) fn committed(&mut self, outcome: OwnWrite) {
        self.outcome = outcome;
    }
}

impl Drop for WritersTurn {
    fn drop(&mut self) {
        self.writers.end(self.outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_else_wrote_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        let (file, log) = (dir.path().join("registry.db"), dir.path().join("registry.db-wal"));
        fs::write(&file, "").unwrap();
        let writers = Writers::of(&file);
        assert!(!writers.explains_change(), "nothing was written here yet");
        let mut turn = writers.turn().await;
        fs::write(&log, "ours").unwrap();
        assert!(writers.explains_change() && writers.is_busy());
        turn.committed(OwnWrite::Change);
        drop(turn);
        assert!(writers.explains_change() && !writers.is_busy());
        assert_eq!(writers.ended().await, OwnWrite::Change);
        fs::write(&log, "ours and theirs").unwrap();
        assert!(!writers.explains_change());
    }

    #[tokio::test]
    async fn turns_that_ended_unseen_are_told_as_the_one_that_says_most() {
        let dir = tempfile::tempdir().unwrap();
        let writers = Writers::of(&dir.path().join("registry.db"));
        for (outcomes, told) in [
            (&[Some(OwnWrite::Heartbeat)][..], OwnWrite::Heartbeat),
            (&[Some(OwnWrite::Change), Some(OwnWrite::Heartbeat)], OwnWrite::Change),
            (&[None, Some(OwnWrite::Change)], OwnWrite::GivenUp),
        ] {
            for outcome in outcomes {
                let mut turn = writers.turn().await;
                if let Some(outcome) = outcome {
                    turn.committed(*outcome);
                }
            }
            assert_eq!(writers.ended().await, told, "{outcomes:?}");
        }
    }
}
