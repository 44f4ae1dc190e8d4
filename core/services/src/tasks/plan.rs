//! What a task may be like, as whoever wants it writes it, and when it is tried again. Pure.

use super::{invalid, milliseconds, record::OfferedTask};
use camlock_policy::{AskError, AskErrorCode, check_task_type};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// The largest input, in bytes.
pub const MOST_INPUT: usize = 1 << 20;

/// The longest key.
const MOST_KEY: usize = 500;

/// No time is longer.
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// No task waits longer for its next attempt, if it says nothing else.
const LONGEST_BACKOFF: Duration = Duration::from_secs(3_600);

/// How a task is wanted: times in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskWishes {
    /// Those with a higher one come first: from -1000 to 1000.
    pub priority: i32,
    /// It is not begun before so long has passed.
    pub delay: u64,
    /// There is only one of a type with this key that is not over.
    pub unique: Option<String>,
    /// After so many failures it is dead.
    pub attempts: Option<u32>,
    /// An attempt may take so long.
    pub time_limit: Option<u64>,
    /// Between the first failure and the second attempt.
    pub backoff: Option<u64>,
    /// Its result is kept for so long.
    pub retention: Option<u64>,
}

/// A task as a request writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTask {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    options: TaskWishes,
}

/// Reads a task as a request writes it: its type, its input, and options.
pub(crate) fn read_task(text: &[u8], trace: [u8; 16]) -> Result<(OfferedTask, Value), AskError> {
    let written: WrittenTask = serde_json::from_slice(text).map_err(|error| invalid(format!("the task: {error}")))?;
    let task = OfferedTask::with(&written.kind, &written.input, written.options, trace);
    check(&task)?;
    Ok((task, written.input))
}

impl OfferedTask {
    /// One of this type, with these options.
    pub fn with(kind: &str, input: &Value, options: TaskWishes, trace: [u8; 16]) -> Self {
        let time = |time: Option<u64>| time.map(Duration::from_millis);
        OfferedTask {
            kind: kind.to_owned(),
            input: input.to_string(),
            priority: options.priority,
            delay: Duration::from_millis(options.delay),
            unique: options.unique,
            attempts: options.attempts,
            time_limit: time(options.time_limit),
            backoff: time(options.backoff),
            retention: time(options.retention),
            trace,
        }
    }
}

impl OfferedTask {
    /// Its options, as [`TaskWishes`] are written.
    pub(crate) fn options(&self) -> String {
        let mut options = serde_json::Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                options.insert(name.to_owned(), value);
            }
        };
        let time = |time: Option<Duration>| time.map(|time| milliseconds(time).into());
        put("priority", Some(self.priority.into()));
        put("delay", time(Some(self.delay)));
        put("unique", self.unique.clone().map(Value::from));
        put("attempts", self.attempts.map(Value::from));
        put("time_limit", time(self.time_limit));
        put("backoff", time(self.backoff));
        put("retention", time(self.retention));
        Value::Object(options).to_string()
    }
}

/// Checks all that can be seen of a task alone.
pub(super) fn check(task: &OfferedTask) -> Result<(), AskError> {
    // What begins so is the host's own.
    if !task.kind.starts_with('@') {
        check_task_type(&task.kind).map_err(invalid)?;
    }
    if task.input.len() > MOST_INPUT {
        let told = format!("the input has {} bytes; {MOST_INPUT} are allowed", task.input.len());
        return Err(AskError::new(AskErrorCode::Limit, told));
    }
    if !(-1_000..=1_000).contains(&task.priority) {
        return Err(invalid("a priority is a number from -1000 to 1000"));
    }
    let times = [Some(task.delay), task.time_limit, task.backoff, task.retention];
    if times.iter().flatten().any(|time| *time > YEAR) {
        return Err(invalid("no time of a task is longer than a year"));
    }
    if [task.time_limit, task.backoff, task.retention].iter().flatten().any(Duration::is_zero) {
        return Err(invalid("a time of a task is at least a millisecond"));
    }
    if task.attempts.is_some_and(|attempts| !(1..=1_000_000).contains(&attempts)) {
        return Err(invalid("a task has from 1 to 1,000,000 attempts"));
    }
    if task.unique.as_ref().is_some_and(|key| key.is_empty() || key.len() > MOST_KEY || key.contains('\0')) {
        return Err(invalid(format!("`unique` is a text of 1 to {MOST_KEY} bytes without zero bytes")));
    }
    // JSON may write it, PostgreSQL does not keep it.
    if task.input.contains("\\u0000") {
        return Err(invalid("the input has a zero character"));
    }
    Ok(())
}

/// How long it is waited after so many failures: twice as long each time, with up to a quarter more, so that what failed together
/// is not tried together. `random` is from 0 to 1.
pub(super) fn backoff(first: Duration, failures: i32, random: f64) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1).clamp(0, 30)).unwrap_or(0);
    let most = LONGEST_BACKOFF.max(first);
    let wait = first.saturating_mul(1 << doublings).min(most);
    wait + wait.mul_f64(random.clamp(0.0, 1.0) / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_waited_longer_each_time() {
        let second = Duration::from_secs(1);
        for (failures, seconds) in [(1, 1), (2, 2), (3, 4), (10, 512), (12, 2_048), (13, 3_600), (1_000, 3_600)] {
            assert_eq!(backoff(second, failures, 0.0), Duration::from_secs(seconds), "{failures}");
        }
        assert_eq!(backoff(second, 3, 1.0), Duration::from_secs(5));
        assert_eq!(backoff(Duration::from_secs(7_200), 9, 0.0), Duration::from_secs(7_200));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let read = |text: &str| read_task(text.as_bytes(), [0; 16]).map(|(task, _)| task);
        let task =
            read(r#"{"type":"a.b","input":{"x":1},"options":{"priority":7,"delay":1500,"unique":"k"}}"#).unwrap();
        assert_eq!((task.priority, task.delay, task.input.as_str()), (7, Duration::from_millis(1_500), r#"{"x":1}"#));
        assert_eq!(read(r#"{"type":"a"}"#).unwrap().input, "null");
        for (bad, why) in [
            ("", "the task: EOF"),
            (r#"{"type":"a b"}"#, "`a b` is no type of tasks"),
            (r#"{"type":"a","options":{"priority":1001}}"#, "a priority is"),
            (r#"{"type":"a","options":{"delay":31622400001}}"#, "no time of a task"),
            (r#"{"type":"a","options":{"delay":-1}}"#, "the task: invalid value"),
            (r#"{"type":"a","options":{"time_limit":0}}"#, "a time of a task is at least"),
            (r#"{"type":"a","options":{"attempts":0}}"#, "a task has from 1"),
            (r#"{"type":"a","options":{"unique":""}}"#, "`unique` is a text"),
            (r#"{"type":"a","options":{"speed":1}}"#, "the task: unknown field `speed`"),
            (r#"{"type":"a","input":"\u0000"}"#, "the input has a zero character"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.message.starts_with(why) && error.code == AskErrorCode::Invalid, "{bad}: {error}");
        }
        let large = format!(r#"{{"type":"a","input":"{}"}}"#, "x".repeat(MOST_INPUT));
        assert_eq!(read(&large).unwrap_err().code, AskErrorCode::Limit);
    }
}
