//! Looking after the threads that serve: who blocks one is told of while it does, and moved off if it goes on.
//!
//! What must not live here: connections, and what is done for those that wait for a thread.

use crate::{Dispatch, FrontOptions, marks::sights, monitor::Monitor, problem::seconds};
use std::{
    collections::HashMap,
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
pub(crate) struct Lookout {
    dispatch: Dispatch,
    options: FrontOptions,
    monitor: Monitor,
}

impl Lookout {
    pub(crate) fn new(dispatch: Dispatch, options: FrontOptions) -> Self {
        Lookout { dispatch, options, monitor: Monitor::default() }
    }

    /// Looks once: how many threads of each group are stuck.
    pub(crate) fn look(&mut self) -> HashMap<u64, usize> {
        let now = Instant::now();
        let mut stuck: HashMap<u64, usize> = HashMap::new();
        let mut blocked = Vec::new();
        self.monitor.begin();
        for sight in sights() {
            let Some(generation) = self.dispatch.generation(sight.generation) else { continue };
            let verdict = self.monitor.sees(now, sight.thread, sight.serial, self.options.blocked);
            if verdict.lasting >= STUCK {
                *stuck.entry(sight.group).or_default() += 1;
            }
            if verdict.lasting < self.options.blocked.min(self.options.moved_off) {
                continue;
            }
            let Some(route) = sight.asked() else { continue };
            if verdict.tell {
                let (plugin, number) = (&*generation.name, generation.number);
                let told = seconds(verdict.lasting);
                tracing::warn!(plugin, generation = number, %route, "a handler has blocked its thread for {told} now");
            }
            if verdict.lasting >= self.options.moved_off {
                generation.move_off(&route, self.options.away, self.options.on_thread_park);
            }
            if verdict.lasting >= self.options.blocked {
                blocked.push(generation.blocked(route, verdict.lasting));
            }
        }
        self.monitor.end();
        self.dispatch.blocked_list().set(blocked);
        stuck
    }
}

/// Looks after the threads of a program that serves on this runtime, for as long as it is polled. Those of a `Front` are looked
/// after there. To be run where no plugin runs; of the options, those on blocking count.
pub async fn look_after(dispatch: Dispatch, options: FrontOptions, serving: Handle) {
    let mut lookout = Lookout::new(dispatch, options);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if !lookout.look().is_empty() {
            // A thread that blocks may have been the one that waits for the sockets; any other does so when it has been woken.
            serving.spawn(async {});
        }
    }
}
