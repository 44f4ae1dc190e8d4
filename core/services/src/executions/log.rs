//! The log of executions: written in batches beside them, read by operators, kept within bounds.
//!
//! An execution never waits for its entry. Where the database cannot be written to for long, the oldest that wait are let go of, and
//! counted. What must not live here: SQL.

use super::{ExecutionSettings, meters::ExecutionMeters, postgres, sqlite};
use crate::data::PluginData;
use camlock_policy::{AskError, ExecutionEntry, ExecutionQuery};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

/// So many are written at once.
const BATCH: usize = 256;
/// What ends within so long is written together.
const PAUSE: Duration = Duration::from_millis(200);
/// After an error it is tried again this much later.
const AGAIN: Duration = Duration::from_secs(2);
/// So many wait to be written.
const WAITING: usize = 10_000;
/// How often what is kept for too long is removed.
const SWEPT: Duration = Duration::from_secs(600);
/// How long whoever reads waits for what has just ended to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// The log. Cheap to clone.
#[derive(Clone)]
pub(super) struct ExecutionLog {
    data: PluginData,
    waiting: Arc<WaitingEntries>,
    /// So many were written, or let go of, since the log began.
    settled: watch::Receiver<u64>,
}

#[derive(Default)]
struct WaitingEntries {
    state: Mutex<EntryQueue>,
    more: Notify,
    /// Somebody waits for what is there: no pause is made.
    hurry: Notify,
}

#[derive(Default)]
struct EntryQueue {
    entries: VecDeque<ExecutionEntry>,
    /// So many came since the log began.
    came: u64,
    /// So many were let go of.
    dropped: u64,
}

impl ExecutionLog {
    /// Begins to write, for as long as somebody has the log.
    pub(super) fn begin(
        data: PluginData,
        settings: ExecutionSettings,
        meters: ExecutionMeters,
        runtime: &Handle,
    ) -> Self {
        let waiting = Arc::<WaitingEntries>::default();
        let (settled, told) = watch::channel(0);
        let writer = LogWriter { data: data.clone(), settings, waiting: waiting.clone(), meters, settled };
        runtime.spawn(writer.run());
        ExecutionLog { data, waiting, settled: told }
    }

    /// Takes one in, to be written soon.
    pub(super) fn write(&self, entry: ExecutionEntry) {
        let mut state = self.waiting.state.lock();
        state.entries.push_back(entry);
        state.came += 1;
        drop(state);
        self.waiting.more.notify_one();
    }

    /// Has what has ended until now written, if that is soon done.
    pub(super) async fn flush(&self) {
        let came = self.waiting.state.lock().came;
        let mut settled = self.settled.clone();
        if *settled.borrow() >= came {
            return;
        }
        self.waiting.hurry.notify_one();
        let _ = timeout(PATIENCE, settled.wait_for(|settled| *settled >= came)).await;
    }

    /// Those of a plugin, the newest first, and whether there are more.
    pub(super) async fn read(
        &self,
        plugin: &Arc<str>,
        mut query: ExecutionQuery,
    ) -> Result<(Vec<ExecutionEntry>, bool), AskError> {
        self.flush().await;
        let most = query.most;
        query.most += 1;
        let mut entries = match &self.data {
            PluginData::Sqlite(file) => {
                let owner = plugin.clone();
                file.read(plugin, move |connection| sqlite::read(connection, &owner, &query)).await?
            }
            PluginData::Postgres(connections) => postgres::read(connections, plugin, &query).await?,
        };
        let more = entries.len() > most;
        entries.truncate(most);
        Ok((entries, more))
    }

    pub(super) async fn purge(&self, plugin: &Arc<str>) -> Result<(), AskError> {
        self.flush().await;
        match &self.data {
            PluginData::Sqlite(file) => {
                let owner = plugin.clone();
                file.write(plugin, move |connection| sqlite::purge(connection, &owner)).await
            }
            PluginData::Postgres(connections) => postgres::purge(connections, plugin).await,
        }
    }
}

/// What writes the log.
struct LogWriter {
    data: PluginData,
    settings: ExecutionSettings,
    waiting: Arc<WaitingEntries>,
    meters: ExecutionMeters,
    settled: watch::Sender<u64>,
}

