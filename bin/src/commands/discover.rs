//! `camlock discover`: has a server look at an organisation's repositories for plugins.

use crate::{
    Failed,
    client::{Client, Reach, read, run},
    print,
};
use camlock_api::{DiscoveryFailure, ScanOutcome};
use clap::Args;
use http::Method;
use serde_json::json;

#[derive(Args)]
pub(crate) struct DiscoverOptions {
    /// Look also if what is known is not too old
    #[arg(long)]
    force: bool,
    /// Another organisation than the one that the server is told
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Forget what is known before
    #[arg(long)]
    clear_cache: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn run_it(options: &DiscoverOptions) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let body = json!({ "organization": options.organization, "force": options.force, "clear": options.clear_cache });
    let answer = run(async { Ok(client.ask(Method::POST, "/api/v1/plugins/discovery/scan", Some(&body)).await?) })?;
    let outcome: ScanOutcome = read(&answer)?;
    if options.json {
        print::json(&answer);
    } else {
        print::line(report(&outcome));
    }
    match outcome.incomplete {
        Some(why) => Err(Failed::from(print::plain(&why).to_string())),
        None => Ok(()),
    }
}

/// What came of it, for people.
fn report(outcome: &ScanOutcome) -> String {
    let statistics = &outcome.statistics;
    let counted = |count: u64, what: &str| match (count, what) {
        (1, "repositories") => "1 repository".to_owned(),
        (1, what) => format!("1 {}", what.trim_end_matches('s')),
        _ => format!("{count} {what}"),
    };
    let mut lines = vec![
        format!("Discovering community plugins from {}...", print::plain(&outcome.organization)),
        String::new(),
        format!("✓ Found {}", counted(statistics.repositories_scanned, "repositories")),
        format!("✓ Scanned {}", counted(statistics.manifests_scanned, "manifests")),
        format!("✓ Registered {}", counted(outcome.plugins.len() as u64, "plugins")),
    ];
    if !outcome.failed.is_empty() {
        lines.push(format!("✗ Failed {}", counted(outcome.failed.len() as u64, "plugins")));
    }
    if !outcome.plugins.is_empty() {
        lines.extend([String::new(), "Registered Plugins:".to_owned()]);
        let line = |name: &str, version: &str| format!("  - {} ({})", print::plain(name), print::plain(version));
        lines.extend(outcome.plugins.iter().map(|plugin| line(&plugin.name, &plugin.version)));
    }
    if !outcome.failed.is_empty() {
        lines.extend([String::new(), "Failed Plugins:".to_owned()]);
        lines.extend(outcome.failed.iter().flat_map(failure));
    }
    lines.push(String::new());
    if outcome.status == "cached" {
        lines.push("Nothing was asked: what is known is not too old yet; --force looks all the same.".to_owned());
    } else {
        lines.push(format!("Duration: {:.2}s", statistics.duration_ms as f64 / 1000.0));
    }
    lines.join("\n")
}

/// A repository that is no plugin: a line for each thing that is wrong with it.
fn failure(failed: &DiscoveryFailure) -> Vec<String> {
    let line = |error: &camlock_api::DiscoveryTrouble| {
        let place = match (&error.file, error.line, error.column) {
            (Some(file), Some(line), Some(column)) => format!(" ({file}:{line}:{column})"),
            _ => String::new(),
        };
        format!("  - {}: {}{}", print::plain(&failed.repository), print::plain(&error.message), print::plain(&place))
    };
    failed.errors.iter().map(line).collect()
}
