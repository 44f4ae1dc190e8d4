//! Who runs tasks on this server: claims them, has them run, settles them, and is heard of meanwhile. What must not live here: SQL,
//! and what the end of one task comes to.

mod frontier;
mod in_flight;
mod settling;

use super::{
    TaskQueue,
    known::{KnownTasks, TakenTask},
    milliseconds,
    record::{ClaimFrom, ClaimTerms, ClaimedTask, Heartbeat, TaskCounts},
    running::{self, Stopped},
};
use camlock_policy::{AskError, AskErrorCode, Deliver};
use frontier::{Frontier, Frontiers};
use in_flight::TasksInFlight;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

/// How tasks are run on one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerSettings {
    /// So many tasks of one type at once.
    pub at_once: usize,
    /// So often it is heard of.
    pub heartbeat: Duration,
    /// Who is not heard of for so long runs nothing any more.
    pub silence: Duration,
    /// So often it is looked for tasks without a word of any.
    pub poll: Duration,
}

impl Default for RunnerSettings {
    fn default() -> Self {
        RunnerSettings {
            at_once: 64,
            heartbeat: Duration::from_secs(2),
            silence: Duration::from_secs(15),
            poll: Duration::from_secs(2),
        }
    }
}

/// Between attempts to reach the database.
const AGAIN: Duration = Duration::from_millis(500);

/// Between two looks at what is due.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// So often what was kept for long enough is removed.
const SWEPT: Duration = Duration::from_secs(60);

/// What is told of the queue is at most so old.
const COUNTED: Duration = Duration::from_secs(10);

/// At its end it waits so long for what came of tasks to be written.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs tasks until it is ended. Cheap to clone.
#[derive(Clone)]
pub struct TaskRunner(Arc<RunnerCore>);

pub(super) struct RunnerCore {
    pub(super) queue: TaskQueue,
    known: KnownTasks,
    deliver: Arc<dyn Deliver>,
    settings: RunnerSettings,
    node: String,
    runtime: Handle,
    pub(super) in_flight: TasksInFlight,
    counted: Mutex<(Option<Instant>, BTreeMap<String, TaskCounts>)>,
    phase: watch::Sender<RunnerPhase>,
    ended: watch::Sender<bool>,
}

/// How far its end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RunnerPhase {
    Runs,
    /// Nothing new begins.
    Paused,
    /// What runs ends now.
    Leaves,
}

impl fmt::Debug for TaskRunner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TaskRunner").field("node", &self.0.node).finish_non_exhaustive()
    }
}

/// When it was looked for what is due, and when it is to be again.
#[derive(Default)]
struct LastLook {
    at: Option<Instant>,
    next: Option<Instant>,
}

/// Between being heard of for the first time and being lost, or ending.
struct RunnerSession {
    core: Arc<RunnerCore>,
    /// Nobody else ever has it.
    id: String,
    settling: mpsc::UnboundedSender<super::record::Settlement>,
}

impl TaskRunner {
    /// Begins to run what is known, for this node, on that runtime.
    pub fn start(
        queue: TaskQueue,
        known: KnownTasks,
        deliver: Arc<dyn Deliver>,
        (node, settings): (String, RunnerSettings),
        runtime: &Handle,
    ) -> Self {
        let core = Arc::new(RunnerCore {
            queue,
            known,
            deliver,
            settings,
            node,
            runtime: runtime.clone(),
            in_flight: TasksInFlight::default(),
            counted: Mutex::default(),
            phase: watch::channel(RunnerPhase::Runs).0,
            ended: watch::channel(false).0,
        });
        runtime.spawn(run(core.clone()));
        TaskRunner(core)
    }

    /// Begins nothing new from now on. What runs goes on until it is over, or its plugin leaves.
    pub fn pause(&self) {
        self.0.enter(RunnerPhase::Paused);
    }

    /// Ends: what still runs is cancelled and comes back without having cost anything.
    pub async fn end(&self) {
        self.0.enter(RunnerPhase::Leaves);
        let mut ended = self.0.ended.subscribe();
        let _ = timeout(LAST_WORDS * 2, ended.wait_for(|ended| *ended)).await;
    }

    /// What a task says of how far it is, if that attempt runs here.
    pub(super) fn progress(&self, plugin: &str, id: i64, attempt: i32, text: String) -> Result<(), AskError> {
        if self.0.in_flight.progress(plugin, id, attempt, text) {
            return Ok(());
        }
        Err(AskError::new(AskErrorCode::Conflict, format!("attempt {attempt} of task {id} does not run here")))
    }

    /// What is counted of tasks, by plugin; of the queue as it was a moment ago.
    pub fn counts(&self) -> BTreeMap<String, TaskCounts> {
        let mut counted = self.0.counted.lock();
        if counted.0.is_none_or(|at| at.elapsed() > COUNTED) {
            counted.0 = Some(Instant::now());
            let core = self.0.clone();
            self.0.runtime.spawn(async move {
                if let Ok(counts) = core.queue.counts().await {
                    core.counted.lock().1 = counts;
                }
            });
        }
        let mut counts = counted.1.clone();
        drop(counted);
        for (plugin, (done, failed)) in self.0.in_flight.ended() {
            let of_plugin = counts.entry(plugin.to_string()).or_default();
            (of_plugin.done, of_plugin.failed) = (done, failed);
        }
        counts
    }
}

