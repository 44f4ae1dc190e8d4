//! `camlock logs`: what a plugin said lately, from the server's memory.

use super::named::explained;
use crate::{
    Failed,
    client::{Client, Followed, Reach, encoded, follow, run},
    print::{self, Paint, Tone},
};
use clap::Args;
use serde_json::Value;
use std::fmt::Write as _;

#[derive(Args)]
pub(crate) struct Options {
    /// The plugin
    name: String,
    /// Go on with what it says from now on
    #[arg(long, short)]
    follow: bool,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn run_it(options: &Options) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let path = format!("/api/v1/plugins/{}/logs", encoded(&options.name));
    run(async {
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
    for (key, value) in record["fields"].as_object().into_iter().flatten().filter(|(key, _)| *key != "message") {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(line, " {}{}", paint.text(Tone::Quiet, &format!("{key}=")), print::plain(&value));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_a_line() {
        let record = json!({ "at": "2026-01-02T03:04:05Z", "level": "warn", "message": "low", "fields": { "left": 3, "of": "x" } });
        assert_eq!(told(&record, Paint::off()), "2026-01-02T03:04:05Z  WARN low left=3 of=x");
    }
}
