//! The builds that are under way, so that a server that ends takes all of them with it.

use crate::child::Switch;
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// All of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay(Arc<TrackedBuilds>);

#[derive(Debug, Default)]
struct TrackedBuilds {
    state: Mutex<TrackedState>,
    fewer: Condvar,
}

#[derive(Debug, Default)]
struct TrackedState {
    /// No more may begin.
    ended: bool,
    last: u64,
    builds: BTreeMap<u64, Switch>,
}

/// One build, until it is dropped: then nothing of it runs any more.
#[derive(Debug)]
pub(crate) struct TrackedBuild {
    number: u64,
    all: UnderWay,
}

impl UnderWay {
    fn state(&self) -> MutexGuard<'_, TrackedState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A build begins, which this switch ends. If there are to be none any more it is ended now.
    pub(crate) fn begin(&self, switch: &Switch) -> TrackedBuild {
        let mut state = self.state();
        if state.ended {
            switch.cancel();
        }
        state.last += 1;
        let number = state.last;
        state.builds.insert(number, switch.clone());
        TrackedBuild { number, all: self.clone() }
    }

    /// Ends all, and waits until nothing of them runs any more, for so long at most.
    pub(crate) fn end(&self, patience: Duration) {
        let mut state = self.state();
        state.ended = true;
        state.builds.values().for_each(Switch::cancel);
        let running = |state: &mut TrackedState| !state.builds.is_empty();
        drop(self.0.fewer.wait_timeout_while(state, patience, running));
    }
}

impl Drop for TrackedBuild {
    fn drop(&mut self) {
        self.all.state().builds.remove(&self.number);
        self.all.0.fewer.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn all_are_ended_and_waited_for() {
        let all = UnderWay::default();
        let switches = [(); 3].map(|()| Switch::default());
        let [over, one, other] = switches.each_ref().map(|switch| all.begin(switch));
        drop(over);
        let waits = thread::spawn(move || {
            while !switches[1].is_cancelled() || !switches[2].is_cancelled() {
                thread::yield_now();
            }
            assert!(!switches[0].is_cancelled());
            drop((one, other));
        });
        all.end(LONG);
        assert!(all.state().builds.is_empty());
        waits.join().unwrap();
    }

    #[test]
    fn afterwards_none_begins() {
        let all = UnderWay::default();
        all.end(LONG);
        let late = Switch::default();
        let _build = all.begin(&late);
        assert!(late.is_cancelled());
        // It does not end, and is waited for no longer than was said.
        all.end(Duration::ZERO);
    }
}
