//! `camlock logs`: what a plugin said lately, from the server's memory; and how loud it is from now on.

use super::named::explained;
use crate::{
    Failed,
    client::{Client, Followed, Reach, encoded, follow, run},
    print::{self, Paint, Tone},
};
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;

#[derive(Args)]
pub(crate) struct Options {
    /// The plugin
    name: String,
    /// Go on with what it says from now on
    #[arg(long, short)]
    follow: bool,
    /// From now on, until the server ends, keep what it says up to this level; with `--follow`, go on with that
    #[arg(long, value_name = "LEVEL")]
    level: Option<Level>,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// How loud a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
    /// As it is configured, or else as all others are
    Default,
}

impl Level {
    fn word(self) -> Option<&'static str> {
        match self {
            Level::Error => Some("error"),
            Level::Warn => Some("warn"),
            Level::Info => Some("info"),
            Level::Debug => Some("debug"),
            Level::Trace => Some("trace"),
            Level::Default => None,
        }
    }
}

pub(crate) fn run_it(options: &Options) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let own = format!("/api/v1/plugins/{}", encoded(&options.name));
    let path = format!("{own}/logs");
    run(async {
        if let Some(level) = options.level {
            let body = json!({ "level": level.word() });
            let set = match client.ask(Method::PUT, &format!("{own}/level"), Some(&body)).await {
                Ok(set) => set,
                Err(problem) => return Err(explained(&client, &options.name, problem).await),
            };
            if options.json {
                print::line(set.to_string());
            } else {
                let level = set["level"].as_str().unwrap_or("what the server's filter says");
                print::line(format!("{}: up to {level}, until the server ends", options.name));
            }
            if !options.follow {
                return Ok(());
            }
        }
        let heard = if options.follow {
            follow(&client, &format!("{path}?follow=true"), None, |heard| {
                match heard {
                    Followed::Event(record) => show(&record, options.json),
                    Followed::BrokeOff(why) => eprintln!("camlock: {why}; trying again"),
                }
                Ok(())
            })
            .await
        } else {
            client.list(&path).await.map(|records| records.iter().for_each(|record| show(record, options.json)))
        };
        match heard {
            Ok(()) => Ok(()),
            Err(problem) => Err(explained(&client, &options.name, problem).await),
        }
    })
}

fn show(record: &Value, json: bool) {
    print::line(if json { record.to_string() } else { told(record, Paint::stdout()) });
}

/// A record in a line, and its fields behind it.
fn told(record: &Value, paint: Paint) -> String {
    let text = |keys: &[&str]| keys.iter().find_map(|key| record[*key].as_str()).map(print::plain).unwrap_or_default();
    let level = text(&["level"]).to_uppercase();
    let tone = match &*level {
        "ERROR" => Tone::Bad,
        "WARN" => Tone::Careful,
        "INFO" => Tone::Good,
        _ => Tone::Quiet,
    };
    let at = text(&["at", "timestamp"]);
    let mut line =
        format!("{} {} {}", paint.text(Tone::Quiet, &at), paint.text(tone, &format!("{level:>5}")), text(&["message"]));
    let fields = text(&["fields"]);
    if !fields.is_empty() {
        let _ = write!(line, " {}", paint.text(Tone::Quiet, &fields));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_a_line() {
        let record =
            json!({ "at": "2026-01-02T03:04:05Z", "level": "warn", "message": "low", "fields": "left=3 of=x" });
        assert_eq!(told(&record, Paint::off()), "2026-01-02T03:04:05Z  WARN low left=3 of=x");
    }
}
