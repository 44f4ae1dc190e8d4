//! Times of cron expressions, against Python's croniter: random expressions, in zones whose clocks are put forward and back, at random
//! times and at such edges. What one refuses the other does, too.

use camlock_policy::Schedule;
use camlock_testing::{Random, repository, rounds};
use serde_json::json;
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// Numbers that are the same each time.
struct Numbers(Random);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.number() % bound
    }

    /// A field whose numbers go from one to another; now and then one that is out of bounds.
    fn field(&mut self, from: u64, to: u64) -> String {
        let number = |numbers: &mut Self| from + numbers.below(to - from + 1);
        match self.below(20) {
            0..=7 => "*".to_owned(),
            8..=9 => format!("*/{}", 1 + self.below(to - from)),
            10..=12 => {
                let (one, other) = (number(self), number(self));
                // croniter takes `3-3` for all there are.
                if one == other { one.to_string() } else { format!("{}-{}", one.min(other), one.max(other)) }
            }
            13..=14 => format!("{},{}", number(self), number(self)),
            15 if self.below(10) == 0 => (to + 1 + self.below(5)).to_string(),
            _ => number(self).to_string(),
        }
    }

    fn expression(&mut self) -> String {
        let (minute, hour) = (self.field(0, 59), self.field(0, 23));
        let (day, month) = (self.field(1, 31), self.field(1, 12));
        // Of a day and a weekday either will do; whether a step is one of them crons never agreed on.
        let weekday = if day.starts_with("*/") { "*".to_owned() } else { self.field(0, 6) };
        let weekday = if weekday.starts_with("*/") { "*".to_owned() } else { weekday };
        format!("{minute} {hour} {day} {month} {weekday}")
    }
}

const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Europe/London",
];

/// Around these, in 2026, clocks are put forward or back somewhere.
const EDGES: [i64; 6] =
    [1_774_746_000_000, 1_792_890_000_000, 1_772_953_200_000, 1_793_512_800_000, 1_775_318_400_000, 1_791_043_200_000];

#[test]
fn croniter_finds_the_same_times() {
    let brought = Command::new(repository().join("scripts/croniter")).output().expect("a script");
    assert!(brought.status.success(), "{}", String::from_utf8_lossy(&brought.stderr));
    let python = String::from_utf8(brought.stdout).expect("a path");
    let mut numbers = Numbers(Random::new(0x9e37_79b9_7f4a_7c15));
    let asked: Vec<_> = (0..2_000 * rounds(1))
        .map(|number| {
            let zone = ZONES[usize::try_from(numbers.below(7)).unwrap()];
            let edge = EDGES[usize::try_from(numbers.below(6)).unwrap()];
            let at = match number % 3 {
                0 => 1_767_225_600_000 + i64::try_from(numbers.below(126_230_400)).unwrap() * 1_000,
                _ => edge - 10_800_000 + i64::try_from(numbers.below(360)).unwrap() * 60_000,
            };
            (numbers.expression(), zone, at)
        })
        .collect();
    let judge = repository().join("core/policy/tests/schedules/judge.py");
    let mut child =
        Command::new(python.trim()).arg(judge).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python");
    let mut input = child.stdin.take().unwrap();
    let lines: String =
        asked.iter().map(|(cron, zone, at)| format!("{}\n", json!({ "cron": cron, "zone": zone, "at": at }))).collect();
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told.lines().count(), asked.len());
    let (mut found, mut refused, mut once) = (0, 0, 0);
    for ((cron, zone, at), line) in asked.iter().zip(told.lines()) {
        let (theirs, fold) = line.split_once(' ').unwrap();
        let schedule = serde_json::from_value::<Schedule>(json!({ "name": "x", "cron": cron, "zone": zone }));
        let ours = schedule.ok().and_then(|schedule| schedule.next_after(*at));
        match (ours, theirs.parse::<i64>().ok()) {
            (Some(ours), Some(theirs)) if ours == theirs => found += 1,
            (None, None) => refused += 1,
            // What has a set time runs once in an hour that comes twice; croniter has it twice.
            (Some(ours), Some(theirs)) if fold == "1" && ours > theirs => once += 1,
            (ours, theirs) => panic!("`{cron}` in {zone} after {at}: {ours:?}, and croniter says {theirs:?}"),
        }
    }
    println!("{found} times, {refused} refused, {once} once in an hour that comes twice");
    assert!(found > asked.len() * 9 / 10 && refused > 0, "{found} {refused} {once}");
}
