//! What runs on this server, how it is stopped, and how far it says it is. A task is here from its claim until what came of it is
//! written. What must not live here: the queue.

use crate::tasks::{
    record::{Settlement, TaskState},
    running::Stopped,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
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
    running: HashMap<(Arc<str>, Arc<str>), usize>,
    /// By plugin: how many were done, and how many attempts failed.
    ended: BTreeMap<Arc<str>, (u64, u64)>,
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
        *state.running.entry((plugin.clone(), kind.clone())).or_default() += 1;
        state.tasks.insert(id, FlyingTask { plugin, kind, attempt, stop: Some(stop), progress: None });
        stopped
    }

    /// What came of these is written.
    pub(super) fn settled(&self, settled: &[Settlement]) {
        let mut state = self.state.lock();
        for one in settled {
            let Some(task) = state.tasks.remove(&one.id) else { continue };
            let (done, failed) = state.ended.entry(task.plugin.clone()).or_default();
            *done += u64::from(one.state == TaskState::Done);
            *failed += u64::from(one.error.is_some());
            if let Some(running) = state.running.get_mut(&(task.plugin, task.kind)) {
                *running = running.saturating_sub(1);
            }
        }
        drop(state);
        self.freed.notify_one();
    }

    /// Comes when there is room for more.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    pub(super) fn running(&self, plugin: &Arc<str>, kind: &Arc<str>) -> usize {
        self.state.lock().running.get(&(plugin.clone(), kind.clone())).copied().unwrap_or(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().tasks.is_empty()
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
