//! The background task: it counts the seconds since `start`, and its end is the end of all streams.

use std::{
    mem,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

/// The seconds since the plugin was started, as clients watch them. It is closed when the clock stops.
pub type Seconds = watch::Receiver<u64>;

/// The clock of this plugin.
#[derive(Debug)]
pub struct Clock {
    seconds: Seconds,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Not started: so it stays in the process that verifies a build.
    Still(watch::Sender<u64>),
    Running(JoinHandle<()>),
    Stopped,
}

impl Default for Clock {
    fn default() -> Self {
        let (sender, seconds) = watch::channel(0);
        Clock { seconds, state: Mutex::new(State::Still(sender)) }
    }
}

impl Clock {
    /// What clients watch.
    pub fn watch(&self) -> Seconds {
        self.seconds.clone()
    }

    /// Begins to count.
    pub fn start(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = match mem::replace(&mut *state, State::Stopped) {
            State::Still(sender) => State::Running(tokio::spawn(count(sender))),
            other => other,
        };
    }

    /// Ends the task, if there is one, and with it all streams.
    pub async fn stop(&self) {
        let state = mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Stopped);
        if let State::Running(task) = state {
            task.abort();
            // It fails because it was aborted; what matters is that it has ended.
            let _ = task.await;
        }
    }
}

async fn count(seconds: watch::Sender<u64>) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    second.tick().await;
    loop {
        second.tick().await;
        seconds.send_modify(|seconds| *seconds += 1);
    }
}
