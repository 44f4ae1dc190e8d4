//! `camlock config`: a plugin's configuration, shown, changed, and described. What must not live here: what fits, which the server
//! says.

mod edit;
mod keys;

use super::named::explained;
use crate::{
    Failed,
    client::{Client, Problem, Reach, encoded, read, run},
    print::{self, plain},
};
use camlock_api::PluginView;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

#[derive(Args)]
pub(crate) struct ConfigOptions {
    /// The plugin
    name: String,
    #[command(subcommand)]
    command: Option<ConfigCommand>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the configuration on record, as JSON; what is not said by command is this
    Get,
    /// Change the configuration, and wait until the plugin has it
    Set(SetOptions),
    /// Open the configuration in an editor ($VISUAL, $EDITOR), and set what comes of it
    Edit,
    /// Print what the configuration must be like: a JSON Schema
    Schema,
}

#[derive(Args)]
struct SetOptions {
    /// KEY=VALUE: the value as JSON, or else as text; `a.b.0` or `/a/b/0` is a key within. Or `-`: the whole is read from stdin
    #[arg(value_name = "KEY=VALUE", required_unless_present_any = ["file", "unset"])]
    changes: Vec<String>,
    /// Take these keys out, so that their defaults hold
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// The whole from a file of JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["changes", "unset"])]
    file: Option<PathBuf>,
}

pub(crate) fn run_it(options: &ConfigOptions) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let plugin = OfPlugin { client: &client, name: &options.name };
    match &options.command {
        None | Some(ConfigCommand::Get) => {
            let (config, _) = run(plugin.on_record())?;
            print::json(&config);
        }
        Some(ConfigCommand::Schema) => {
            print::line(plain(run(plugin.schema())?.trim_end()));
        }
        Some(ConfigCommand::Set(SetOptions { changes, file: None, unset })) if *changes != ["-"] => {
            let (mut config, revision) = run(plugin.on_record())?;
            for change in changes {
                keys::set(&mut config, change)?;
            }
            for key in unset {
                keys::unset(&mut config, key)?;
            }
            run(plugin.put(&config, Some(revision)))?;
        }
        Some(ConfigCommand::Set(SetOptions { file, .. })) => run(plugin.put(&whole(file.as_deref())?, None))?,
        Some(ConfigCommand::Edit) => edit::edit(&plugin)?,
    }
    Ok(())
}

/// A whole configuration, from a file or from stdin.
fn whole(file: Option<&Path>) -> Result<Value, Failed> {
    let (text, from) = match file {
        Some(file) => (std::fs::read_to_string(file), file.display().to_string()),
        None => {
            let mut text = String::new();
            (io::stdin().read_to_string(&mut text).map(|_| text), "stdin".to_owned())
        }
    };
    object(&text.map_err(|error| Failed::from(format!("{from} cannot be read: {error}")))?, &from)
}

/// What is in a text that must be a JSON object.
fn object(text: &str, from: &str) -> Result<Value, Failed> {
    match serde_json::from_str(text) {
        Ok(config @ Value::Object(_)) => Ok(config),
        Ok(_) => Err(Failed::from(format!("{from} holds no JSON object, which a configuration is"))),
        Err(error) => Err(Failed::from(format!("{from} is not JSON: {error}"))),
    }
}

/// A plugin of a server.
struct OfPlugin<'a> {
    client: &'a Client,
    name: &'a str,
}

impl OfPlugin<'_> {
    fn path(&self) -> String {
        format!("/api/v1/plugins/{}", encoded(self.name))
    }

    /// Its configuration, and the plugin's revision.
    async fn on_record(&self) -> Result<(Value, u64), Failed> {
        let shown = match self.client.get(&self.path()).await {
            Ok(shown) => shown,
            Err(problem) => return Err(explained(self.client, self.name, problem).await),
        };
        let plugin: PluginView = read(&shown)?;
        match plugin.config {
            Some(config) => Ok((config, plugin.revision)),
            None => Err(Failed::not_allowed(
                "configurations are shown to admins alone: name a token with that role with --token or CAMLOCK_TOKEN",
            )),
        }
    }

    /// What it must be like.
    async fn schema(&self) -> Result<String, Failed> {
        match self.client.text(&format!("{}/schema", self.path())).await {
            Ok(text) => Ok(text),
            Err(problem) => Err(explained(self.client, self.name, problem).await),
        }
    }

    /// Sets the whole, if the plugin still has the revision that was looked at.
    async fn put(&self, config: &Value, revision: Option<u64>) -> Result<(), Failed> {
        let tag = revision.map(|revision| format!("\"{revision}\""));
        let headers: Vec<_> = tag.iter().map(|tag| ("if-match", &**tag)).collect();
        let path = self.path();
        let body = json!({ "config": config });
        let asked = self.client.ask_with(Method::PUT, &path, Some(&body), &headers);
        let doing = async || None;
        match print::wait_for(asked, "handing it over", doing).await {
            Ok(shown) => {
                let plugin: PluginView = read(&shown)?;
                let serves = plugin.serving.map(|serving| format!("; generation {} has it", serving.generation));
                let serves = serves.unwrap_or_else(|| format!("; it is {}", plugin.state.word()));
                print::line(format!("{} is configured{serves}", self.name));
                Ok(())
            }
            Err(problem) => Err(self.refused(problem).await),
        }
    }

    /// Why it was not set, place by place.
    async fn refused(&self, problem: Problem) -> Failed {
        if problem.violations.is_empty() {
            return explained(self.client, self.name, problem).await;
        }
        for violation in &problem.violations {
            print::beside(plain(&violation.to_string()));
        }
        let name = self.name;
        format!(
            "the configuration does not fit, and nothing was changed; `camlock config {name} schema` says what is expected"
        )
        .into()
    }
}

/// An empty configuration.
fn empty() -> Value {
    Value::Object(Map::new())
}