impl LogWriter {
    async fn run(self) {
        let mut sweep_at = Instant::now();
        let mut failed = false;
        while !self.settled.is_closed() {
            let is_empty = self.waiting.state.lock().entries.is_empty();
            if is_empty {
                tokio::select! {
                    () = self.waiting.more.notified() => {}
                    () = self.settled.closed() => return,
                }
            }
            tokio::select! {
                () = sleep(if failed { AGAIN } else { PAUSE }) => {}
                () = self.waiting.hurry.notified() => {}
            }
            self.let_go_of_the_oldest();
            failed = self.write_all().await.is_err();
            if !failed && Instant::now() >= sweep_at {
                sweep_at = Instant::now() + SWEPT;
                if let Err(error) = self.sweep().await {
                    tracing::debug!("old executions were not removed: {}", error.message);
                }
            }
        }
    }

    /// Where too many wait, the newest are worth more.
    fn let_go_of_the_oldest(&self) {
        let mut state = self.waiting.state.lock();
        let too_many = state.entries.len().saturating_sub(WAITING);
        for entry in state.entries.drain(..too_many) {
            self.meters.unlogged(&entry.plugin, 1);
        }
        state.dropped += too_many as u64;
    }

    /// Writes all that waits. What cannot be written goes on waiting.
    async fn write_all(&self) -> Result<(), AskError> {
        loop {
            let (batch, came, left) = {
                let mut state = self.waiting.state.lock();
                let count = state.entries.len().min(BATCH);
                let batch: Vec<_> = state.entries.drain(..count).collect();
                (Arc::new(batch), state.came, state.entries.len())
            };
            if batch.is_empty() {
                self.settled.send_replace(came);
                return Ok(());
            }
            if let Err(error) = self.write_batch(&batch).await {
                tracing::warn!("executions cannot be logged for now: {}", error.message);
                let mut state = self.waiting.state.lock();
                batch.iter().rev().for_each(|entry| state.entries.push_front(entry.clone()));
                return Err(error);
            }
            self.settled.send_replace(came - left as u64);
        }
    }

    async fn write_batch(&self, batch: &Arc<Vec<ExecutionEntry>>) -> Result<(), AskError> {
        let owner = host();
        match &self.data {
            PluginData::Sqlite(file) => {
                let batch = batch.clone();
                file.write(&owner, move |connection| sqlite::write(connection, &batch)).await
            }
            PluginData::Postgres(connections) => postgres::write(connections, &owner, batch).await,
        }
    }

    /// Removes what is too old, and what is too much.
    async fn sweep(&self) -> Result<(), AskError> {
        let (owner, most) = (host(), i64::try_from(self.settings.most).unwrap_or(i64::MAX));
        let before = milliseconds(SystemTime::now() - self.settings.kept);
        match &self.data {
            PluginData::Sqlite(file) => {
                file.write(&owner, move |connection| sqlite::sweep(connection, before, most)).await
            }
            PluginData::Postgres(connections) => postgres::sweep(connections, &owner, before, most).await,
        }
    }
}

/// Whose turn it is at the database, where it is nobody's plugin.
fn host() -> Arc<str> {
    "camlock".into()
}

pub(super) fn milliseconds(at: SystemTime) -> i64 {
    let passed = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)
}

/// An id that nobody has, greater than all that were made here before: a UUID of version 7.
pub(super) fn fresh_id(now: SystemTime) -> String {
    /// The last one's milliseconds, and below them twelve bits that count within one.
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = milliseconds(now) as u64 & 0xffff_ffff_ffff;
    let after = |last: u64| (last + 1).max(now << 12);
    let last = LAST.update(Ordering::Relaxed, Ordering::Relaxed, after);
    let moment = u128::from(after(last));
    let id = (moment >> 12) << 80 | 7 << 76 | (moment & 0xfff) << 64 | 0b10 << 62 | u128::from(fresh_number() >> 2);
    let hex = format!("{id:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Not to be foreseen by accident; it keeps no secret.
fn fresh_number() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Instant::now().into_std())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ids_are_greater() {
        let ids: Vec<_> = (0..10_000).map(|_| fresh_id(SystemTime::now())).collect();
        assert!(ids.is_sorted_by(|one, other| one < other));
        assert!(ids.iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'7'), "{}", ids[0]);
        // A clock that goes back makes no id that is less.
        assert!(fresh_id(UNIX_EPOCH) > ids[9_999]);
    }
}
