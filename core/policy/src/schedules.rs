//! Schedules: when a plugin is called at set times, as its manifest says; and what is to run, as times pass. Pure: times come in and go
//! out in milliseconds since 1970. Cron expressions are judged by the crate `croner`, zones are those of its own copy of the
//! IANA database. What must not live here: who calls.

use crate::task_types::duration;
use croner::Cron;
use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::{Deserialize, Deserializer, de};
use std::{str::FromStr, time::Duration};

/// What comes so much later than it should was missed.
const MISSED: Duration = Duration::from_secs(60);

/// So many runs are planned at once.
const MOST_RUNS: usize = 1_000;

/// Expressions are tried from here on, when a manifest is read.
const FROM: i64 = 1_767_225_600_000;

/// What is done about runs that nobody was there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissedRuns {
    /// Nothing.
    #[default]
    Skip,
    /// One run stands for all of them.
    Once,
    /// Each is made up for.
    All,
}

impl MissedRuns {
    /// As manifests write it.
    pub fn word(self) -> &'static str {
        match self {
            MissedRuns::Skip => "skip",
            MissedRuns::Once => "once",
            MissedRuns::All => "all",
        }
    }
}

/// The times of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleTimes {
    /// By a cron expression, as it is written.
    Cron(String),
    /// At the beginning of each interval, counted from 1970.
    Every(Duration),
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name, of which the plugin has no other.
    pub name: String,
    /// When.
    pub times: ScheduleTimes,
    /// The zone whose clock the expression is about.
    pub zone: String,
    /// Each run begins up to so much later, at random.
    pub jitter: Duration,
    /// What is done about runs that nobody was there for.
    pub missed: MissedRuns,
}

/// What is to be done about a schedule now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduledRuns {
    /// These runs begin.
    pub due: Vec<i64>,
    /// This is when it is due again, if it ever is.
    pub next: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSchedule {
    name: String,
    cron: Option<String>,
    every: Option<String>,
    zone: Option<String>,
    jitter: Option<String>,
    #[serde(default)]
    missed: MissedRuns,
}

impl WrittenSchedule {
    fn checked(self) -> Result<Schedule, String> {
        let name = self.name;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if !(1..=60).contains(&name.len()) || !name.bytes().all(good) {
            let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
            return Err(format!("`{shown}` is no name of a schedule: up to 60 letters, digits, `_` and `-`"));
        }
        let of = |why: String| format!("the schedule `{name}`: {why}");
        let times = match (self.cron, self.every) {
            (Some(cron), None) => ScheduleTimes::Cron(cron),
            (None, Some(every)) => ScheduleTimes::Every(duration(&every).map_err(of)?),
            _ => return Err(of("it has either `cron` or `every`".to_owned())),
        };
        if matches!(times, ScheduleTimes::Every(every) if every < Duration::from_secs(1)) {
            return Err(of("`every` is a second at least".to_owned()));
        }
        if matches!(times, ScheduleTimes::Every(_)) && self.zone.is_some() {
            return Err(of("`zone` goes with `cron`: intervals are the same everywhere".to_owned()));
        }
        let jitter = self.jitter.map(|jitter| duration(&jitter)).transpose().map_err(of)?.unwrap_or_default();
        let zone = self.zone.unwrap_or_else(|| "UTC".to_owned());
        let schedule = Schedule { times, zone, jitter, missed: self.missed, name: name.clone() };
        schedule.try_next_after(FROM).map_err(of)?;
        Ok(schedule)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WrittenSchedule::deserialize(deserializer)?.checked().map_err(de::Error::custom)
    }
}

/// Whether no two schedules have one name.
pub(crate) fn check_schedules(schedules: &[Schedule]) -> Result<(), String> {
    for (place, one) in schedules.iter().enumerate() {
        if schedules.iter().take(place).any(|other| other.name == one.name) {
            return Err(format!("`schedules` names `{}` twice", one.name));
        }
    }
    Ok(())
}

pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    let shown = || name.chars().take(60).flat_map(char::escape_debug).collect::<String>();
    let found = TimeZoneDatabase::bundled().get(name);
    found.map_err(|_| format!("there is no time zone `{}`: it is called like `Europe/Berlin`, or `UTC`", shown()))
}

impl Schedule {
    /// What tells a schedule from what it was, as it is kept.
    pub fn text(&self) -> String {
        match &self.times {
            ScheduleTimes::Cron(cron) => format!("{cron} {}", self.zone),
            ScheduleTimes::Every(every) => format!("every {} ms", every.as_millis()),
        }
    }

    /// When it is due next after then; none if it never is.
    pub fn next_after(&self, then: i64) -> Option<i64> {
        self.try_next_after(then).ok()
    }

    fn try_next_after(&self, then: i64) -> Result<i64, String> {
        let cron = match &self.times {
            ScheduleTimes::Every(every) => {
                let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
                return Ok((then.div_euclid(every) + 1).saturating_mul(every));
            }
            ScheduleTimes::Cron(cron) => cron,
        };
        let shown = || cron.chars().take(80).flat_map(char::escape_debug).collect::<String>();
        let zone = zone(&self.zone)?;
        let expression =
            Cron::from_str(cron).map_err(|error| format!("`{}` is no cron expression: {error}", shown()))?;
        let then = Timestamp::from_millisecond(then).map_err(|error| error.to_string())?.to_zoned(zone);
        let next = expression.find_next_occurrence(&then, false);
        let next = next.map_err(|_| format!("`{}` never comes", shown()))?;
        Ok(next.timestamp().as_millisecond())
    }