impl RunnerCore {
    /// There is no way back.
    fn enter(&self, phase: RunnerPhase) {
        self.phase.send_if_modified(|now| {
            let is_later = phase > *now;
            *now = phase.max(*now);
            is_later
        });
    }

    /// Comes when this phase is reached, or a later one.
    async fn reached(&self, phase: RunnerPhase) {
        // The sender is in here.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }
}

async fn run(core: Arc<RunnerCore>) {
    while *core.phase.borrow() == RunnerPhase::Runs {
        // As long as nobody takes any, nothing is asked of the database.
        if core.known.now().is_empty() {
            tokio::select! {
                () = core.known.changed() => {}
                () = core.reached(RunnerPhase::Paused) => {}
            }
            continue;
        }
        let id = format!("{}-{:016x}", core.node, random());
        if let Err(error) = core.queue.register(&id, &core.node).await {
            tracing::debug!(%error, "no tasks can be run for now");
            let _ = timeout(AGAIN, core.reached(RunnerPhase::Paused)).await;
            continue;
        }
        session(&core, id).await;
    }
    core.ended.send_replace(true);
}

/// Nobody else has it. It need not be hard to guess.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

async fn session(core: &Arc<RunnerCore>, id: String) {
    let (settling, settled) = mpsc::unbounded_channel();
    let mut writing = core.runtime.spawn(settling::write(core.clone(), id.clone(), settled));
    let session = RunnerSession { core: core.clone(), id: id.clone(), settling };
    let all_over = async {
        core.reached(RunnerPhase::Paused).await;
        while core.in_flight.count() > 0 {
            core.in_flight.freed().await;
        }
    };
    let claiming = async {
        tokio::select! {
            () = session.claim() => {}
            () = core.queue.hub.listen() => {}
            () = core.reached(RunnerPhase::Paused) => {}
        }
        std::future::pending::<()>().await;
    };
    // Until the last task is over it is heard of.
    let is_lost = tokio::select! {
        () = session.stay() => true,
        () = claiming => false,
        () = all_over => false,
        () = core.reached(RunnerPhase::Leaves) => false,
    };
    if is_lost {
        tracing::warn!("this server was not heard of for too long: the tasks that it ran are cancelled, and come back");
    }
    core.in_flight.stop_all(Stopped::Lost);
    drop(session);
    if is_lost {
        // What is acknowledged late is refused if others have it by now. Nothing new begins before.
        let _ = writing.await;
    } else {
        let _ = timeout(LAST_WORDS, &mut writing).await;
        writing.abort();
        let _ = timeout(LAST_WORDS, core.queue.deregister(&id)).await;
    }
}

impl RunnerSession {
    /// Is heard of, for as long as that can be done in time.
    async fn stay(&self) {
        let core = &self.core;
        let (mut renewed, mut swept) = (Instant::now(), Instant::now());
        // Others may claim what this one runs after `silence`: by then nothing may run here.
        let bound = core.settings.silence * 2 / 3;
        loop {
            tokio::select! {
                () = sleep(core.settings.heartbeat.min(bound.saturating_sub(renewed.elapsed()))) => {}
                () = core.queue.hub.cancel() => {}
            }
            let sent = Instant::now();
            let beat = Heartbeat {
                runner: self.id.clone(),
                silence: milliseconds(core.settings.silence),
                running: core.in_flight.all(),
                progress: core.in_flight.take_progress(),
            };
            let asked = core.queue.renew(beat);
            match timeout(bound.saturating_sub(renewed.elapsed()), asked).await {
                Ok(Ok(renewal)) if renewal.is_known => {
                    renewed = sent;
                    for (id, attempt) in renewal.cancelled {
                        core.in_flight.stop(id, attempt, Stopped::Cancelled);
                    }
                    if renewal.rescued > 0 {
                        tracing::warn!("{} tasks of servers that are silent wait again", renewal.rescued);
                        core.queue.wake();
                    }
                }
                Ok(Ok(_)) => return,
                Ok(Err(_)) | Err(_) if renewed.elapsed() >= bound => return,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "this server could not be heard of");
                    sleep(AGAIN.min(bound.saturating_sub(renewed.elapsed()))).await;
                }
                Err(_) => {}
            }
            if swept.elapsed() > SWEPT {
                swept = Instant::now();
                let queue = core.queue.clone();
                core.runtime.spawn(async move { while queue.sweep().await.is_ok_and(|swept| swept >= 1_000) {} });
            }
        }
    }

    /// Claims whenever there may be something, and room for it.
    async fn claim(&self) {
        let core = &self.core;
        let (mut looked, mut frontiers, mut polled) = (LastLook::default(), Frontiers::default(), Instant::now());
        loop {
            let wait = match self.claim_all(&mut looked, &mut frontiers).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::debug!(%error, "no tasks could be claimed");
                    sleep(AGAIN).await;
                    frontiers.look_at_all();
                    Some(Duration::ZERO)
                }
            };
            let hears = core.queue.hub.hears_all();
            let poll = if hears { core.settings.poll } else { core.settings.poll.min(AGAIN) };
            let poll = (polled + poll).saturating_duration_since(Instant::now());
            tokio::select! {
                () = sleep(wait.map_or(poll, |wait| wait.min(poll)).max(Duration::from_millis(1))) => {
                    if poll.is_zero() || wait.is_none_or(|wait| wait >= poll) {
                        polled = Instant::now();
                        frontiers.look_at_all();
                    }
                }
                () = core.queue.hub.work() => frontiers.look_at_all(),
                () = core.known.changed() => {
                    looked = LastLook::default();
                    frontiers.look_at_all();
                }
                () = core.in_flight.freed() => {}
            }
        }
    }

    /// Enqueues runs of schedules and wakes what is due, but not each time that a task ends: after how long there is more.
    async fn look(&self, looked: &mut LastLook) -> Result<Option<Duration>, AskError> {
        let now = Instant::now();
        let rest = looked.at.map_or(Duration::ZERO, |at| BETWEEN_LOOKS.saturating_sub(now.duration_since(at)));
        if !rest.is_zero() && looked.next.is_none_or(|next| next > now) {
            let next = looked.next.map(|next| next.saturating_duration_since(now));
            return Ok(Some(next.map_or(rest, |next| next.min(rest))));
        }
        let scheduled = self.core.queue.run_schedules(&self.core.known.now()).await?;
        let wait = self.core.queue.promote().await?.into_iter().chain(scheduled).min();
        *looked = LastLook { at: Some(now), next: wait.map(|wait| now + wait) };
        Ok(wait)
    }

    /// Claims as much as there is room for: after how long there may be more, if that is known.
    async fn claim_all(&self, looked: &mut LastLook, frontiers: &mut Frontiers) -> Result<Option<Duration>, AskError> {
        let known = self.core.known.now();
        let mut wait = self.look(looked).await?;
        let freed = self.core.in_flight.take_freed();
        for (plugin, types) in known.iter() {
            for taken in types {
                let frontier = frontiers.of(plugin, &taken.kind);
                if freed.contains(&(plugin.clone(), taken.kind.clone())) {
                    frontier.freed(taken.terms.is_limited());
                }
                if frontier.wait(Instant::now()).is_some_and(|wait| wait.is_zero()) {
                    let again = self.claim_type(plugin, taken, frontier).await?;
                    frontier.looked(again, Instant::now());
                }
                wait = wait.into_iter().chain(frontier.wait(Instant::now())).min();
            }
        }
        Ok(wait)
    }

    /// The same, of one type.
    async fn claim_type(
        &self,
        plugin: &Arc<str>,
        taken: &TakenTask,
        frontier: &mut Frontier,
    ) -> Result<Option<Duration>, AskError> {
        let (core, mut again) = (&self.core, None);
        loop {
            let begun = Instant::now();
            let room = core.in_flight.room(plugin, &taken.kind, core.settings.at_once);
            if room == 0 {
                frontier.crowded(begun);
                return Ok(again);
            }
            if let Some(pause) = frontier.pause(room, core.settings.at_once, begun) {
                return Ok(again.into_iter().chain([pause]).min());
            }
            let from = if core.queue.keeps_what_was() { frontier.from(begun) } else { ClaimFrom::Beginning };
            let terms = ClaimTerms {
                runner: self.id.clone(),
                plugin: plugin.clone(),
                kind: taken.kind.clone(),
                most: room,
                from: from.clone(),
                terms: taken.terms,
            };
            let claim = core.queue.claim(&Arc::new(terms)).await?;
            let now = Instant::now();
            frontier.claimed(&claim.tasks, &from, room, (begun, now));
            again = again.into_iter().chain(claim.again).min();
            let is_all = claim.tasks.len() < room;
            claim.tasks.into_iter().for_each(|task| self.begin(plugin, taken, task));
            if is_all {
                // There may be some where it was not looked.
                let rest = frontier.rest(now).filter(|_| from != ClaimFrom::Beginning);
                return Ok(again.into_iter().chain(rest).min());
            }
        }
    }

    fn begin(&self, plugin: &Arc<str>, taken: &TakenTask, task: ClaimedTask) {
        let stopped = self.core.in_flight.begin(plugin, &taken.kind, (task.id, task.attempt));
        let (core, settling, id) = (self.core.clone(), self.settling.clone(), task.id);
        let running = running::run(self.core.deliver.clone(), plugin.clone(), taken.clone(), task, stopped);
        self.core.runtime.spawn(async move {
            let settlement = running.await;
            core.in_flight.over(id);
            // Whoever writes them down is there as long as there are any.
            let _ = settling.send(settlement);
        });
    }
}
