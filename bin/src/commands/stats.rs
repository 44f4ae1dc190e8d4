//! `camlock stats`: how a plugin is used, how it does, and what is wrong with it.

use super::named::explained;
use crate::{
    Failed,
    client::{Client, Reach, encoded, read, read_all, run},
    print::{self, Paint, Table, Tone, ago},
};
use camlock_api::{AnalyticsView, PluginProblemView, UseCounts, UtcTime};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::time::{Duration, SystemTime};

#[derive(Args)]
pub(crate) struct StatsOptions {
    /// The plugin
    name: String,
    /// How far back
    #[arg(long, value_enum, default_value = "hour")]
    last: LookBack,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Clone, Copy, ValueEnum)]
enum LookBack {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl LookBack {
    /// So far back, and for how long a line stands.
    fn asked(self) -> (Duration, &'static str) {
        let days = |count: u64| Duration::from_secs(count * 86_400);
        match self {
            LookBack::Hour => (Duration::from_secs(3_600), "5m"),
            LookBack::Day => (days(1), "1h"),
            LookBack::Week => (days(7), "6h"),
            LookBack::Month => (days(30), "1d"),
            LookBack::Year => (days(365), "7d"),
        }
    }
}

pub(crate) fn run_it(options: &StatsOptions) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let (back, step) = options.last.asked();
    let from = UtcTime::from(SystemTime::now() - back);
    let path = format!("/api/v1/plugins/{}/analytics?from={from}&step={step}", encoded(&options.name));
    let (used, problems) = run(async {
        let used = match client.get(&path).await {
            Ok(used) => used,
            Err(problem) => return Err(explained(&client, &options.name, problem).await),
        };
        Ok((used, client.list("/api/v1/problems").await?))
    })?;
    let problems: Vec<_> = problems.into_iter().filter(|problem| problem["plugin"] == *options.name).collect();
    if options.json {
        print::json(&json!({ "analytics": used, "problems": problems }));
        return Ok(());
    }
    print::line(text(&read(&used)?, &read_all(&problems)?, Paint::stdout()));
    Ok(())
}

fn text(used: &AnalyticsView, problems: &[PluginProblemView], paint: Paint) -> String {
    let all = &used.usage.counts;
    let last = used.usage.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {}", ago(at)));
    let mut parts = vec![format!(
        "{}: {last}; {} requests, {} executions, {} tasks and {} events in all",
        used.plugin, all.requests, all.executions, all.tasks_done, all.events_delivered
    )];
    for problem in problems {
        let act =
            problem.act.map(|act| format!(" (camlock {} {})", json!(act).as_str().unwrap_or_default(), used.plugin));
        let act = act.unwrap_or_default();
        parts.push(format!(
            "{}: {}\n  → {}{act}",
            problem.rule.word(),
            print::plain(&problem.what),
            print::plain(&problem.recommendation)
        ));
    }
    let mut table =
        Table::new(&["FROM", "REQUESTS", "ERRORS", "P50", "P95", "P99", "PANICS", "MEMORY", "TASKS", "EVENTS", "ASKS"]);
    let busy = used.points.iter().filter(|point| point.counts != UseCounts::default());
    busy.clone().for_each(|point| row(&mut table, &point.at.to_string(), &point.counts));
    if busy.count() == 0 {
        parts.push("nothing was counted in that time".to_owned());
    } else {
        parts.push(table.text(paint));
    }
    if used.generations.len() > 1 {
        let mut table = Table::new(&[
            "GENERATION",
            "REQUESTS",
            "ERRORS",
            "P50",
            "P95",
            "P99",
            "PANICS",
            "MEMORY",
            "TASKS",
            "EVENTS",
            "ASKS",
        ]);
        for one in &used.generations {
            row(&mut table, &format!("{} since {}", one.generation, one.since), &one.counts);
        }
        parts.push(table.text(paint));
    }
    parts.join("\n\n")
}

fn row(table: &mut Table, head: &str, counts: &UseCounts) {
    let time = |milliseconds: Option<f64>| milliseconds.map_or_else(|| "-".to_owned(), |time| format!("{time} ms"));
    let bad = |count: u64| if count > 0 { Tone::Bad } else { Tone::Plain };
    let memory =
        counts.memory_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:.1} MiB", bytes as f64 / 1048576.0));
    table.row([
        (head, Tone::Strong),
        (&counts.requests.to_string(), Tone::Plain),
        (&counts.errors.to_string(), bad(counts.errors)),
        (&time(counts.p50_ms), Tone::Plain),
        (&time(counts.p95_ms), Tone::Plain),
        (&time(counts.p99_ms), Tone::Plain),
        (&counts.panics.to_string(), bad(counts.panics)),
        (&memory, Tone::Plain),
        (&counts.tasks_done.to_string(), Tone::Plain),
        (&counts.events_delivered.to_string(), Tone::Plain),
        (&counts.asks.to_string(), Tone::Plain),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_api::{AnalyticsPoint, GenerationUse, ProblemRule, RecommendedAct, UsageView};

    #[test]
    fn what_was_counted_is_lines_and_what_is_wrong_comes_first() {
        let at: UtcTime = "2026-01-02T03:00:00Z".parse().unwrap();
        let counts = UseCounts {
            requests: 12,
            errors: 3,
            p95_ms: Some(4.5),
            memory_bytes: Some(3 << 20),
            ..UseCounts::default()
        };
        let generation = |generation| GenerationUse { generation, node: "a".into(), since: at, counts: counts.clone() };
        let used = AnalyticsView {
            plugin: "hello".into(),
            from: at,
            to: at,
            step: 300,
            points: vec![
                AnalyticsPoint { at, counts: counts.clone() },
                AnalyticsPoint { at, counts: UseCounts::default() },
            ],
            generations: vec![generation(4), generation(3)],
            usage: UsageView { last_used_at: None, since: None, counts: counts.clone() },
        };
        let problem = PluginProblemView {
            plugin: "hello".into(),
            rule: ProblemRule::ErrorRate,
            since: at,
            what: "25 % fail".into(),
            evidence: json!({}),
            recommendation: "roll it back".into(),
            act: Some(RecommendedAct::Rollback),
        };
        let told = text(&used, &[problem], Paint::off());
        let expected = [
            "hello: never used; 12 requests, 0 executions, 0 tasks and 0 events in all",
            "",
            "error-rate: 25 % fail",
            "  → roll it back (camlock rollback hello)",
            "",
            "FROM                  REQUESTS  ERRORS  P50  P95     P99  PANICS  MEMORY   TASKS  EVENTS  ASKS",
            "2026-01-02T03:00:00Z  12        3       -    4.5 ms  -    0       3.0 MiB  0      0       0",
            "",
            "GENERATION                    REQUESTS  ERRORS  P50  P95     P99  PANICS  MEMORY   TASKS  EVENTS  ASKS",
        ];
        let lines: Vec<_> = told.lines().map(str::trim_end).collect();
        assert_eq!(lines[..9], expected);
        assert!(lines[9].starts_with("4 since 2026-01-02T03:00:00Z  12 "), "{told}");
    }
}
