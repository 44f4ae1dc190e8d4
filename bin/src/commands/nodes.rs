//! `camlock nodes`: the servers of the fleet.

use crate::{
    Failed,
    client::{Client, Reach, read_all, run},
    print::{self, Paint, Table, Tone, ago},
};
use camlock_api::{Headline, NodeStatus};
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub(crate) struct NodesOptions {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn run_it(options: &NodesOptions) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let nodes = run(async { client.list("/api/v1/nodes").await.map_err(Failed::from) })?;
    if options.json {
        print::json(&json!({ "items": nodes, "next": null }));
    } else {
        print::line(table(&read_all(&nodes)?).text(Paint::stdout()));
    }
    Ok(())
}

fn table(nodes: &[NodeStatus]) -> Table {
    let mut table = Table::new(&["NODE", "HOST", "ADDRESS", "VERSION", "HEARD", "SERVES"]);
    for node in nodes {
        let heard = if node.this { "this one".to_owned() } else { ago(node.heard) };
        let serving = node.serves.iter().filter(|served| served.state == Headline::Serving).count();
        table.row([
            (&node.id, Tone::Strong),
            (&node.host, Tone::Plain),
            (&node.address, Tone::Plain),
            (&node.version, Tone::Plain),
            (&heard, if node.stale { Tone::Bad } else { Tone::Plain }),
            (&format!("{serving} of {}", print::counted(node.serves.len(), "plugin")), Tone::Plain),
        ]);
        if node.stale {
            table.note("it is silent, and nobody waits for it: look whether it runs and reaches the database");
        }
        for served in node.serves.iter().filter(|served| served.state != Headline::Serving) {
            let reason = served.reason.as_deref().unwrap_or_default();
            table.note(&format!("{} is {} there: {reason}", served.plugin, served.state.word()));
        }
        for behind in &node.lags {
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
        let served = |plugin: &str, state: &str, reason: Option<&str>| {
            json!({
                "plugin": plugin, "state": state, "reason": reason, "generation": null, "artifact": null, "version": null,
                "revision": 1,
            })
        };
        let node = json!({
            "id": "a1", "host": "web", "address": "10.0.0.1:8080", "version": "1.0.0", "this": true, "stale": false,
            "started": "2026-01-02T03:04:05Z", "heard": "2026-01-02T03:04:05Z",
            "serves": [served("hello", "serving", None), served("kv", "failed", Some("no disk"))], "lags": ["kv"],
        });
        let text = table(&read_all(&[node]).unwrap()).text(Paint::off());
        let expected = "a1    web   10.0.0.1:8080  1.0.0    this one  1 of 2 plugins\n    kv is failed there: no disk\n    \
                        kv: it serves something else than was agreed on";
        assert!(text.ends_with(expected), "{text}");
    }
}
