//! Statistics, the table on the terminal, and the JSON file beside it.

use serde_json::{Value, json};
use std::path::Path;

/// Which way is better.
#[derive(Clone, Copy, PartialEq)]
pub enum Better {
    Higher,
    Lower,
}

/// One measured case.
#[derive(Clone)]
pub struct Row {
    pub case: &'static str,
    pub value: f64,
    pub unit: &'static str,
    pub must: Option<f64>,
    pub aim: Option<f64>,
    pub better: Better,
    /// 95 % of the value, or the value itself where it was counted.
    pub interval: (f64, f64),
    pub samples: usize,
}

impl Row {
    /// The median of samples, with its interval from the order statistics.
    pub fn median(case: &'static str, unit: &'static str, better: Better, samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let value = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0;
        let spread = 0.98 * (count as f64).sqrt();
        let low = ((count as f64 / 2.0 - spread).floor().max(0.0)) as usize;
        let high = ((count as f64 / 2.0 + spread).ceil() as usize).min(count - 1);
        Row { case, value, unit, must: None, aim: None, better, interval: (sorted[low], sorted[high]), samples: count }
    }

    /// The 99th percentile of samples, with its interval from the order statistics.
    pub fn p99(case: &'static str, unit: &'static str, samples: &[f64]) -> Self {
        assert!(samples.len() >= 300, "{} samples are too few for a 99th percentile", samples.len());
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len() as f64;
        let (rank, spread) = (0.99 * count, 1.96 * (count * 0.99 * 0.01).sqrt());
        let at = |rank: f64| sorted[(rank.ceil() as usize).clamp(1, sorted.len()) - 1];
        let interval = (at(rank - spread), at(rank + spread));
        Row {
            case,
            value: at(rank),
            unit,
            must: None,
            aim: None,
            better: Better::Lower,
            interval,
            samples: sorted.len(),
        }
    }

    /// Something that was counted once.
    pub fn count(case: &'static str, unit: &'static str, better: Better, value: f64) -> Self {
        Row { case, value, unit, must: None, aim: None, better, interval: (value, value), samples: 1 }
    }

    pub fn must(mut self, must: f64, aim: f64) -> Self {
        (self.must, self.aim) = (Some(must), Some(aim));
        self
    }

    /// False only if the miss is significant.
    fn met(&self) -> bool {
        match (self.must, self.better) {
            (None, _) => true,
            (Some(must), Better::Higher) => self.interval.1 >= must,
            (Some(must), Better::Lower) => self.interval.0 <= must,
        }
    }
}

/// Prints the table and writes the file. The exit code of the benchmark.
pub fn finish(bench: &str, rows: &[Row]) -> std::process::ExitCode {
    println!("\n{bench}");
    println!("  {:<58} {:>12} {:>25} {:>9} {:>9}  met", "case", "value", "95 % interval", "must", "aim");
    let number = |value: f64| if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") };
    for row in rows {
        let interval = format!("[{}, {}]", number(row.interval.0), number(row.interval.1));
        let limit = |limit: Option<f64>| limit.map_or_else(String::new, number);
        let met = row.must.map_or("", |_| if row.met() { "yes" } else { "NO" });
        println!(
            "  {:<58} {:>12} {:>25} {:>9} {:>9}  {met}",
            row.case,
            format!("{} {}", number(row.value), row.unit),
            interval,
            limit(row.must),
            limit(row.aim)
        );
    }
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "case": row.case, "value": row.value, "unit": row.unit, "must": row.must, "aim": row.aim,
                "met": row.met(), "interval": [row.interval.0, row.interval.1], "pairs": row.samples,
            })
        })
        .collect();
    let dir = camlock_testing::repository().join("target/bench");
    write(&dir, bench, &json!({ "bench": bench, "rows": rows }));
    std::process::ExitCode::SUCCESS
}

fn write(dir: &Path, bench: &str, document: &Value) {
    let written = std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(dir.join(format!("{bench}.json")), format!("{document:#}\n")));
    if let Err(error) = written {
        eprintln!("the results could not be written to {}: {error}", dir.display());
    }
}
