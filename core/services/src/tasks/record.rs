//! What is known of a task, and what the queue is asked. What must not live here: SQL.

use super::known::TaskTerms;
use camlock_policy::TaskRate;
use std::{sync::Arc, time::Duration};

/// What has become of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// It is not due yet.
    Delayed,
    /// It waits for somebody who has room for it.
    Waiting,
    /// It runs.
    Running,
    /// It was done.
    Done,
    /// It failed as often as it may: an operator may have it tried again.
    Dead,
    /// It was given up by whoever wanted it.
    Cancelled,
}

impl TaskState {
    const WORDS: [(TaskState, &'static str); 6] = [
        (TaskState::Delayed, "delayed"),
        (TaskState::Waiting, "waiting"),
        (TaskState::Running, "running"),
        (TaskState::Done, "done"),
        (TaskState::Dead, "dead"),
        (TaskState::Cancelled, "cancelled"),
    ];

    /// In a word.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(state, _)| *state == self).map_or("", |(_, word)| word)
    }

    /// In a word for people: what is not due waits.
    pub fn shown(self) -> &'static str {
        if self == TaskState::Delayed { "waiting" } else { self.word() }
    }

    /// By its word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(state, _)| *state)
    }

    /// Whether nothing more comes of it by itself.
    pub fn is_over(self) -> bool {
        matches!(self, TaskState::Done | TaskState::Dead | TaskState::Cancelled)
    }
}

/// A task that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferedTask {
    /// Its type.
    pub kind: String,
    /// What it is about, as JSON text.
    pub input: String,
    /// Those with a higher one come first.
    pub priority: i32,
    /// It is not begun before so long has passed.
    pub delay: Duration,
    /// There is only one of a type with this key that is not over.
    pub unique: Option<String>,
    /// After so many failures it is dead; else what holds for its type.
    pub attempts: Option<u32>,
    /// An attempt may take so long.
    pub time_limit: Option<Duration>,
    /// Between the first failure and the second attempt.
    pub backoff: Option<Duration>,
    /// Its result is kept for so long.
    pub retention: Option<Duration>,
    /// The W3C trace id that it belongs to, or zeros.
    pub trace: [u8; 16],
}

/// A task that was accepted, or that was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// Its number.
    pub id: i64,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// A task, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub plugin: String,
    /// Its type.
    pub kind: String,
    /// What has become of it.
    pub state: TaskState,
    /// Those with a higher one come first.
    pub priority: i32,
    /// The attempt that runs, or the last one.
    pub attempt: i32,
    /// So often it has failed.
    pub failures: i32,
    /// So often it may, if that is known by now.
    pub attempts: Option<i32>,
    /// There is only one of a type with this key that is not over.
    pub unique: Option<String>,
    /// As JSON text, as are the next two.
    pub input: String,
    /// What the task said last of how far it is.
    pub progress: Option<String>,
    /// What came of it.
    pub result: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Whether somebody wants it to end.
    pub cancel: bool,
    /// In milliseconds since 1970, as are the next three.
    pub enqueued: i64,
    /// When it may begin.
    pub due: i64,
    /// When the last attempt began.
    pub begun: Option<i64>,
    /// When it was over.
    pub ended: Option<i64>,
}

/// Which tasks are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskQuery {
    /// Only of this plugin.
    pub plugin: Option<String>,
    /// Only of this type.
    pub kind: Option<String>,
    /// Only in this state.
    pub state: Option<TaskState>,
    /// Those enqueued before this one.
    pub before: Option<i64>,
    /// So many at most.
    pub most: usize,
}

/// A part of a list, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskRecord>,
    /// Whether there are more.
    pub more: bool,
}

/// How many tasks of a plugin there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// They wait, or are not due.
    pub waiting: u64,
    /// They run.
    pub running: u64,
    /// They failed for good.
    pub dead: u64,
    /// Of all that ran on this server since it started: they were done.
    pub done: u64,
    /// Attempts that failed there.
    pub failed: u64,
}

