//! Looking after the threads that serve: who blocks one is reported while it does, and moved off if it goes on.
//!
//! What must not live here: connections, and what is done for those that wait for a thread.

use crate::{
    Dispatch, FrontOptions,
    generation::ServedGeneration,
    problem::seconds,
    stall_tracker::{StallTracker, StallVerdict},
    thread_activity::{ActiveThread, NO_GROUP, active_threads},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    time::{MissedTickBehavior, interval},
};

/// How often the threads are looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// How long a thread may be inside a plugin before it counts as stuck.
const STUCK: Duration = Duration::from_millis(300);

/// What looks after all threads of the process that run plugins of a dispatch, whoever started them.
pub(crate) struct Watchdog {
    dispatch: Dispatch,
    options: FrontOptions,
    stalls: StallTracker,
}

/// A thread that is inside a generation.
struct Observed {
    thread: ActiveThread,
    generation: Arc<ServedGeneration>,
    stall: StallVerdict,
}

impl Watchdog {
    pub(crate) fn new(dispatch: Dispatch, options: FrontOptions) -> Self {
        Watchdog { dispatch, options, stalls: StallTracker::default() }
    }

    /// Looks once: how many threads of each group are stuck.
    pub(crate) fn look(&mut self) -> HashMap<u64, usize> {
        let observed = self.observe();
        let mut stuck: HashMap<u64, usize> = HashMap::new();
        for observed in observed.iter().filter(|observed| observed.stall.lasting >= STUCK) {
            *stuck.entry(observed.thread.group).or_default() += 1;
        }
        let mut blocked = Vec::new();
        for Observed { thread, generation, stall } in observed {
            // Who blocks all threads of a runtime would block the next one's too, as soon as it is there.
            let holds_all = stall.lasting >= STUCK
                && thread.group != NO_GROUP
                && stuck.get(&thread.group).is_some_and(|count| *count >= self.options.threads.max(1));
            let moves_off = holds_all || stall.lasting >= self.options.moved_off;
            if !moves_off && stall.lasting < self.options.blocked {
                continue;
            }
            let Some(route) = thread.request_line() else { continue };
            if stall.report {
                let (plugin, number) = (&*generation.name, generation.number);
                let lasting = seconds(stall.lasting);
                tracing::warn!(plugin, generation = number, %route, "a handler has blocked its thread for {lasting} now");
            }
            if moves_off {
                generation.move_off(&route, self.options.dedicated, self.options.on_thread_park);
            }
            if holds_all || stall.lasting >= self.options.blocked {
                blocked.push(generation.blocked(route, stall.lasting));
            }
        }
        self.dispatch.blocked_list().set(blocked);
        stuck
    }

    /// All threads that are inside a generation of this dispatch, and for how long each of them is at the same poll.
    fn observe(&mut self) -> Vec<Observed> {
        let now = Instant::now();
        self.stalls.begin();
        let mut observed = Vec::new();
        for thread in active_threads() {
            if let Some(generation) = self.dispatch.generation(thread.generation) {
                let stall = self.stalls.observe(now, thread.thread, thread.serial, self.options.blocked);
                observed.push(Observed { thread, generation, stall });
            }
        }
        self.stalls.end();
        observed
    }
}

/// Looks after the threads of a program that serves on this runtime, for as long as it is polled. Those of a `Front` are looked
/// after there. To be run where no plugin runs; of the options, those on blocking count.
pub async fn look_after(dispatch: Dispatch, options: FrontOptions, serving: Handle) {
    let mut watchdog = Watchdog::new(dispatch, options);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if !watchdog.look().is_empty() {
            // A thread that blocks may have been the one that waits for the sockets; any other does so when it has been woken.
            serving.spawn(async {});
        }
    }
}
