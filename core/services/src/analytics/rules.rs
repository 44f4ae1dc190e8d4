//! The rules by which something is wrong with a plugin, though it serves. Each has its evidence and a recommendation. Pure: what is judged
//! is what was counted. They are written down for people in docs/operators.md.

use super::measures::{Counter, Gauge, Measures};
use camlock_policy::{ProblemRule, RecommendedAct};
use serde_json::{Value, json};

/// What a plugin is judged by.
#[derive(Debug, Default)]
pub(super) struct PluginEvidence {
    /// The generation that serves.
    pub(super) serving: Option<u64>,
    /// What each generation came to, in their order.
    pub(super) generations: Vec<OfGeneration>,
    /// What was counted in the last minutes in which there was something, in their order: when each began, in seconds.
    pub(super) minutes: Vec<(u64, Measures)>,
    /// Generations that cannot leave, and why.
    pub(super) pinned: Vec<(u64, String)>,
    /// Now, in seconds since 1970.
    pub(super) now: u64,
}

/// What is wrong by one rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FoundProblem {
    pub(super) rule: ProblemRule,
    pub(super) what: String,
    pub(super) evidence: Value,
    pub(super) recommendation: String,
    pub(super) act: Option<RecommendedAct>,
}

/// A generation and what it came to.
type OfGeneration = (u64, Measures);

/// Requests that a generation must have answered before its errors are judged, and before its times are.
const ENOUGH_FOR_ERRORS: u64 = 50;
const ENOUGH_FOR_TIMES: u64 = 100;
/// Bytes by which memory must have grown before that is worth a word.
const GROWN: u64 = 16 << 20;
/// Minutes over which it must have grown.
const GROWING: usize = 30;
/// Times at which a plugin may be unwell within an hour.
const UNWELL: u64 = 2;
/// Tasks by which a queue must have grown.
const MORE_TASKS: u64 = 100;
const HOUR: u64 = 3_600;

/// All that is wrong.
pub(super) fn judge(evidence: &PluginEvidence) -> Vec<FoundProblem> {
    let rules = [error_rate, latency, memory_grows, restarts, pinned, slow_subscriber, queue_grows];
    rules.into_iter().filter_map(|rule| rule(evidence)).collect()
}

impl PluginEvidence {
    /// What serves, and what served before it.
    fn before_and_after(&self) -> Option<(&OfGeneration, &OfGeneration)> {
        let at = self.generations.iter().position(|(generation, _)| Some(*generation) == self.serving)?;
        Some((self.generations.get(at.checked_sub(1)?)?, &self.generations[at]))
    }

    /// The minutes that began within so many seconds.
    fn last(&self, seconds: u64) -> impl Iterator<Item = &(u64, Measures)> + Clone {
        self.minutes.iter().filter(move |(at, _)| *at + seconds > self.now)
    }

    fn sum(&self, seconds: u64, counter: Counter) -> u64 {
        self.last(seconds).map(|(_, minute)| minute.count(counter)).sum()
    }
}

fn error_rate(evidence: &PluginEvidence) -> Option<FoundProblem> {
    let ((old, before), (new, after)) = evidence.before_and_after()?;
    let rate = |measures: &Measures| {
        let requests = measures.count(Counter::Requests);
        (requests >= ENOUGH_FOR_ERRORS).then(|| measures.count(Counter::Errors) as f64 / requests as f64)
    };
    let (was, is) = (rate(before)?, rate(after)?);
    if is < 0.05 || is < was * 3.0 {
        return None;
    }
    let percent = |rate: f64| (rate * 1000.0).round() / 10.0;
    let (was, is) = (percent(was), percent(is));
    Some(FoundProblem {
        rule: ProblemRule::ErrorRate,
        what: format!("{is} % of its answers are errors since generation {new}; of generation {old} it was {was} %"),
        evidence: json!({ "generation": new, "before": old, "error_percent": is, "error_percent_before": was,
            "requests": after.count(Counter::Requests), "errors": after.count(Counter::Errors) }),
        recommendation: "roll it back, and look at its log for what fails".to_owned(),
        act: Some(RecommendedAct::Rollback),
    })
}

fn latency(evidence: &PluginEvidence) -> Option<FoundProblem> {
    let ((old, before), (new, after)) = evidence.before_and_after()?;
    let enough = |measures: &Measures| measures.count(Counter::Requests) >= ENOUGH_FOR_TIMES;
    let (was, is) =
        (before.quantile(0.95).filter(|_| enough(before))?, after.quantile(0.95).filter(|_| enough(after))?);
    // What is fast is not worth a word, however much faster it was.
    if is < was * 2.0 || is < 10.0 {
        return None;
    }
    Some(FoundProblem {
        rule: ProblemRule::Latency,
        what: format!(
            "95 of 100 answers begin within {is} ms since generation {new}; of generation {old} it was {was} ms"
        ),
        evidence: json!({ "generation": new, "before": old, "p95_ms": is, "p95_ms_before": was,
            "requests": after.count(Counter::Requests) }),
        recommendation: "roll it back, if that is not what it is for".to_owned(),
        act: Some(RecommendedAct::Rollback),
    })
}

