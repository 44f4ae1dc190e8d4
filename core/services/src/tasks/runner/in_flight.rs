//! What runs on this server, how it is stopped, and how far it says it is. A task is here from its claim until what came of it is
//! written. What must not live here: the queue.

use crate::tasks::{
    record::{Settlement, TaskState},
    running::Stopped,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};
use tokio::sync::{Notify, oneshot};

#[derive(Default)]
pub(in crate::tasks) struct TasksInFlight {
    state: Mutex<InFlightState>,
    freed: Notify,
}

#[derive(Default)]
struct InFlightState {
    tasks: HashMap<i64, FlyingTask>,
    types: HashMap<(Arc<str>, Arc<str>), TypeInFlight>,
    /// Of these something ended since that was asked.
    freed: HashSet<(Arc<str>, Arc<str>)>,
    /// By plugin: how many were done, and how many attempts failed.
    ended: BTreeMap<Arc<str>, (u64, u64)>,
}

/// How many of one type.
#[derive(Clone, Copy, Default)]
struct TypeInFlight {
    running: usize,
    /// They are over, and what came of them is not written yet.
    unsettled: usize,
}

struct FlyingTask {
    plugin: Arc<str>,
    kind: Arc<str>,
    attempt: i32,
    stop: Option<oneshot::Sender<Stopped>>,
    progress: Option<String>,
}

impl TasksInFlight {
    /// One more runs; what comes back hears if it is to stop.
    pub(super) fn begin(
        &self,
        plugin: &Arc<str>,
        kind: &Arc<str>,
        (id, attempt): (i64, i32),
    ) -> oneshot::Receiver<Stopped> {
        let (stop, stopped) = oneshot::channel();
        let (plugin, kind) = (plugin.clone(), kind.clone());
        let mut state = self.state.lock();
        state.types.entry((plugin.clone(), kind.clone())).or_default().running += 1;
        state.tasks.insert(id, FlyingTask { plugin, kind, attempt, stop: Some(stop), progress: None });
        stopped
    }

    /// It does not run any more.
    pub(super) fn over(&self, id: i64) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(task) = state.tasks.get(&id) else { return };
        let its_type = (task.plugin.clone(), task.kind.clone());
        if let Some(of_type) = state.types.get_mut(&its_type) {
            of_type.running = of_type.running.saturating_sub(1);
            of_type.unsettled += 1;
        }
        state.freed.insert(its_type);
        self.freed.notify_one();
    }

    /// What came of these is written.
    pub(super) fn settled(&self, settled: &[Settlement]) {
        let mut state = self.state.lock();
        for one in settled {
            let Some(task) = state.tasks.remove(&one.id) else { continue };
            let (done, failed) = state.ended.entry(task.plugin.clone()).or_default();
            *done += u64::from(one.state == TaskState::Done);
            *failed += u64::from(one.error.is_some());
            let its_type = (task.plugin, task.kind);
            if let Some(of_type) = state.types.get_mut(&its_type) {
                of_type.unsettled = of_type.unsettled.saturating_sub(1);
            }
            state.freed.insert(its_type);
        }
        drop(state);
        self.freed.notify_one();
    }

    /// Comes when there is room for more.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Of which plugins' types something ended since this was asked.
    pub(super) fn take_freed(&self) -> HashSet<(Arc<str>, Arc<str>)> {
        std::mem::take(&mut self.state.lock().freed)
    }

    /// For how many more of a type there is room, where so many run at once. As many may wait to be written down.
    pub(super) fn room(&self, plugin: &Arc<str>, kind: &Arc<str>, at_once: usize) -> usize {
        let state = self.state.lock();
        let of_type = state.types.get(&(plugin.clone(), kind.clone())).copied().unwrap_or_default();
        let known = of_type.running + of_type.unsettled;
        at_once.saturating_sub(of_type.running).min((2 * at_once).saturating_sub(known))
    }

    /// All that is here, by number.
    pub(super) fn all(&self) -> Vec<i64> {
        self.state.lock().tasks.keys().copied().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.state.lock().tasks.len()
    }

    pub(super) fn stop(&self, id: i64, attempt: i32, why: Stopped) {
        if let Some(task) = self.state.lock().tasks.get_mut(&id).filter(|task| task.attempt == attempt)
            && let Some(stop) = task.stop.take()
        {
            // It may have ended by now.
            let _ = stop.send(why);
        }
    }

    pub(super) fn stop_all(&self, why: Stopped) {
        for task in self.state.lock().tasks.values_mut() {
            if let Some(stop) = task.stop.take() {
                let _ = stop.send(why);
            }
        }
    }

    /// Whether that attempt of that plugin runs here: then it says so.
    pub(super) fn progress(&self, plugin: &str, id: i64, attempt: i32, text: String) -> bool {
        let mut state = self.state.lock();
        let task = state.tasks.get_mut(&id).filter(|task| task.attempt == attempt && *task.plugin == *plugin);
        task.map(|task| task.progress = Some(text)).is_some()
    }

    /// What was said since, with the attempts that said it.
    pub(super) fn take_progress(&self) -> Vec<(i64, i32, String)> {
        let mut state = self.state.lock();
        let said = state.tasks.iter_mut();
        said.filter_map(|(id, task)| Some((*id, task.attempt, task.progress.take()?))).collect()
    }

    pub(super) fn ended(&self) -> BTreeMap<Arc<str>, (u64, u64)> {
        self.state.lock().ended.clone()
    }
}