    /// What is to be done, if it was due then and it is now. The times in between were missed where nobody was there.
    pub fn runs(&self, due: i64, now: i64) -> ScheduledRuns {
        let mut runs = ScheduledRuns { due: Vec::new(), next: Some(due) };
        let missed = |due: i64| now.saturating_sub(due) > i64::try_from(MISSED.as_millis()).unwrap_or(i64::MAX);
        // Of what was long ago the last alone counts, or nothing: no need to count to it.
        if self.missed != MissedRuns::All && missed(due) {
            let begin = now.saturating_sub(i64::try_from(MISSED.as_millis()).unwrap_or(0));
            if self.missed == MissedRuns::Once {
                runs.due.push(self.last_before(due, begin));
            }
            runs.next = self.next_after(begin.max(due));
        }
        while let Some(next) = runs.next.filter(|next| *next <= now) {
            if runs.due.len() >= MOST_RUNS {
                break;
            }
            runs.due.push(next);
            runs.next = self.next_after(next);
        }
        if self.missed == MissedRuns::Once {
            // One stands for all.
            runs.due = runs.due.last().copied().into_iter().collect();
        }
        runs
    }

    /// The last time up to then that it was due, if there was one after this; else this.
    fn last_before(&self, due: i64, then: i64) -> i64 {
        let mut last = due;
        for _ in 0..MOST_RUNS {
            match self.next_after(last) {
                Some(next) if next <= then => last = next,
                _ => break,
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: serde_json::Value) -> Result<Schedule, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn cron(cron: &str, zone: &str) -> Schedule {
        read(json!({ "name": "x", "cron": cron, "zone": zone })).unwrap()
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (bad, why) in [
            (json!({ "name": "a b", "every": "1h" }), "`a b` is no name of a schedule"),
            (json!({ "name": "a" }), "the schedule `a`: it has either `cron` or `every`"),
            (json!({ "name": "a", "cron": "* * * * *", "every": "1h" }), "the schedule `a`: it has either"),
            (json!({ "name": "a", "every": "100ms" }), "the schedule `a`: `every` is a second at least"),
            (json!({ "name": "a", "every": "1h", "zone": "UTC" }), "the schedule `a`: `zone` goes with `cron`"),
            (json!({ "name": "a", "cron": "0 0 30 2 *" }), "the schedule `a`: `0 0 30 2 *` never comes"),
            (json!({ "name": "a", "cron": "61 * * * *" }), "the schedule `a`: `61 * * * *` is no cron expression: "),
            (json!({ "name": "a", "cron": "" }), "the schedule `a`: `` is no cron expression: "),
            (
                json!({ "name": "a", "cron": "* * * * *", "zone": "Europe/Atlantis" }),
                "the schedule `a`: there is no time zone `Europe/Atlantis`",
            ),
            (json!({ "name": "a", "every": "1h", "missed": "perhaps" }), "unknown variant `perhaps`"),
        ] {
            let told = read(bad.clone()).unwrap_err();
            assert!(told.starts_with(why), "{bad}: {told}");
        }
    }

    #[test]
    fn clocks_that_are_put_forward_and_back() {
        let berlin = cron("30 2 * * *", "Europe/Berlin");
        // In the night in which there is no half past two.
        assert_eq!(berlin.next_after(at("2026-03-28T12:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
        assert_eq!(berlin.next_after(at("2026-03-29T01:30:00Z")), Some(at("2026-03-30T00:30:00Z")));
        // In the one in which there are two.
        assert_eq!(berlin.next_after(at("2026-10-24T12:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
        assert_eq!(berlin.next_after(at("2026-10-25T00:30:00Z")), Some(at("2026-10-26T01:30:00Z")));
        let hourly = cron("0 * * * *", "Europe/Berlin");
        assert_eq!(hourly.next_after(at("2026-10-25T00:00:00Z")), Some(at("2026-10-25T01:00:00Z")));
        assert_eq!(hourly.next_after(at("2026-10-25T01:00:00Z")), Some(at("2026-10-25T02:00:00Z")));
    }

    #[test]
    fn intervals_are_the_same_for_all() {
        let every = read(json!({ "name": "x", "every": "15m" })).unwrap();
        assert_eq!(every.next_after(at("2026-01-01T00:00:00Z")), Some(at("2026-01-01T00:15:00Z")));
        assert_eq!(every.next_after(at("2026-01-01T00:14:59.999Z")), Some(at("2026-01-01T00:15:00Z")));
    }

    #[test]
    fn missed_runs_are_skipped_made_up_for_once_or_all() {
        let hour = |hour: i64| at("2026-01-01T00:00:00Z") + hour * 3_600_000;
        let of = |missed: &str| read(json!({ "name": "x", "cron": "0 * * * *", "missed": missed })).unwrap();
        let (due, late) = (hour(1), hour(4) + 1_800_000);
        let runs = |due: &[i64], next: i64| ScheduledRuns { due: due.to_vec(), next: Some(next) };
        assert_eq!(of("skip").runs(due, late), runs(&[], hour(5)));
        assert_eq!(of("once").runs(due, late), runs(&[hour(4)], hour(5)));
        assert_eq!(of("all").runs(due, late), runs(&[hour(1), hour(2), hour(3), hour(4)], hour(5)));
        for missed in ["skip", "once", "all"] {
            assert_eq!(of(missed).runs(due, due + 5_000), runs(&[hour(1)], hour(2)), "{missed}: in time");
            assert_eq!(of(missed).runs(due, due - 1), runs(&[], due), "{missed}: not yet");
        }
        // What is in time is run also where others before were missed.
        assert_eq!(of("skip").runs(due, hour(4) + 5_000), runs(&[hour(4)], hour(5)));
        assert_eq!(of("once").runs(due, hour(4) + 5_000), runs(&[hour(4)], hour(5)));
    }
}
