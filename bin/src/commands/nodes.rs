//! `camlock nodes`: the servers of the fleet.

use crate::{
    Failed,
    client::{Client, Reach, run},
    print::{self, Paint, Table, Tone, ago},
};
use clap::Args;
use serde_json::{Value, json};

#[derive(Args)]
pub(crate) struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn run_it(options: &Options) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let nodes = run(async { client.list("/api/v1/nodes").await.map_err(Failed::from) })?;
    if options.json {
        print::json(&json!({ "items": nodes, "next": null }));
    } else {
        print::line(table(&nodes).text(Paint::stdout()));
    }
    Ok(())
}

fn table(nodes: &[Value]) -> Table {
    let mut table = Table::new(&["NODE", "HOST", "ADDRESS", "VERSION", "HEARD", "SERVES"]);
    for node in nodes {
        let text = |key: &str| node[key].as_str().unwrap_or_default();
        let stale = node["stale"] == true;
        let heard = if node["this"] == true { "this one".to_owned() } else { ago(text("heard")) };
        let serves = node["serves"].as_array().map(Vec::as_slice).unwrap_or_default();
        let serving = serves.iter().filter(|served| served["state"] == "serving").count();
        table.row([
            (text("id"), Tone::Strong),
            (text("host"), Tone::Plain),
            (text("address"), Tone::Plain),
            (text("version"), Tone::Plain),
            (&heard, if stale { Tone::Bad } else { Tone::Plain }),
            (&format!("{serving} of {}", print::counted(serves.len(), "plugin")), Tone::Plain),
        ]);
        if stale {
            table.note("it is silent, and nobody waits for it: look whether it runs and reaches the database");
        }
        for served in serves.iter().filter(|served| served["state"] != "serving") {
            let text = |key: &str| served[key].as_str().unwrap_or_default();
            table.note(&format!("{} is {} there: {}", text("plugin"), text("state"), text("reason")));
        }
        for behind in node["lags"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            table.note(&format!("{behind}: it serves something else than was agreed on"));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lags_is_told() {
        let node = json!({
            "id": "a1", "host": "web", "address": "10.0.0.1:8080", "version": "1.0.0", "this": true, "stale": false,
            "serves": [{ "plugin": "hello", "state": "serving" }, { "plugin": "kv", "state": "failed", "reason": "no disk" }],
            "lags": ["kv"],
        });
        let text = table(&[node]).text(Paint::off());
        let expected = "a1    web   10.0.0.1:8080  1.0.0    this one  1 of 2 plugins\n    kv is failed there: no disk\n    \
                        kv: it serves something else than was agreed on";
        assert!(text.ends_with(expected), "{text}");
    }
}
