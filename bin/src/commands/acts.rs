//! What operators ask of a plugin: `enable`, `disable`, `reload`, `rollback`, `remove`.

use super::named::explained;
use crate::{
    Failed,
    client::{Client, Problem, Reach, encoded, read, run},
    print::{self, Paint, Tone},
};
use camlock_api::PluginView;
use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

#[derive(Args)]
pub(crate) struct Enable {
    #[command(flatten)]
    common: OnePlugin,
}

#[derive(Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    common: OnePlugin,
}

#[derive(Args)]
pub(crate) struct Reload {
    /// The plugin; without one everything is looked at again
    name: Option<String>,
    /// Also if as many generations are pinned as may be
    #[arg(long, requires = "name")]
    force: bool,
    #[command(flatten)]
    manner: WaitOptions,
}

#[derive(Args)]
pub(crate) struct Rollback {
    /// Back to this artifact [default: the one that served before]
    #[arg(long, value_name = "DIGEST")]
    to: Option<String>,
    /// Also to a version whose tables lack something that it needs, because a later one took that away
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: OnePlugin,
}

#[derive(Args)]
pub(crate) struct Remove {
    /// Also remove all that it kept, on all servers: its directory, its values, its tables. This cannot be undone
    #[arg(long)]
    purge: bool,
    #[command(flatten)]
    common: OnePlugin,
}

#[derive(Args)]
struct OnePlugin {
    /// The plugin
    name: String,
    #[command(flatten)]
    manner: WaitOptions,
}

#[derive(Args)]
struct WaitOptions {
    /// Do not wait for the outcome
    #[arg(long)]
    no_wait: bool,
    /// Print JSON: the plugin afterwards
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// An act on one plugin.
struct PluginAct<'a> {
    name: &'a str,
    method: Method,
    /// What stands behind the plugin's path.
    path: &'a str,
    body: Option<Value>,
    /// While it goes on.
    doing: &'a str,
}

pub(crate) fn enable(options: &Enable) -> Result<(), Failed> {
    let OnePlugin { name, manner } = &options.common;
    perform(manner, &PluginAct { name, method: Method::POST, path: "/enable", body: None, doing: "bringing it up" })
}

pub(crate) fn disable(options: &Disable) -> Result<(), Failed> {
    let OnePlugin { name, manner } = &options.common;
    perform(manner, &PluginAct { name, method: Method::POST, path: "/disable", body: None, doing: "draining it" })
}

pub(crate) fn rollback(options: &Rollback) -> Result<(), Failed> {
    let OnePlugin { name, manner } = &options.common;
    let mut body = Map::new();
    body.extend(options.to.as_ref().map(|to| ("to".to_owned(), json!(to))));
    body.extend(options.force.then(|| ("force".to_owned(), json!(true))));
    let body = (!body.is_empty()).then_some(Value::Object(body));
    perform(manner, &PluginAct { name, method: Method::POST, path: "/rollback", body, doing: "going back" })
}

pub(crate) fn remove(options: &Remove) -> Result<(), Failed> {
    let path = if options.purge { "?purge=true" } else { "" };
    let OnePlugin { name, manner } = &options.common;
    perform(manner, &PluginAct { name, method: Method::DELETE, path, body: None, doing: "taking it out" })
}

pub(crate) fn reload(options: &Reload) -> Result<(), Failed> {
    let manner = &options.manner;
    let Some(name) = &options.name else {
        let client = Client::new(&manner.reach)?;
        let list = run(async { client.ask(Method::POST, "/api/v1/reload", None).await.map_err(Failed::from) })?;
        if manner.json {
            print::json(&list);
        } else {
            print::line("everything is looked at again; `camlock list` shows what comes of it");
        }
        return Ok(());
    };
    let path = if options.force { "/reload?force=true" } else { "/reload" };
    perform(manner, &PluginAct { name, method: Method::POST, path, body: None, doing: "making a new generation" })
}

fn perform(manner: &WaitOptions, act: &PluginAct<'_>) -> Result<(), Failed> {
    let client = Client::new(&manner.reach)?;
    let own = format!("/api/v1/plugins/{}", encoded(act.name));
    let mut path = format!("{own}{}", act.path);
    if manner.no_wait {
        path.push_str(if path.contains('?') { "&wait=false" } else { "?wait=false" });
    }
    run(async {
        let doing = async || {
            // How far it is matters less than what comes of it.
            let plugin: PluginView = read(&client.get(&own).await.ok()?).ok()?;
            plugin.candidate.as_ref().map(print::progress)
        };
        let asked = client.ask(act.method.clone(), &path, act.body.as_ref());
        let shown = match print::wait_for(asked, act.doing, doing).await {
            Ok(shown) => shown,
            Err(problem) => return Err(failed(&client, act.name, problem).await),
        };
        if manner.json {
            print::json(&shown);
        } else {
            print::line(outcome(act, &shown, manner.no_wait)?);
        }
        Ok(())
    })
}

async fn failed(client: &Client, name: &str, problem: Problem) -> Failed {
    let serves_on = problem.stage.is_some();
    let mut failed = explained(client, name, problem).await;
    if serves_on {
        let plugin = client.get(&format!("/api/v1/plugins/{}", encoded(name))).await;
        let plugin = plugin.ok().and_then(|plugin| read::<PluginView>(&plugin).ok());
        if let Some(serving) = plugin.and_then(|plugin| plugin.serving) {
            failed.reason.push_str(&format!("; generation {} serves on", serving.generation));
        }
    }
    failed
}

/// What came of it, in a line.
fn outcome(act: &PluginAct<'_>, shown: &Value, no_wait: bool) -> Result<String, Failed> {
    let paint = Paint::stdout();
    if no_wait {
        return Ok(format!("{}: begun; `camlock show {}` says what comes of it", act.name, act.name));
    }
    if act.method == Method::DELETE {
        let name = act.name;
        return Ok(format!("{name} is removed; its entry, if it had one, lies in the data directory under removed/"));
    }
    let plugin: PluginView = read(shown)?;
    let times = plugin.stages.unwrap_or_default();
    let took: Vec<_> = STAGES
        .iter()
        .filter_map(|stage| Some(format!("{stage} {}", print::milliseconds(times.milliseconds(stage)?))))
        .collect();
    let took = if took.is_empty() { String::new() } else { format!(" ({})", took.join(", ")) };
    Ok(match &plugin.serving {
        Some(serving) => {
            let word = paint.text(Tone::Good, "serves");
            format!("{} {} {word} as generation {}{took}", plugin.name, serving.version, serving.generation)
        }
        None => {
            let reason = plugin.reason.map(|reason| format!(": {}", print::plain(&reason))).unwrap_or_default();
            format!("{} is {}{reason}{took}", act.name, plugin.state.word())
        }
    })
}

/// In the order in which they come.
const STAGES: [&str; 5] = ["build", "verify", "load", "start", "swap"];