fn memory_grows(evidence: &PluginEvidence) -> Option<FoundProblem> {
    let serving = evidence.serving?;
    let held: Vec<(u64, u64)> = (evidence.minutes.iter())
        .filter(|(_, minute)| minute.gauge(Gauge::Generation) == serving && minute.gauge(Gauge::Memory) > 0)
        .map(|(at, minute)| (*at, minute.gauge(Gauge::Memory)))
        .collect();
    let (first, last) = (held.first()?, held.last()?);
    let grown = last.1.saturating_sub(first.1);
    if held.len() < GROWING || grown < GROWN || grown < first.1 / 2 {
        return None;
    }
    // Steadily: each third of the time it never held less than in the one before.
    let third = held.len() / 3;
    let least = |part: &[(u64, u64)]| part.iter().map(|(_, bytes)| *bytes).min().unwrap_or(0);
    let most = |part: &[(u64, u64)]| part.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let (early, late) = (&held[..third], &held[held.len() - third..]);
    let middle = &held[third..held.len() - third];
    if least(middle) < most(early) || least(late) < most(middle) {
        return None;
    }
    let (minutes, mebibytes) = ((last.0 - first.0) / 60, grown >> 20);
    Some(FoundProblem {
        rule: ProblemRule::MemoryGrows,
        what: format!("it holds {mebibytes} MiB more than {minutes} minutes ago, and never gave any back"),
        evidence: json!({ "generation": serving, "bytes_before": first.1, "bytes": last.1, "minutes": minutes }),
        recommendation: "reload it, which frees what it holds; its author finds out what is kept for good".to_owned(),
        act: Some(RecommendedAct::Reload),
    })
}

fn restarts(evidence: &PluginEvidence) -> Option<FoundProblem> {
    let times = evidence.sum(HOUR, Counter::Unwell);
    (times >= UNWELL).then(|| FoundProblem {
        rule: ProblemRule::Restarts,
        what: format!("it was found unwell {times} times within an hour"),
        evidence: json!({ "times": times, "panics": evidence.sum(HOUR, Counter::Panics) }),
        recommendation: "look at its log for why; what served before may be well".to_owned(),
        act: Some(RecommendedAct::Rollback),
    })
}

fn pinned(evidence: &PluginEvidence) -> Option<FoundProblem> {
    let (generation, why) = evidence.pinned.first()?;
    let count = evidence.pinned.len();
    let others = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
    Some(FoundProblem {
        rule: ProblemRule::Pinned,
        what: format!("generation {generation} cannot leave the process: {why}{others}"),
        evidence: json!({ "generations": evidence.pinned.iter().map(|(one, _)| one).collect::<Vec<_>>(), "reason": why }),
        recommendation: "most leave by themselves when what holds them ends; a restart of the server clears all"
            .to_owned(),
        act: None,
    })
}

fn slow_subscriber(evidence: &PluginEvidence) -> Option<FoundProblem> {
    let dropped = evidence.sum(HOUR / 4, Counter::EventsDropped);
    let waiting = evidence.last(HOUR / 4).last().map_or(0, |(_, minute)| minute.gauge(Gauge::EventsWaiting));
    (dropped > 0).then(|| FoundProblem {
        rule: ProblemRule::SlowSubscriber,
        what: format!("{dropped} events came faster than it takes them, and were dropped"),
        evidence: json!({ "dropped": dropped, "waiting": waiting,
            "delivered": evidence.sum(HOUR / 4, Counter::EventsDelivered) }),
        recommendation: "have it want fewer events or take them faster; those that it may not miss it has to want kept"
            .to_owned(),
        act: None,
    })
}

