//! `camlock list` and `camlock show`.

use super::named::explained;
use crate::{
    Failed,
    client::{Client, Reach, encoded, read, read_all, run},
    print,
};
use camlock_api::{BuildView, PluginView, ServerHealth};
use clap::Args;
use serde_json::json;
use std::fmt::Write as _;

#[derive(Args)]
pub(crate) struct PluginList {
    /// Only plugins in this state
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    status: Option<String>,
    /// Only plugins of this category
    #[arg(long)]
    category: Option<String>,
    /// Only plugins in whose name or description this stands
    #[arg(long, short, value_name = "TEXT")]
    query: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

const STATES: [&str; 7] = ["serving", "starting", "waiting", "failed", "disabled", "missing", "quarantined"];

#[derive(Args)]
pub(crate) struct ShowPlugin {
    /// The plugin
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn list(options: &PluginList) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let mut path = "/api/v1/plugins?limit=500".to_owned();
    let filters = [("status", &options.status), ("category", &options.category), ("q", &options.query)];
    for (name, value) in filters.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        let _ = write!(path, "&{name}={}", encoded(value));
    }
    let items = run(async { client.list(&path).await.map_err(Failed::from) })?;
    if options.json {
        print::json(&json!({ "items": items, "next": null }));
        return Ok(());
    }
    let plugins: Vec<PluginView> = read_all(&items)?;
    let filtered = options.status.is_some() || options.category.is_some() || options.query.is_some();
    if plugins.is_empty() {
        let none =
            if filtered { "no plugin is like that" } else { "there are no plugins yet: `camlock new NAME` makes one" };
        print::line(none);
    } else {
        print::line(print::list(&plugins, print::Paint::stdout()));
    }
    // Those serve, and yet requests may wait: that is told of the server as a whole.
    if !filtered
        && let Ok(health) = run(async { client.get("/_/health").await.map_err(Failed::from) })
        && let Ok(health) = read::<ServerHealth>(&health)
        && let Some(text) = print::blocking(&health)
    {
        print::line(text);
    }
    Ok(())
}

pub(crate) fn show(options: &ShowPlugin) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let name = &options.name;
    let path = format!("/api/v1/plugins/{}", encoded(name));
    run(async {
        let shown = match client.get(&path).await {
            Ok(shown) => shown,
            Err(problem) => return Err(explained(&client, name, problem).await),
        };
        if options.json {
            print::json(&shown);
            return Ok(());
        }
        let plugin: PluginView = read(&shown)?;
        let builds = client.list(&format!("{path}/builds")).await.map_err(Failed::from)?;
        let builds: Vec<BuildView> = read_all(&builds[..builds.len().min(5)])?;
        print::line(print::show(&plugin, &builds, print::Paint::stdout()));
        // An older server has none, and who may only look is not told.
        let schedules = client.list(&format!("{path}/schedules")).await.unwrap_or_default();
        super::tasks::show_schedules(&read_all(&schedules)?);
        Ok(())
    })
}
