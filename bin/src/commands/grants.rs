//! `camlock grants`, `camlock grant`, `camlock revoke`: what a plugin may.

use super::named::explained;
use crate::{
    Failed,
    client::{Client, Reach, encoded, read, run},
    print::{self, Paint, Table, Tone},
};
use camlock_api::{GrantsView, PluginView};
use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[derive(Args)]
pub(crate) struct GrantList {
    /// The plugin
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args)]
pub(crate) struct Grant {
    /// The plugin
    name: String,
    /// What it may from now on, beside what it may already
    #[arg(required_unless_present = "all", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// Whatever it asks for, now and in later versions
    #[arg(long, conflicts_with = "permissions")]
    all: bool,
    /// Print JSON: what it may afterwards
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args)]
pub(crate) struct Revoke {
    /// The plugin
    name: String,
    /// What it may no longer
    #[arg(required_unless_present = "all", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// Everything
    #[arg(long, conflicts_with = "permissions")]
    all: bool,
    /// Print JSON: what it may afterwards
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn list(options: &GrantList) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let shown = run(look(&client, &options.name))?;
    show(&options.name, &shown, options.json)
}

pub(crate) fn grant(options: &Grant) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let name = &options.name;
    let shown = run(async {
        if options.all {
            return decide(&client, name, json!("asked")).await;
        }
        change(&client, name, |granted| {
            granted.extend(options.permissions.iter().cloned());
            Ok(())
        })
        .await
    })?;
    show(name, &shown, options.json)
}

pub(crate) fn revoke(options: &Revoke) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let name = &options.name;
    let shown = run(async {
        if options.all {
            return decide(&client, name, json!([])).await;
        }
        change(&client, name, |granted| take_out(name, granted, &options.permissions)).await
    })?;
    show(name, &shown, options.json)
}

/// Takes permissions out of what a plugin has; all of them or none.
fn take_out(name: &str, granted: &mut BTreeSet<String>, permissions: &[String]) -> Result<(), Failed> {
    if let Some(permission) = permissions.iter().find(|permission| !granted.contains(*permission)) {
        let has = granted.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let has = if has.is_empty() { "nothing".to_owned() } else { has };
        return Err(Failed::from(format!("`{permission}` was not granted to {name}: it has {has}")));
    }
    granted.retain(|permission| !permissions.contains(permission));
    Ok(())
}

/// Changes what a plugin may as it stands: whoever decides something at the same time is not undone.
async fn change(
    client: &Client,
    name: &str,
    change: impl Fn(&mut BTreeSet<String>) -> Result<(), Failed>,
) -> Result<Value, Failed> {
    const ATTEMPTS: u32 = 10;
    let mut attempts = 0;
    loop {
        let plugin: PluginView = match client.get(&format!("/api/v1/plugins/{}", encoded(name))).await {
            Ok(shown) => read(&shown)?,
            Err(problem) => return Err(explained(client, name, problem).await),
        };
        let mut granted: BTreeSet<String> =
            read::<GrantsView>(&look(client, name).await?)?.granted.into_iter().collect();
        change(&mut granted)?;
        let (path, body, tag) = (path(name), json!({ "granted": granted }), format!("\"{}\"", plugin.revision));
        attempts += 1;
        match client.ask_with(Method::PUT, &path, Some(&body), &[("if-match", &tag)]).await {
            Ok(shown) => return Ok(shown),
            Err(problem) if problem.status == Some(StatusCode::PRECONDITION_FAILED) && attempts < ATTEMPTS => {}
            Err(problem) => return Err(explained(client, name, problem).await),
        }
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/plugins/{}/grants", encoded(name))
}

async fn look(client: &Client, name: &str) -> Result<Value, Failed> {
    match client.get(&path(name)).await {
        Ok(shown) => Ok(shown),
        Err(problem) => Err(explained(client, name, problem).await),
    }
}

async fn decide(client: &Client, name: &str, granted: Value) -> Result<Value, Failed> {
    match client.ask(Method::PUT, &path(name), Some(&json!({ "granted": granted }))).await {
        Ok(shown) => Ok(shown),
        Err(problem) => Err(explained(client, name, problem).await),
    }
}

fn show(name: &str, shown: &Value, as_data: bool) -> Result<(), Failed> {
    if as_data {
        print::json(shown);
        return Ok(());
    }
    print::line(text(name, &read(shown)?, Paint::stdout()));
    Ok(())
}

/// What a plugin may, for people.
fn text(name: &str, grants: &GrantsView, paint: Paint) -> String {
    let GrantsView { source, decided, all, granted, asked, enforcement } = grants;
    let mut table = Table::new(&["PERMISSION", "", "WHAT FOR"]);
    for one in asked {
        let (word, tone) = if one.granted { ("granted", Tone::Good) } else { ("not granted", Tone::Bad) };
        table.row([(&one.permission, Tone::Strong), (word, tone), (&one.meaning, Tone::Plain)]);
    }
    let besides: Vec<_> =
        granted.iter().filter(|granted| asked.iter().all(|one| one.permission != **granted)).collect();
    for permission in besides {
        table.row([(permission, Tone::Plain), ("granted, not asked for", Tone::Quiet), ("", Tone::Plain)]);
    }
    let who = match (decided, all) {
        (true, true) => "an operator granted whatever it asks for",
        (true, false) => "an operator decided this",
        (false, true) => "whatever comes from there is granted what it asks for",
        (false, false) => "nothing was decided: it has what comes from there is granted",
    };
    let head = format!("{name} comes from: {}; {who}; {}", print::plain(source), print::plain(enforcement));
    if asked.is_empty() && granted.is_empty() {
        return format!("{name} asks for nothing, and was granted nothing; it comes from: {}", print::plain(source));
    }
    format!("{head}\n{}", table.text(paint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_api::{CHECKED_BY_THE_HOST, PermissionView};

    #[test]
    fn all_are_taken_out_or_none() {
        let granted = || BTreeSet::from(["storage", "tasks"].map(str::to_owned));
        let these = |permissions: &[&str]| permissions.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let mut left = granted();
        take_out("hello", &mut left, &these(&["tasks"])).unwrap();
        assert_eq!(left, BTreeSet::from(["storage".to_owned()]));
        let mut left = granted();
        let refused = take_out("hello", &mut left, &these(&["tasks", "database"])).unwrap_err();
        assert_eq!(refused.reason, "`database` was not granted to hello: it has storage, tasks");
        assert_eq!(left, granted());
    }

    #[test]
    fn what_a_plugin_may_is_told() {
        let permission = |permission: &str, granted| PermissionView {
            permission: permission.to_owned(),
            meaning: "keep values".to_owned(),
            granted,
        };
        let grants = GrantsView {
            source: "upload".to_owned(),
            decided: true,
            all: false,
            granted: vec!["storage".to_owned(), "tasks".to_owned()],
            asked: vec![permission("database", false), permission("storage", true)],
            enforcement: CHECKED_BY_THE_HOST.to_owned(),
        };
        let told = text("hello", &grants, Paint::off());
        let lines: Vec<_> = told.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "hello comes from: upload; an operator decided this; checked by the host, not contained",
                "PERMISSION                          WHAT FOR",
                "database    not granted             keep values",
                "storage     granted                 keep values",
                "tasks       granted, not asked for",
            ]
        );
        let nothing = GrantsView { source: "directory".to_owned(), ..GrantsView::default() };
        assert_eq!(
            text("hello", &nothing, Paint::off()),
            "hello asks for nothing, and was granted nothing; it comes from: directory"
        );
    }
}
