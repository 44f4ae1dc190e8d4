//! Who builds next: one at a time, for cargo lets only one into a target directory; edits of what serves first, then what somebody
//! asked for, then the rest. When one has waited for long it builds beside the others, in a target directory of its own, so that a
//! build script that hangs holds up nobody for ever.
//!
//! What must not live here: how one build goes.

use crate::words::{counted, duration};
use camlock_policy::BuildPriority;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// Where a build is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// The usual place.
    Main,
    /// What it takes to fill another target directory is only worth it for those who would wait longer.
    Spare,
}

/// All builds of a server that run or are to run.
#[derive(Clone, Debug)]
pub(crate) struct BuildQueue {
    line: Arc<Mutex<QueueState>>,
    changed: watch::Sender<()>,
    /// After so long a wait the spare lane is used.
    spare_after: Duration,
}

#[derive(Debug, Default)]
struct QueueState {
    last: u64,
    running: BTreeMap<Lane, Run>,
    /// The next one first.
    queued: BTreeMap<(BuildPriority, u64), Instant>,
}

#[derive(Debug)]
struct Run {
    plugin: String,
    since: Instant,
}

impl BuildQueue {
    pub(crate) fn new(spare_after: Duration) -> Self {
        BuildQueue { line: Arc::default(), changed: watch::Sender::new(()), spare_after }
    }

    /// Takes a place in the queue, for the build of this plugin.
    pub(crate) fn join(&self, plugin: &str, priority: BuildPriority) -> Queued {
        let mut line = self.line();
        line.last += 1;
        let key = (priority, line.last);
        line.queued.insert(key, Instant::now());
        drop(line);
        Queued { queue: self.clone(), plugin: plugin.to_owned(), key }
    }

    fn line(&self) -> MutexGuard<'_, QueueState> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A build that is to be done. Dropped, it gives its place in the queue up.
#[derive(Debug)]
pub(crate) struct Queued {
    queue: BuildQueue,
    plugin: String,
    key: (BuildPriority, u64),
}

/// So often it is told how long the others have been at it.
const TICK: Duration = Duration::from_secs(10);

impl Queued {
    /// A lane, if it is this one's turn.
    pub(crate) fn try_begin(&mut self) -> Option<Turn> {
        let now = Instant::now();
        let mut line = self.queue.line();
        let waited = |since: &Instant| now.duration_since(*since) >= self.queue.spare_after;
        let is_first = line.queued.keys().next() == Some(&self.key);
        let is_first_of_the_long =
            line.queued.iter().find(|(_, since)| waited(since)).map(|(key, _)| key) == Some(&self.key);
        let lane = match (line.running.contains_key(&Lane::Main), line.running.contains_key(&Lane::Spare)) {
            (false, _) if is_first => Lane::Main,
            (true, false) if is_first_of_the_long => Lane::Spare,
            _ => return None,
        };
        line.queued.remove(&self.key);
        line.running.insert(lane, Run { plugin: self.plugin.clone(), since: now });
        drop(line);
        self.queue.changed.send_replace(());
        Some(Turn { queue: self.queue.clone(), lane })
    }

    /// Waits for a lane, and tells what is waited for.
    pub(crate) async fn begin(mut self, tell: impl Fn(String)) -> Turn {
        let mut changed = self.queue.changed.subscribe();
        let mut said = String::new();
        loop {
            changed.borrow_and_update();
            if let Some(turn) = self.try_begin() {
                return turn;
            }
            let (position, spare) = self.position();
            if position != said {
                said.clone_from(&position);
                tell(position);
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = sleep(TICK.min(spare)) => {}
            }
        }
    }

    /// Who is ahead, in words; and how long until it has waited for so long that the spare lane is its own.
    fn position(&self) -> (String, Duration) {
        let line = self.queue.line();
        let ahead = line.queued.range(..self.key).count();
        let running =
            line.running.values().map(|run| format!("{} (for {})", run.plugin, duration(run.since.elapsed())));
        let running = running.collect::<Vec<_>>().join(" and ");
        let ahead = match ahead {
            0 => "and this is next".to_owned(),
            ahead => format!("and {} come before this", counted(ahead, "other")).replace("other come", "other comes"),
        };
        let position = if running.is_empty() {
            format!("waiting to be built, {ahead}")
        } else {
            format!("waiting to be built: {running} is being built, {ahead}")
        };
        let waited = line.queued.get(&self.key).map_or(Duration::ZERO, Instant::elapsed);
        // One that is past it waits for the spare lane itself.
        let spare = self.queue.spare_after.checked_sub(waited).filter(|left| !left.is_zero()).unwrap_or(TICK);
        (position, spare)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if self.queue.line().queued.remove(&self.key).is_some() {
            self.queue.changed.send_replace(());
        }
    }
}

/// A lane, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    queue: BuildQueue,
    pub(crate) lane: Lane,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.line().running.remove(&self.lane);
        self.queue.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test(start_paused = true)]
    async fn one_builds_and_who_waited_long_builds_beside_it() {
        let queue = BuildQueue::new(Duration::from_secs(120));
        let first = queue.join("first", BuildPriority::Rest).begin(drop).await;
        assert_eq!(first.lane, Lane::Main);
        let waited = Instant::now();
        let second = queue.join("second", BuildPriority::Rest).begin(drop).await;
        assert_eq!((second.lane, waited.elapsed().as_secs()), (Lane::Spare, 120));
        drop(first);
        assert_eq!(queue.join("third", BuildPriority::Rest).begin(drop).await.lane, Lane::Main);
    }

    #[tokio::test(start_paused = true)]
    async fn edits_of_what_serves_come_first_then_what_was_asked_for() {
        let queue = BuildQueue::new(Duration::from_secs(120));
        let running = queue.join("running", BuildPriority::Rest).begin(drop).await;
        let (order, built) = mpsc::channel();
        for (plugin, priority) in [
            ("rest", BuildPriority::Rest),
            ("late", BuildPriority::Rest),
            ("asked", BuildPriority::Asked),
            ("gone", BuildPriority::Serving),
            ("edited", BuildPriority::Serving),
        ] {
            let (queued, order) = (queue.join(plugin, priority), order.clone());
            if plugin == "gone" {
                continue;
            }
            tokio::spawn(async move {
                let turn = queued.begin(drop).await;
                order.send(plugin).unwrap();
                drop(turn);
            });
        }
        tokio::task::yield_now().await;
        drop((running, order));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(built.iter().collect::<Vec<_>>(), ["edited", "asked", "rest", "late"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_for_what() {
        let queue = BuildQueue::new(Duration::from_secs(120));
        let running = queue.join("kv", BuildPriority::Rest).begin(drop).await;
        let ahead = queue.join("ahead", BuildPriority::Rest);
        let (tell, told) = mpsc::channel();
        let waiting =
            tokio::spawn(queue.join("hello", BuildPriority::Rest).begin(move |text| tell.send(text).unwrap()));
        sleep(Duration::from_secs(11)).await;
        drop(ahead);
        tokio::task::yield_now().await;
        drop(running);
        assert_eq!(waiting.await.unwrap().lane, Lane::Main);
        assert_eq!(
            told.iter().collect::<Vec<_>>(),
            [
                "waiting to be built: kv (for 0 s) is being built, and 1 other comes before this",
                "waiting to be built: kv (for 10 s) is being built, and 1 other comes before this",
                "waiting to be built: kv (for 11 s) is being built, and this is next",
            ]
        );
    }
}
