//! The types of tasks that a plugin takes, as its manifest names them: what their input and output must be like, and what limits
//! hold. Pure. What must not live here: queues.

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use std::{fmt, time::Duration};

/// The longest name of a type.
const LONGEST_NAME: usize = 100;

/// One type of tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskType {
    /// Its name, `GITHUB_PR_REVIEW`.
    pub name: String,
    /// The JSON Schema that an input must fit, if it says one.
    pub input: Option<Value>,
    /// The JSON Schema that a result must fit, if it says one.
    pub output: Option<Value>,
    /// So many run at once, on all servers together.
    pub concurrency: Option<u32>,
    /// So many begin in a time, on all servers together.
    pub rate: Option<TaskRate>,
    /// After so many failures a task is dead.
    pub attempts: Option<u32>,
    /// An attempt may take so long.
    pub time_limit: Option<Duration>,
    /// Between the first failure and the second attempt; each time it is doubled.
    pub backoff: Option<Duration>,
    /// Results are kept for so long.
    pub retention: Option<Duration>,
}

/// How many tasks may begin in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRate {
    /// So many.
    pub count: u32,
    /// In this time.
    pub per: Duration,
}

/// As a table writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenType {
    #[serde(rename = "type")]
    name: String,
    input: Option<Value>,
    output: Option<Value>,
    concurrency: Option<u32>,
    rate: Option<String>,
    attempts: Option<u32>,
    #[serde(alias = "time_limit")]
    time_limit: Option<String>,
    backoff: Option<String>,
    retention: Option<String>,
}

impl WrittenType {
    fn checked(self) -> Result<TaskType, String> {
        let name = self.name;
        check_task_type(&name)?;
        let time = |what: &str, text: Option<String>| {
            let read =
                text.map(|text| duration(&text).map_err(|why| format!("`{what}` of the task type `{name}`: {why}")));
            read.transpose()
        };
        let (time_limit, backoff) = (time("time-limit", self.time_limit)?, time("backoff", self.backoff)?);
        let retention = time("retention", self.retention)?;
        let rate = self.rate.map(|text| rate(&text).map_err(|why| format!("`rate` of the task type `{name}`: {why}")));
        for (what, number) in [("concurrency", self.concurrency), ("attempts", self.attempts)] {
            if number.is_some_and(|number| !(1..=1_000_000).contains(&number)) {
                return Err(format!("`{what}` of the task type `{name}` is a number from 1 to 1,000,000"));
            }
        }
        for (what, schema) in [("input", &self.input), ("output", &self.output)] {
            if schema.as_ref().is_some_and(|schema| !schema.is_object() && !schema.is_boolean()) {
                return Err(format!("`{what}` of the task type `{name}` is a table: a JSON Schema"));
            }
        }
        let (rate, concurrency, attempts) = (rate.transpose()?, self.concurrency, self.attempts);
        let (input, output) = (self.input, self.output);
        Ok(TaskType { name, input, output, concurrency, rate, attempts, time_limit, backoff, retention })
    }
}

impl<'de> Deserialize<'de> for TaskType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrTable)
    }
}

struct WordOrTable;

impl<'de> Visitor<'de> for WordOrTable {
    type Value = TaskType;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a task type, or a table with `type` and what holds for it")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<TaskType, E> {
        check_task_type(name).map_err(E::custom)?;
        Ok(TaskType { name: name.to_owned(), ..TaskType::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<TaskType, A::Error> {
        let written = WrittenType::deserialize(MapAccessDeserializer::new(table))?;
        written.checked().map_err(de::Error::custom)
    }
}

/// Checks the name of a type of tasks.
pub fn check_task_type(name: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(good)
    {
        return Ok(());
    }
    let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
    Err(format!(
        "`{shown}` is no type of tasks: up to {LONGEST_NAME} letters, digits, `_`, `-` and `.`, beginning with a letter (`GITHUB_PR_REVIEW`)"
    ))
}

/// Whether no two types have one name.
pub(crate) fn check_task_types(types: &[TaskType]) -> Result<(), String> {
    for (place, one) in types.iter().enumerate() {
        if types.iter().take(place).any(|other| other.name == one.name) {
            return Err(format!("`task_types` names `{}` twice", one.name));
        }
    }
    Ok(())
}

/// `500ms`, `30s`, `5m`, `2h`, `7d`
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds: Option<u64> = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let time = number.parse::<u64>().ok().zip(milliseconds).and_then(|(number, unit)| number.checked_mul(unit));
    match time {
        Some(time) if (1..=366 * 86_400_000).contains(&time) => Ok(Duration::from_millis(time)),
        _ => {
            let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
            Err(format!("`{shown}` is no time of up to a year: `500ms`, `30s`, `5m`, `2h`, `7d`"))
        }
    }
}

/// `10/s`, `100/m`, `5000/h`
fn rate(text: &str) -> Result<TaskRate, String> {
    let read = text.split_once('/').and_then(|(count, unit)| {
        let per = duration(&format!("1{unit}")).ok().filter(|per| per.as_secs() > 0)?;
        Some(TaskRate { count: count.parse().ok().filter(|count| (1..=1_000_000).contains(count))?, per })
    });
    let shown = || text.chars().take(40).flat_map(char::escape_debug).collect::<String>();
    read.ok_or_else(|| format!("`{}` is no rate: `10/s`, `100/m`, `5000/h`", shown()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<TaskType, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_word_or_a_table() {
        assert_eq!(read(json!("GITHUB_PR_REVIEW")).unwrap().name, "GITHUB_PR_REVIEW");
        let whole = read(json!({
            "type": "mail.send", "input": { "type": "object" }, "concurrency": 2, "rate": "10/s", "attempts": 3,
            "time-limit": "30s", "backoff": "500ms", "retention": "7d",
        }));
        let whole = whole.unwrap();
        assert_eq!(whole.rate, Some(TaskRate { count: 10, per: Duration::from_secs(1) }));
        assert_eq!(
            (whole.time_limit, whole.backoff),
            (Some(Duration::from_secs(30)), Some(Duration::from_millis(500)))
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (bad, why) in [
            (json!("review me"), "`review me` is no type of tasks: up to 100 letters"),
            (json!(""), "`` is no type of tasks"),
            (json!("@schedule"), "`@schedule` is no type of tasks"),
            (json!({ "type": "a", "rate": "fast" }), "`rate` of the task type `a`: `fast` is no rate: `10/s`"),
            (json!({ "type": "a", "rate": "0/s" }), "`rate` of the task type `a`: `0/s` is no rate"),
            (json!({ "type": "a", "rate": "1/ms" }), "`rate` of the task type `a`: `1/ms` is no rate"),
            (json!({ "type": "a", "time-limit": "30" }), "`time-limit` of the task type `a`: `30` is no time"),
            (json!({ "type": "a", "backoff": "999999999999999999d" }), "`backoff` of the task type `a`: "),
            (json!({ "type": "a", "attempts": 0 }), "`attempts` of the task type `a` is a number from 1 to 1,000,000"),
            (json!({ "type": "a", "input": 7 }), "`input` of the task type `a` is a table: a JSON Schema"),
            (json!({ "type": "a", "speed": 7 }), "unknown field `speed`"),
            (json!(7), "invalid type: integer `7`, expected the name of a task type, or a table"),
        ] {
            let told = read(bad.clone()).unwrap_err();
            assert!(told.starts_with(why), "{bad}: {told}");
        }
        let twice = ["a", "b", "a"].map(|name| TaskType { name: name.to_owned(), ..TaskType::default() });
        assert_eq!(check_task_types(&twice).unwrap_err(), "`task_types` names `a` twice");
    }
}
