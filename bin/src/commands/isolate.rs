//! `camlock isolate`: where a plugin runs.

use super::named::explained;
use crate::{
    Failed,
    client::{Client, Reach, encoded, read, run},
    print,
};
use camlock_api::{Isolation, PluginView};
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::json;

#[derive(Args)]
pub(crate) struct Isolate {
    /// The plugin
    name: String,
    /// Where it runs from now on; without, where it runs is shown
    mode: Option<Mode>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// In a process of its own
    Process,
    /// In the server's process
    None,
    /// Wherever the configuration and its manifest say
    Default,
}

pub(crate) fn run_it(options: &Isolate) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let path = format!("/api/v1/plugins/{}", encoded(&options.name));
    let shown = run(async {
        let answer = match options.mode {
            None => client.get(&path).await,
            Some(mode) => {
                let isolation = match mode {
                    Mode::Process => Some(Isolation::Process),
                    Mode::None => Some(Isolation::None),
                    Mode::Default => None,
                };
                client.ask(Method::PUT, &path, Some(&json!({ "isolation": isolation }))).await
            }
        };
        match answer {
            Ok(shown) => Ok(shown),
            Err(problem) => Err(explained(&client, &options.name, problem).await),
        }
    })?;
    if options.json {
        print::json(&shown);
    } else {
        print::line(text(&read(&shown)?));
    }
    Ok(())
}

fn text(plugin: &PluginView) -> String {
    let PluginView { name, isolation, serving, .. } = plugin;
    let now = match serving.as_ref().map(|serving| serving.isolation) {
        None => format!("{name} does not serve"),
        Some(Isolation::Process) => format!("{name} runs in a process of its own"),
        Some(Isolation::None) => format!("{name} runs in the server's process"),
    };
    match isolation {
        None => now,
        Some(isolation) => format!("{now}; decided: {isolation}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::plugin;

    #[test]
    fn where_it_runs_in_a_sentence() {
        let serving = |mode: &str| {
            json!({
                "generation": 1, "version": "0.1.0", "artifact": null, "since": "2026-01-02T03:04:05Z", "in_flight": 0,
                "left_behind_bytes": null, "memory_bytes": null, "descriptors": null, "isolation": mode,
            })
        };
        let shown = |decided, mode: &str| text(&plugin(json!({ "isolation": decided, "serving": serving(mode) })));
        assert_eq!(shown(json!(null), "none"), "hello runs in the server's process");
        assert_eq!(shown(json!("process"), "process"), "hello runs in a process of its own; decided: process");
        assert_eq!(text(&plugin(json!({ "isolation": "none" }))), "hello does not serve; decided: none");
    }
}
