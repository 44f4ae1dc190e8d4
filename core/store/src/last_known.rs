//! A registry that remembers: while the real one cannot be used at the start, it answers with what was last known of it.
//!
//! It stands before the real one, learns from whatever passes, and keeps that in a file of the data directory. The file is
//! written beside everything else, and seldom: much that changes at once is written once. What must not live here: SQL, and
//! anything that decides; as soon as the real registry has answered in this process, it alone is asked.

mod file;
mod memory;
#[cfg(test)]
mod tests;

use crate::causes::in_words;
use camlock_policy::{
    BoxFuture,
    registry::{
        Actor, Decision, Happened, Newcomer, NotDecided, Proposal, Proposed, Reading, Record, Registry, RolloutId,
        RolloutState, Served, Snapshot, Unavailable,
    },
};
use file::KnownRecords;
use memory::{Moment, RecordMemory};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

/// What changes within this time is written once.
const GATHERING: Duration = Duration::from_secs(1);

/// After this a file that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// A registry in front of which what it told is remembered.
pub struct LastKnown {
    inner: Arc<dyn Registry>,
    keeper: Arc<LastKnownKeeper>,
    written: watch::Receiver<u64>,
}

impl fmt::Debug for LastKnown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LastKnown").finish_non_exhaustive()
    }
}

/// What is known, and word of it to the one who writes it down.
struct LastKnownKeeper {
    state: Arc<Mutex<LastKnownState>>,
    /// How often what is known has changed.
    changed: watch::Sender<u64>,
    hurry: Arc<Notify>,
}

#[derive(Default)]
struct LastKnownState {
    memory: RecordMemory,
    /// Why the file told nothing.
    nothing: Option<String>,
    /// Whether the registry was read in this process.
    read: bool,
}

impl LastKnown {
    /// Stands before a registry. `name` says which one that is, without its password: what was known of another one is worth
    /// nothing. The file is written on the runtime that this is called on, as long as it lives.
    pub async fn before(inner: Arc<dyn Registry>, name: &str, file: PathBuf) -> Self {
        let (path, registry) = (file.clone(), name.to_owned());
        let read = tokio::task::spawn_blocking(move || file::read(&path, &registry)).await.expect("it does not panic");
        let (known, nothing) = match read {
            Ok(known) => (known, None),
            Err(nothing) => {
                if !nothing.missing {
                    tracing::warn!("what was last known of the registry is not to be had: {}", nothing.why);
                }
                (KnownRecords::default(), Some(nothing.why))
            }
        };
        let state = Arc::new(Mutex::new(LastKnownState { memory: RecordMemory::new(known), nothing, read: false }));
        let (changed, changes) = watch::channel(0);
        let hurry = Arc::new(Notify::new());
        let (written_until, written) = watch::channel(0);
        let registry = name.to_owned();
        tokio::spawn(
            Writer { state: state.clone(), changes, hurry: hurry.clone(), written_until, file, registry }.run(),
        );
        LastKnown { inner, keeper: Arc::new(LastKnownKeeper { state, changed, hurry }), written }
    }

    /// How many plugins of this registry a file remembers: none where there is no file, or one about another registry.
    pub fn remembered(file: &Path, name: &str) -> usize {
        file::read(file, name).map_or(0, |known| known.records.len())
    }

    /// Waits until what is known by now is in the file, or could not be written. To be called before the process ends.
    pub async fn written(&self) {
        let now = *self.keeper.changed.borrow();
        if *self.written.borrow() < now {
            self.keeper.hurry.notify_one();
        }
        let _ = self.written.clone().wait_for(|written| *written >= now).await;
    }
}