/// What is to be claimed.
#[derive(Clone, Debug)]
pub(super) struct ClaimTerms {
    pub(super) runner: String,
    pub(super) plugin: Arc<str>,
    pub(super) kind: Arc<str>,
    /// So many at most, here.
    pub(super) most: usize,
    pub(super) from: ClaimFrom,
    pub(super) terms: TaskTerms,
}

/// Where it is looked for what waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClaimFrom {
    /// At everything.
    Beginning,
    /// Of these priorities alone, the highest first, behind these tasks.
    Behind(Vec<(i32, i64)>),
}

/// What was claimed.
#[derive(Debug, Default)]
pub(super) struct ClaimedBatch {
    pub(super) tasks: Vec<ClaimedTask>,
    /// If the rate is used up: there may be another one after so long.
    pub(super) again: Option<Duration>,
}

/// A task that this process runs now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClaimedTask {
    pub(super) id: i64,
    pub(super) priority: i32,
    pub(super) attempt: i32,
    pub(super) failures: i32,
    pub(super) attempts: i32,
    pub(super) input: String,
    pub(super) backoff: Option<i64>,
    pub(super) time_limit: Option<i64>,
    pub(super) retention: Option<i64>,
    pub(super) trace: Option<String>,
    pub(super) enqueued: i64,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settlement {
    pub(super) id: i64,
    pub(super) attempt: i32,
    pub(super) state: TaskState,
    pub(super) failures: i32,
    /// If it is to be tried again: after so many milliseconds.
    pub(super) delay: i64,
    pub(super) result: Option<String>,
    pub(super) error: Option<String>,
    /// If it is over: it is kept for so many milliseconds.
    pub(super) keep: Option<i64>,
}

/// What a process says when it is to be heard of.
#[derive(Clone, Debug, Default)]
pub(super) struct Heartbeat {
    pub(super) runner: String,
    /// Those that were silent for so many milliseconds are not waited for any more.
    pub(super) silence: i64,
    /// What it runs.
    pub(super) running: Vec<i64>,
    /// What attempts said of how far they are.
    pub(super) progress: Vec<(i64, i32, String)>,
}

/// What a process hears that was heard of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeartbeatAnswer {
    /// Whether it still may run what it claimed.
    pub(super) is_known: bool,
    /// Tasks of its own that are to be cancelled, with their attempts.
    pub(super) cancelled: Vec<(i64, i32)>,
    /// So many tasks of others came back.
    pub(super) rescued: u64,
}

/// How many tokens there are now, of a bucket that had so many then, and how long it takes until there is one.
pub(super) fn refilled(rate: TaskRate, tokens: f64, filled: i64, now: i64) -> (f64, Duration) {
    let (count, per) = (f64::from(rate.count), rate.per.as_millis() as f64);
    let passed = now.saturating_sub(filled).max(0) as f64;
    let tokens = (tokens + passed * count / per).min(count);
    let lacking = (1.0 - tokens).max(0.0);
    (tokens, Duration::from_millis((lacking * per / count).ceil() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_up_to_its_rate() {
        let rate = TaskRate { count: 10, per: Duration::from_secs(1) };
        assert_eq!(refilled(rate, 0.0, 0, 1_000_000), (10.0, Duration::ZERO));
        assert_eq!(refilled(rate, 0.0, 1_000, 1_050), (0.5, Duration::from_millis(50)));
        assert_eq!(refilled(rate, 2.5, 1_000, 900), (2.5, Duration::ZERO), "a clock that goes back gives nothing");
    }

    #[test]
    fn states_are_words() {
        for (state, word) in TaskState::WORDS {
            assert_eq!(TaskState::of_word(word), Some(state));
            assert_eq!(state.word(), word);
        }
        assert_eq!(TaskState::of_word("lost"), None);
    }
}
