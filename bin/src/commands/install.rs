//! `camlock install`, `update`, `outdated`: plugins by name, from the catalogs that a server follows.

use crate::{
    Failed,
    client::{Client, Reach, encoded, read, read_all, run},
    print::{self, Paint, Table, Tone},
};
use camlock_api::{AdvisoryView, InstallPlanView, OutdatedView, PluginView};
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

#[derive(Args)]
pub(crate) struct InstallArguments {
    /// The plugin's name; behind an @ a version, or a range as cargo writes them
    #[arg(value_name = "NAME[@RANGE]")]
    name: String,
    #[command(flatten)]
    manner: InstallManner,
    /// Its configuration: a file with a JSON object
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct UpdateArguments {
    /// The plugin [default: all that were installed by name]
    name: Option<String>,
    #[command(flatten)]
    manner: InstallManner,
}

#[derive(Args)]
struct InstallManner {
    /// Show what would be done, and what is asked to be allowed
    #[arg(long)]
    dry_run: bool,
    /// What is granted to it: `asked`, for whatever it asks for, or permissions with commas between [default: what was granted to the
    /// same before, or nothing]
    #[arg(long, value_name = "PERMISSIONS")]
    grant: Option<String>,
    /// Which of library and sources is taken
    #[arg(long, default_value = "prebuilt")]
    prefer: PreferredPart,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Clone, Copy, ValueEnum)]
enum PreferredPart {
    /// The library, where one fits; otherwise the sources
    Prebuilt,
    /// The sources, where they can be compiled; otherwise the library
    Source,
    /// Nothing but sources
    SourceOnly,
}

impl PreferredPart {
    fn word(self) -> &'static str {
        match self {
            PreferredPart::Prebuilt => "prebuilt",
            PreferredPart::Source => "source",
            PreferredPart::SourceOnly => "source-only",
        }
    }
}

#[derive(Args)]
pub(crate) struct OutdatedArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn install(options: &InstallArguments) -> Result<(), Failed> {
    let (name, range) = match options.name.split_once('@') {
        Some((name, range)) => (name, Some(range)),
        None => (options.name.as_str(), None),
    };
    let config = options.config_file.as_ref().map(|path| {
        let text = fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        serde_json::from_slice::<Value>(&text).map_err(|error| format!("{} is no JSON: {error}", path.display()))
    });
    let config = config.transpose().map_err(Failed::from)?;
    let client = Client::new(&options.manner.reach)?;
    run(one(&client, (name, range), config, &options.manner))
}

pub(crate) fn update(options: &UpdateArguments) -> Result<(), Failed> {
    let client = Client::new(&options.manner.reach)?;
    run(async {
        let outdated = client.list("/api/v1/marketplace/outdated").await?;
        let outdated: Vec<OutdatedView> = read_all(&outdated)?;
        let newer =
            outdated.iter().filter(|plugin| plugin.installed != plugin.newest).map(|plugin| plugin.plugin.as_str());
        let names: Vec<&str> = match &options.name {
            Some(name) => vec![name],
            None => newer.collect(),
        };
        if names.is_empty() {
            print::line("everything that was installed by name is the newest");
        }
        for name in names {
            one(&client, (name, None), None, &options.manner).await?;
        }
        Ok(())
    })
}

async fn one(
    client: &Client,
    (name, range): (&str, Option<&str>),
    config: Option<Value>,
    manner: &InstallManner,
) -> Result<(), Failed> {
    let version = range.map(|range| format!("&version={}", encoded(range))).unwrap_or_default();
    let prefer = manner.prefer.word();
    let plan = format!("/api/v1/marketplace/plan?plugin_id={}{version}&prefer={prefer}", encoded(name));
    let plan = client.get(&plan).await?;
    if manner.dry_run && manner.json {
        print::json(&plan);
        return Ok(());
    }
    let plan: InstallPlanView = read(&plan)?;
    if !manner.json {
        show(name, &plan);
    }
    if manner.dry_run || (plan.steps.is_empty() && config.is_none()) {
        return Ok(());
    }
    let grant = manner.grant.as_ref().map(|grant| format!("?grant={}", encoded(grant))).unwrap_or_default();
    let body = json!({ "plugin_id": name, "version": range, "config": config, "prefer": prefer });
    let path = format!("/api/v1/plugins{grant}");
    let asked = client.ask(Method::POST, &path, Some(&body));
    let shown = print::wait_for(asked, "installing it", async || None).await?;
    if manner.json {
        print::json(&shown);
        return Ok(());
    }
    let plugin: PluginView = read(&shown)?;
    let reason = plugin.reason.map(|reason| format!(": {}", print::plain(&reason))).unwrap_or_default();
    print::line(format_args!("{} {} is {}{reason}", plugin.name, plugin.version, plugin.state.word()));
    Ok(())
}

fn show(name: &str, plan: &InstallPlanView) {
    if plan.steps.is_empty() {
        if plan.held.is_empty() {
            print::line(format_args!("{name} is there, and nothing newer fits"));
        }
        held(plan);
        return;
    }
    let mut table = Table::new(&["PLUGIN", "FROM", "TO", "CATALOG", "PART", "ASKS FOR"]);
    for step in &plan.steps {
        let asks = if step.permissions.is_empty() { "nothing".to_owned() } else { step.permissions.join(", ") };
        table.row([
            (&step.plugin, Tone::Strong),
            (step.from.as_deref().unwrap_or("-"), Tone::Plain),
            (&step.version, Tone::Plain),
            (&step.catalog, Tone::Plain),
            (&step.part, Tone::Plain),
            (&print::plain(&asks), Tone::Plain),
        ]);
        if step.publisher.is_none() {
            table.note("nobody signed it");
        }
    }
    print::line(table.text(Paint::stdout()));
    for advisory in &plan.advisories {
        print::line(print::plain(&advised(advisory)));
    }
    held(plan);
}

/// What the update policy does not take now.
fn held(plan: &InstallPlanView) {
    for held in &plan.held {
        print::line(print::plain(held));
    }
}

/// What is wrong, and what to do, in a line.
pub(super) fn advised(advisory: &AdvisoryView) -> String {
    let AdvisoryView { id, plugin, versions, severity, title, remedy, .. } = advisory;
    let remedy = if remedy.is_empty() { String::new() } else { format!("; {remedy}") };
    format!("{id} ({severity}): {plugin} {versions}: {title}{remedy}")
}

pub(crate) fn outdated(options: &OutdatedArguments) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let items = run(async { Ok(client.list("/api/v1/marketplace/outdated").await?) })?;
    if options.json {
        print::json(&json!({ "items": items, "next": null }));
        return Ok(());
    }
    let outdated: Vec<OutdatedView> = read_all(&items)?;
    if outdated.is_empty() {
        print::line("everything that was installed by name is the newest");
        return Ok(());
    }
    let mut table = Table::new(&["PLUGIN", "INSTALLED", "NEWEST", "CATALOG"]);
    for plugin in &outdated {
        table.row([
            (&plugin.plugin, Tone::Strong),
            (&plugin.installed, Tone::Plain),
            (&plugin.newest, Tone::Plain),
            (&plugin.catalog, Tone::Plain),
        ]);
        for advisory in &plugin.advisories {
            table.note(&advised(advisory));
        }
        if let Some(held) = &plugin.held {
            table.note(&format!("not taken: {held}"));
        }
    }
    print::line(table.text(Paint::stdout()));
    Ok(())
}