fn lock(state: &Mutex<LastKnownState>) -> MutexGuard<'_, LastKnownState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LastKnownKeeper {
    /// Learns something, and has it written if it is new.
    fn learn(&self, learn: impl FnOnce(&mut LastKnownState) -> bool) {
        let new = learn(&mut lock(&self.state));
        if new {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    fn learn_records(&self, records: &[Record], began: Moment) {
        self.learn(|state| records.iter().fold(false, |new, record| state.memory.take_record(record, began) | new));
    }

    fn learn_snapshot(&self, reading: &Reading, snapshot: &Snapshot, began: Moment) {
        // Where there is no file that can be used, one is written in any case.
        let written = *self.changed.borrow() > 0;
        self.learn(|state| {
            state.read = true;
            let none = state.nothing.take().is_some() && !written;
            state.memory.take_snapshot(reading, snapshot, began) | none
        });
    }

    /// What is learnt later than this is not in the answer to what is asked now.
    fn now(&self) -> Moment {
        lock(&self.state).memory.now()
    }
}

impl LastKnownState {
    /// The answer when the registry gives none.
    fn instead(&self, reading: &Reading, why: Unavailable) -> Result<Snapshot, Unavailable> {
        if self.read {
            return Err(why);
        }
        match &self.nothing {
            Some(nothing) => Err(Unavailable(format!("{why}; and nothing is known from before: {nothing}"))),
            None => {
                let stale = Some(format!("{why}; until then what was last known holds"));
                Ok(Snapshot { stale, ..self.memory.tell(reading) })
            }
        }
    }
}

/// Writes what is known, as often as it changes, but not more often than it has to.
struct Writer {
    state: Arc<Mutex<LastKnownState>>,
    changes: watch::Receiver<u64>,
    hurry: Arc<Notify>,
    /// Up to where it was written, or tried to be.
    written_until: watch::Sender<u64>,
    file: PathBuf,
    registry: String,
}

impl Writer {
    async fn run(mut self) {
        let mut trouble = false;
        // The last change is written also when nobody is left who could make another one.
        while self.changes.changed().await.is_ok() {
            self.pause(GATHERING).await;
            while let Err(why) = self.write().await {
                if !std::mem::replace(&mut trouble, true) {
                    tracing::warn!("{why}");
                }
                if self.changes.has_changed().is_err() {
                    return;
                }
                self.pause(AGAIN).await;
            }
            trouble = false;
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.hurry.notified() => {}
        }
    }

    async fn write(&mut self) -> Result<(), String> {
        let count = *self.changes.borrow_and_update();
        let known = lock(&self.state).memory.known();
        let (file, registry) = (self.file.clone(), self.registry.clone());
        let write = move || file::write(&file, &registry, &known);
        let written = tokio::task::spawn_blocking(write).await.expect("it does not panic");
        self.written_until.send_replace(count);
        written.map_err(|error| {
            format!(
                "what is known of the registry cannot be kept in {}: {}; a start without the registry would not know what was \
                 decided last (it is tried again)",
                self.file.display(),
                in_words(&error)
            )
        })
    }
}

impl Registry for LastKnown {
    fn this_node(&self) -> String {
        self.inner.this_node()
    }

    fn read(&self, reading: Reading) -> BoxFuture<Result<Snapshot, Unavailable>> {
        let began = self.keeper.now();
        let (asked, keeper) = (self.inner.read(reading.clone()), self.keeper.clone());
        Box::pin(async move {
            let snapshot = match asked.await {
                Ok(snapshot) => snapshot,
                Err(why) => return lock(&keeper.state).instead(&reading, why),
            };
            if snapshot.stale.is_none() {
                keeper.learn_snapshot(&reading, &snapshot, began);
            }
            Ok(snapshot)
        })
    }

    fn register(&self, newcomers: Vec<Newcomer>) -> BoxFuture<Result<Vec<Record>, Unavailable>> {
        let began = self.keeper.now();
        let (asked, keeper) = (self.inner.register(newcomers), self.keeper.clone());
        Box::pin(async move {
            let records = asked.await?;
            keeper.learn_records(&records, began);
            Ok(records)
        })
    }

    fn decide(
        &self,
        name: &str,
        decision: Decision,
        by: Actor,
        revision: Option<u64>,
    ) -> BoxFuture<Result<Record, NotDecided>> {
        let began = self.keeper.now();
        let (asked, keeper) = (self.inner.decide(name, decision, by, revision), self.keeper.clone());
        Box::pin(async move {
            let record = asked.await?;
            keeper.learn_records(std::slice::from_ref(&record), began);
            Ok(record)
        })
    }

    fn propose(&self, proposal: Proposal) -> BoxFuture<Result<Proposed, Unavailable>> {
        let began = self.keeper.now();
        let (plugin, seen) = (proposal.plugin.clone(), proposal.seen.clone());
        let (asked, keeper) = (self.inner.propose(proposal), self.keeper.clone());
        Box::pin(async move {
            let proposed = asked.await?;
            if let Proposed::Agreed(record) = &proposed {
                keeper.learn_records(std::slice::from_ref(record), began);
            }
            if let Some(seen) = seen.filter(|_| proposed != Proposed::Unknown) {
                keeper.learn(|state| state.memory.take_seen(&plugin, &seen));
            }
            Ok(proposed)
        })
    }

    fn answer(&self, rollout: RolloutId, answer: Result<(), String>) -> BoxFuture<Result<RolloutState, Unavailable>> {
        self.inner.answer(rollout, answer)
    }

    fn conclude(&self, rollout: RolloutId) -> BoxFuture<Result<RolloutState, Unavailable>> {
        self.inner.conclude(rollout)
    }

    fn report(&self, served: Vec<Served>) -> BoxFuture<Result<(), Unavailable>> {
        let seen: Vec<_> =
            served.iter().filter_map(|served| Some((served.plugin.clone(), served.seen.clone()?))).collect();
        let (asked, keeper) = (self.inner.report(served), self.keeper.clone());
        Box::pin(async move {
            asked.await?;
            keeper.learn(|state| {
                seen.iter().fold(false, |new, (name, fingerprint)| state.memory.take_seen(name, fingerprint) | new)
            });
            Ok(())
        })
    }

    fn note(&self, happened: Happened) {
        self.inner.note(happened);
    }
}
