//! `camlock events`: the journal, and what is added to it.

use crate::{
    Failed,
    client::{Client, Followed, Reach, encoded, follow, read, run},
    print::{self, Paint, Tone},
};
use camlock_api::{JournalEntry, Page};
use clap::Args;
use serde_json::Value;
use std::fmt::Write as _;

#[derive(Args)]
pub(crate) struct EventsOptions {
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// So many of the latest, at most
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 30, value_parser = clap::value_parser!(u16).range(0..=500))]
    lines: u16,
    /// Only this plugin's
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn run_it(options: &EventsOptions) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    run(async {
        let plugin = options.plugin.as_deref().map(|name| format!("plugin={}", encoded(name))).unwrap_or_default();
        let mut last = None;
        if options.lines > 0 {
            let page = client.get(&format!("/api/v1/journal?limit={}&{plugin}", options.lines)).await?;
            let page: Page<Value> = read(&page)?;
            // They come newest first.
            for event in page.items.iter().rev() {
                last = Some(show(event, options.json)?);
            }
        }
        if !options.follow {
            return Ok(());
        }
        let path = if plugin.is_empty() { "/api/v1/events".to_owned() } else { format!("/api/v1/events?{plugin}") };
        let heard = follow(&client, &path, last, |heard| {
            match heard {
                Followed::Event(event) => drop(show(&event, options.json)?),
                Followed::BrokeOff(why) => print::beside(format_args!("camlock: {why}; trying again")),
            }
            Ok(())
        });
        Ok(heard.await?)
    })
}

/// Prints an event, and returns its id.
fn show(event: &Value, json: bool) -> Result<String, Failed> {
    let entry: JournalEntry = read(event)?;
    print::line(if json { event.to_string() } else { sentence(&entry, Paint::stdout()) });
    Ok(entry.id)
}

/// An event in a line.
fn sentence(event: &JournalEntry, paint: Paint) -> String {
    let text = |text: &str| print::plain(text).replace('\n', " ");
    let what = text(&event.what);
    let tone = match &*what {
        "serving" | "enabled" => Tone::Good,
        "failed" | "quarantined" | "pinned" => Tone::Bad,
        _ => Tone::Strong,
    };
    let plugin = text(event.plugin.as_deref().unwrap_or_default());
    let at = paint.text(Tone::Quiet, &event.at.to_string());
    let mut line = format!("{at}  {plugin:<16} {}", paint.text(tone, &what));
    if let Some(generation) = event.generation {
        let _ = write!(line, "  generation {generation}");
    }
    for (key, value) in event.detail.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(line, "  {key}: {}", text(&value));
    }
    if !event.by.is_empty() {
        let _ = write!(line, "  {}", paint.text(Tone::Quiet, &format!("(by {})", text(&event.by))));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_a_line() {
        let event = json!({
            "id": "7-1", "at": "2026-01-02T03:04:05Z", "node": "a", "plugin": "hello", "generation": 4, "what": "failed",
            "by": "filesystem", "detail": { "stage": "build", "reason": "it does\nnot" },
        });
        let expected = "2026-01-02T03:04:05Z  hello            failed  generation 4  reason: it does not  stage: build  (by filesystem)";
        assert_eq!(sentence(&read(&event).unwrap(), Paint::off()), expected);
    }
}