fn queue_grows(evidence: &PluginEvidence) -> Option<FoundProblem> {
    let waiting: Vec<u64> = evidence.last(HOUR / 4).map(|(_, minute)| minute.gauge(Gauge::TasksWaiting)).collect();
    let (first, last) = (*waiting.first()?, *waiting.last()?);
    let never_less = waiting.windows(2).all(|pair| pair[0] <= pair[1]);
    (waiting.len() >= 5 && never_less && last >= first + MORE_TASKS).then(|| FoundProblem {
        rule: ProblemRule::QueueGrows,
        what: format!("{last} tasks wait for it, and a quarter of an hour ago it was {first}"),
        evidence: json!({ "waiting": last, "waiting_before": first, "done": evidence.sum(HOUR / 4, Counter::TasksDone),
            "failed": evidence.sum(HOUR / 4, Counter::TasksFailed) }),
        recommendation: "look at its tasks for why they take long or fail; more servers do more at once".to_owned(),
        act: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn answered(requests: u64, errors: u64, bucket: usize) -> Measures {
        let mut measures = Measures::default();
        measures.add(Counter::Requests, requests);
        measures.add(Counter::Errors, errors);
        measures.add_latency(bucket, requests);
        measures
    }

    fn rules(evidence: &PluginEvidence) -> Vec<ProblemRule> {
        judge(evidence).into_iter().map(|found| found.rule).collect()
    }

    fn after(before: Measures, after: Measures) -> Vec<ProblemRule> {
        rules(&PluginEvidence {
            serving: Some(4),
            generations: vec![(2, before), (4, after)],
            now: NOW,
            ..PluginEvidence::default()
        })
    }

    fn minutes(count: u64, minute: impl Fn(u64, &mut Measures)) -> PluginEvidence {
        let minutes = (0..count).map(|number| {
            let mut measures = Measures::default();
            measures.set(Gauge::Generation, 4);
            minute(number, &mut measures);
            (NOW - (count - number) * 60, measures)
        });
        PluginEvidence { serving: Some(4), minutes: minutes.collect(), now: NOW, ..PluginEvidence::default() }
    }

    #[test]
    fn a_generation_is_held_against_the_one_before() {
        use ProblemRule::{ErrorRate, Latency};
        assert_eq!(after(answered(100, 1, 1), answered(100, 6, 1)), [ErrorRate]);
        // As bad as before; too few to tell; no more than one in twenty.
        assert_eq!(after(answered(100, 5, 1), answered(100, 14, 1)), []);
        assert_eq!(after(answered(100, 0, 1), answered(49, 49, 1)), []);
        assert_eq!(after(answered(10, 0, 1), answered(100, 50, 1)), []);
        assert_eq!(after(answered(1_000, 0, 1), answered(1_000, 49, 1)), []);
        assert_eq!(after(answered(100, 0, 5), answered(100, 0, 7)), [Latency]);
        assert_eq!(after(answered(100, 0, 5), answered(99, 0, 7)), []);
        // Four times as long, and still at once.
        assert_eq!(after(answered(100, 0, 0), answered(100, 0, 2)), []);
        let alone = PluginEvidence {
            serving: Some(4),
            generations: vec![(4, answered(100, 100, 9))],
            ..PluginEvidence::default()
        };
        assert_eq!(rules(&alone), []);
    }

    #[test]
    fn memory_that_never_falls_back_is_told_from_memory_that_is_used() {
        let held = |bytes: fn(u64) -> u64| minutes(60, move |number, minute| minute.set(Gauge::Memory, bytes(number)));
        assert_eq!(rules(&held(|number| (20 + number) << 20)), [ProblemRule::MemoryGrows]);
        assert_eq!(rules(&held(|number| (20 + number % 30 * 2) << 20)), []);
        assert_eq!(rules(&held(|number| (20 << 20) + number)), []);
        assert_eq!(rules(&held(|number| (200 + number) << 20)), []);
        let other = PluginEvidence { serving: Some(5), ..held(|number| (20 + number) << 20) };
        assert_eq!(rules(&other), []);
    }

    #[test]
    fn what_is_unwell_dropped_or_left_waiting() {
        let unwell = |minute: u64| {
            move |number: u64, measures: &mut Measures| {
                measures.add(Counter::Unwell, u64::from(number == minute || number == minute + 1));
            }
        };
        assert_eq!(rules(&minutes(90, unwell(60))), [ProblemRule::Restarts]);
        assert_eq!(rules(&minutes(90, unwell(5))), []);
        let dropped = minutes(20, |number, minute| minute.add(Counter::EventsDropped, u64::from(number == 19)));
        assert_eq!(rules(&dropped), [ProblemRule::SlowSubscriber]);
        let queue =
            |most: u64| minutes(15, move |number, minute| minute.set(Gauge::TasksWaiting, (number * 50).min(most)));
        assert_eq!(rules(&queue(10_000)), [ProblemRule::QueueGrows]);
        assert_eq!(rules(&queue(90)), []);
        let pinned =
            PluginEvidence { pinned: vec![(3, "a thread still runs".to_owned())], ..PluginEvidence::default() };
        let found = judge(&pinned);
        assert_eq!(found[0].what, "generation 3 cannot leave the process: a thread still runs");
        assert_eq!((found[0].rule, found[0].act), (ProblemRule::Pinned, None));
    }
}
