//! `camlock logs`: what a plugin said lately, from the server's memory; and how loud it is from now on.

use super::named::explained;
use crate::{
    Failed,
    client::{Client, Followed, Reach, encoded, follow, read, run},
    print::{self, Paint, Tone},
};
use camlock_api::{LogLevel, LogLine, PluginLogLevel};
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;

#[derive(Args)]
pub(crate) struct LogsOptions {
    /// The plugin
    name: String,
    /// Go on with what it says from now on
    #[arg(long, short)]
    follow: bool,
    /// From now on, until the server ends, keep what it says up to this level; with `--follow`, go on with that
    #[arg(long, value_name = "LEVEL")]
    level: Option<KeptLevel>,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Up to which level a plugin's lines are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeptLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
    /// As it is configured, or else as all others are
    Default,
}

impl KeptLevel {
    fn asked(self) -> PluginLogLevel {
        let level = match self {
            KeptLevel::Error => Some(LogLevel::Error),
            KeptLevel::Warn => Some(LogLevel::Warn),
            KeptLevel::Info => Some(LogLevel::Info),
            KeptLevel::Debug => Some(LogLevel::Debug),
            KeptLevel::Trace => Some(LogLevel::Trace),
            KeptLevel::Default => None,
        };
        PluginLogLevel { level }
    }
}

pub(crate) fn run_it(options: &LogsOptions) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let own = format!("/api/v1/plugins/{}", encoded(&options.name));
    let path = format!("{own}/logs");
    run(async {
        if let Some(level) = options.level {
            let body = json!(level.asked());
            let set = match client.ask(Method::PUT, &format!("{own}/level"), Some(&body)).await {
                Ok(set) => set,
                Err(problem) => return Err(explained(&client, &options.name, problem).await),
            };
            if options.json {
                print::line(set.to_string());
            } else {
                let PluginLogLevel { level } = read(&set)?;
                let level = level.map_or("what the server's filter says", LogLevel::word);
                print::line(format!("{}: up to {level}, until the server ends", options.name));
            }
            if !options.follow {
                return Ok(());
            }
        }
        let heard = if options.follow {
            follow(&client, &format!("{path}?follow=true"), None, |heard| {
                match heard {
                    Followed::Event(line) => show(&line, options.json)?,
                    Followed::BrokeOff(why) => print::beside(format_args!("camlock: {why}; trying again")),
                }
                Ok(())
            })
            .await
        } else {
            match client.list(&path).await {
                Ok(lines) => return lines.iter().try_for_each(|line| show(line, options.json)),
                Err(problem) => Err(problem),
            }
        };
        match heard {
            Ok(()) => Ok(()),
            Err(problem) => Err(explained(&client, &options.name, problem).await),
        }
    })
}

fn show(line: &Value, json: bool) -> Result<(), Failed> {
    let read: LogLine = read(line)?;
    print::line(if json { line.to_string() } else { sentence(&read, Paint::stdout()) });
    Ok(())
}

/// A log line, and its fields behind it.
fn sentence(line: &LogLine, paint: Paint) -> String {
    let tone = match line.level {
        LogLevel::Error => Tone::Bad,
        LogLevel::Warn => Tone::Careful,
        LogLevel::Info => Tone::Good,
        LogLevel::Debug | LogLevel::Trace => Tone::Quiet,
    };
    let at = paint.text(Tone::Quiet, &line.at.to_string());
    let level = paint.text(tone, &format!("{:>5}", line.level.word().to_uppercase()));
    let mut text = format!("{at} {level} {}", print::plain(&line.message));
    if !line.fields.is_empty() {
        let _ = write!(text, " {}", paint.text(Tone::Quiet, &print::plain(&line.fields)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_a_line() {
        let line = json!({
            "id": 1, "at": "2026-01-02T03:04:05Z", "level": "warn", "message": "low", "fields": "left=3 of=x",
            "generation": 1, "trace_id": null, "module": "hello",
        });
        assert_eq!(sentence(&read(&line).unwrap(), Paint::off()), "2026-01-02T03:04:05Z  WARN low left=3 of=x");
    }
}
