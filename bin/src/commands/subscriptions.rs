//! `camlock subscriptions`: who hears of events, and what was given up.

use crate::{
    Failed,
    client::{Client, Reach, encoded, read_all, run},
    print::{self, Paint, Table, Tone, ago},
};
use camlock_api::{DeadEventView, SubscriptionState, SubscriptionView};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

#[derive(Args)]
pub(crate) struct SubscriptionsOptions {
    #[command(subcommand)]
    act: Option<SubscriptionAct>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Subcommand)]
enum SubscriptionAct {
    /// List the events that were given up
    Dead {
        /// The subscription's id
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Try anew what was given up
    Replay {
        /// The subscription's id
        id: String,
        /// This event alone
        number: Option<u64>,
    },
    /// Bring nothing to it until it is resumed
    Pause {
        /// The subscription's id
        id: String,
    },
    /// Have it go on
    Resume {
        /// The subscription's id
        id: String,
    },
}

pub(crate) fn run_it(options: &SubscriptionsOptions) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let one = |id: &str, act: &str| format!("/api/v1/subscriptions/{}/{act}", encoded(id));
    let ask =
        |path: String, body: Option<Value>| run(async { Ok(client.ask(Method::POST, &path, body.as_ref()).await?) });
    match &options.act {
        None => {
            let items = run(async { Ok(client.list("/api/v1/subscriptions").await?) })?;
            list(&items, options.json)
        }
        Some(SubscriptionAct::Dead { id, json }) => {
            let items = run(async { Ok(client.list(&format!("{}?limit=500", one(id, "dead"))).await?) })?;
            dead(&items, *json)
        }
        Some(SubscriptionAct::Replay { id, number }) => {
            let told = ask(one(id, "replay"), Some(json!({ "number": number })))?;
            print::line(format_args!("{} events are tried anew", told["replayed"]));
            Ok(())
        }
        Some(SubscriptionAct::Pause { id }) => {
            ask(one(id, "pause"), None)?;
            print::line(format_args!("{} is paused", print::plain(id)));
            Ok(())
        }
        Some(SubscriptionAct::Resume { id }) => {
            ask(one(id, "resume"), None)?;
            print::line(format_args!("{} goes on", print::plain(id)));
            Ok(())
        }
    }
}

fn list(items: &[Value], as_data: bool) -> Result<(), Failed> {
    if as_data {
        print::json(&json!({ "items": items, "next": null }));
        return Ok(());
    }
    let subscriptions: Vec<SubscriptionView> = read_all(items)?;
    if subscriptions.is_empty() {
        print::line("no plugin hears of events");
        return Ok(());
    }
    let mut table =
        Table::new(&["SUBSCRIPTION", "KEPT", "STATE", "WAITING", "DELIVERED", "FAILED", "DROPPED", "DEAD", "WHY"]);
    for one in &subscriptions {
        let (state, tone) = match one.state {
            SubscriptionState::Active => ("active", Tone::Good),
            SubscriptionState::Retrying => ("retrying", Tone::Bad),
            SubscriptionState::Paused => ("paused", Tone::Bad),
            SubscriptionState::Denied => ("denied", Tone::Bad),
            SubscriptionState::Unused => ("unused", Tone::Quiet),
        };
        let id = match &one.node {
            Some(node) => format!("{} ({node})", one.id),
            None => one.id.clone(),
        };
        let number = |number: u64| number.to_string();
        table.row([
            (&print::plain(&id), Tone::Strong),
            (one.deliver.as_deref().unwrap_or("no"), Tone::Plain),
            (state, tone),
            (&number(one.waiting), Tone::Plain),
            (&number(one.delivered), Tone::Plain),
            (&number(one.failed), Tone::Plain),
            (&number(one.dropped), Tone::Plain),
            (&number(one.dead), Tone::Plain),
            (&print::plain(one.reason.as_deref().unwrap_or_default()), Tone::Quiet),
        ]);
    }
    print::line(table.text(Paint::stdout()));
    Ok(())
}

fn dead(items: &[Value], as_data: bool) -> Result<(), Failed> {
    if as_data {
        print::json(&json!({ "items": items, "next": null }));
        return Ok(());
    }
    let events: Vec<DeadEventView> = read_all(items)?;
    if events.is_empty() {
        print::line("no event of it was given up");
        return Ok(());
    }
    let mut table = Table::new(&["NUMBER", "TOPIC", "POSITION", "EMITTED", "ATTEMPTS", "WHY"]);
    for event in &events {
        table.row([
            (&event.number.to_string(), Tone::Strong),
            (&print::plain(&event.topic), Tone::Plain),
            (&event.position.to_string(), Tone::Plain),
            (&ago(event.at), Tone::Plain),
            (&event.attempts.to_string(), Tone::Plain),
            (&print::plain(&event.reason), Tone::Bad),
        ]);
    }
    print::line(table.text(Paint::stdout()));
    Ok(())
}
