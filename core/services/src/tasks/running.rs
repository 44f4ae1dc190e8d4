//! One task that runs: how it is brought to its plugin, and what its end comes to. What must not live here: which tasks run.

use super::{
    known::{TakenTask, misfit},
    milliseconds,
    plan::{MOST_INPUT, backoff},
    record::{ClaimedTask, Settlement, TaskState},
};
use bytes::Bytes;
use camlock_policy::{Deliver, Delivered, Delivery, ERROR_CODE, Undelivered};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// What is dead is kept for so long.
const DEAD_IS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What was given up is kept for so long.
const CANCELLED_IS_KEPT: Duration = Duration::from_secs(86_400);

/// A plugin that does not serve is asked again after so long.
const ABSENCE: Duration = Duration::from_secs(1);

/// What was cancelled has so long to be gone before somebody else may run the task: its future is dropped on threads of its own.
const GOING: Duration = Duration::from_millis(50);

/// Why a task does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Somebody gave it up.
    Cancelled,
    /// This server may not run it any more.
    Lost,
}

/// What an attempt came to.
enum EndedAttempt {
    Done(String),
    /// It may be tried again.
    Failed(String),
    /// It is of no use to try again.
    Hopeless(String),
    /// It counts as nothing, and somebody else may try after so long.
    Back(Duration),
    Cancelled,
}

/// Runs it to its end, whichever that is.
pub(super) async fn run(
    deliver: Arc<dyn Deliver>,
    plugin: Arc<str>,
    taken: TakenTask,
    task: ClaimedTask,
    stopped: oneshot::Receiver<Stopped>,
) -> Settlement {
    let limit = task.time_limit.and_then(|limit| u64::try_from(limit).ok()).map(Duration::from_millis);
    let limit = limit.unwrap_or(taken.terms.time_limit);
    let outcome = tokio::select! {
        biased;
        Ok(why) = stopped => match why {
            Stopped::Cancelled => EndedAttempt::Cancelled,
            Stopped::Lost => EndedAttempt::Back(Duration::ZERO),
        },
        outcome = tokio::time::timeout(limit, attempt(&*deliver, &plugin, &taken, &task)) => {
            outcome.unwrap_or_else(|_| EndedAttempt::Failed(format!("it took longer than {} s", limit.as_secs_f64())))
        }
    };
    if matches!(outcome, EndedAttempt::Back(_) | EndedAttempt::Cancelled) {
        tokio::time::sleep(GOING).await;
    }
    settlement(&taken, &task, outcome)
}

async fn attempt(deliver: &dyn Deliver, plugin: &str, taken: &TakenTask, task: &ClaimedTask) -> EndedAttempt {
    let input: Value = match serde_json::from_str(&task.input) {
        Ok(input) => input,
        Err(error) => return EndedAttempt::Hopeless(format!("its input is no JSON: {error}")),
    };
    // It may be older than the schema, or have come by SQL.
    if let Some(why) = misfit(taken.input.as_ref(), &input) {
        return EndedAttempt::Hopeless(format!("its input does not fit: {why}"));
    }
    let delivered = deliver.deliver(plugin, delivery(taken, task, &input)).await;
    match delivered {
        Ok(delivered) => answered(taken, delivered).await,
        Err(Undelivered::NotServing(_)) => EndedAttempt::Back(ABSENCE),
        Err(Undelivered::Leaving) => EndedAttempt::Back(Duration::ZERO),
        Err(Undelivered::Failed { fault, .. }) => EndedAttempt::Failed(fault.to_string()),
    }
}

fn delivery(taken: &TakenTask, task: &ClaimedTask, input: &Value) -> Delivery {
    if let Some(schedule) = &taken.schedule {
        let due = json!({
            "id": task.id.to_string(), "name": schedule.name, "due": input["due"], "attempt": task.attempt,
        });
        return Delivery::new("/schedule/1", Bytes::from(due.to_string()), [0; 16]);
    }
    let trace = task.trace.as_deref().and_then(read_trace).unwrap_or_default();
    let head = json!({
        "id": task.id.to_string(),
        "type": &*taken.kind,
        "attempt": task.attempt,
        "failures": task.failures,
        "enqueued": task.enqueued,
        "input": input,
    });
    Delivery::new("/task/1", Bytes::from(head.to_string()), trace)
}

fn read_trace(text: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

async fn answered(taken: &TakenTask, delivered: Delivered) -> EndedAttempt {
    let (head, body) = delivered.response.into_parts();
    let body = match Limited::new(body, MOST_INPUT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return EndedAttempt::Hopeless(format!("its result has more than {MOST_INPUT} bytes"));
        }
        Err(error) => return EndedAttempt::Failed(format!("its result broke off: {error}")),
    };
    let text = String::from_utf8_lossy(&body);
    if !head.status.is_success() {
        let code = head.headers.get(ERROR_CODE).and_then(|code| code.to_str().ok()).unwrap_or_default();
        let told: String = text.chars().take(4_000).collect();
        return match code {
            "invalid" | "not_found" => EndedAttempt::Hopeless(told),
            _ => EndedAttempt::Failed(told),
        };
    }
    match serde_json::from_slice::<Value>(&body) {
        Ok(result) => match misfit(taken.output.as_ref(), &result) {
            Some(why) => EndedAttempt::Failed(format!("its result does not fit: {why}")),
            // PostgreSQL keeps no zero characters.
            None if text.contains("\\u0000") => EndedAttempt::Hopeless("its result has a zero character".to_owned()),
            None => EndedAttempt::Done(text.into_owned()),
        },
        Err(error) => EndedAttempt::Failed(format!("its result is no JSON: {error}")),
    }
}

fn settlement(taken: &TakenTask, task: &ClaimedTask, outcome: EndedAttempt) -> Settlement {
    let keep = |time: Duration| Some(milliseconds(time));
    let mut settled = Settlement {
        id: task.id,
        attempt: task.attempt,
        state: TaskState::Waiting,
        failures: task.failures,
        delay: 0,
        result: None,
        error: None,
        keep: None,
    };
    match outcome {
        EndedAttempt::Done(result) => {
            settled.state = TaskState::Done;
            settled.result = Some(result);
            settled.keep = task.retention.or(keep(taken.terms.retention));
        }
        EndedAttempt::Back(wait) => {
            settled.state = if wait.is_zero() { TaskState::Waiting } else { TaskState::Delayed };
            settled.delay = milliseconds(wait);
        }
        EndedAttempt::Cancelled => {
            settled.state = TaskState::Cancelled;
            settled.keep = keep(CANCELLED_IS_KEPT);
        }
        EndedAttempt::Failed(why) | EndedAttempt::Hopeless(why) if task.failures + 1 >= task.attempts => {
            dead(&mut settled, why)
        }
        EndedAttempt::Hopeless(why) => dead(&mut settled, why),
        EndedAttempt::Failed(why) => {
            settled.failures += 1;
            settled.error = Some(plain(why));
            let first = task.backoff.and_then(|first| u64::try_from(first).ok()).map(Duration::from_millis);
            let wait = backoff(first.unwrap_or(taken.terms.backoff), settled.failures, random());
            settled.state = TaskState::Delayed;
            settled.delay = milliseconds(wait);
        }
    }
    settled
}

fn dead(settled: &mut Settlement, why: String) {
    settled.state = TaskState::Dead;
    settled.failures += 1;
    settled.error = Some(plain(why));
    settled.keep = Some(milliseconds(DEAD_IS_KEPT));
}

fn plain(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// From 0 to 1. It need not be hard to guess.
pub(super) fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}
