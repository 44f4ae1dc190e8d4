//! `camlock token`: who may use the API.

use crate::{
    Failed,
    client::{Client, Reach, encoded, read, read_all, run},
    print::{self, Paint, Table, Tone, ago},
};
use camlock_api::{CreatedToken, TokenStatus};
use clap::{Args, Subcommand};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token. Its secret is printed to stdout, this once
    #[command(
        after_help = "A viewer looks, an operator also decides about plugins that are there, an admin may do everything.\n\n\
Examples:\n  camlock token create ci --role operator --days 90\n  CAMLOCK_TOKEN=$(camlock token create laptop --role viewer) camlock list --server http://10.0.0.5:8080"
    )]
    Create(Create),
    /// Show all tokens: what they are called, what they allow, how long they hold
    #[command(after_help = "Example:\n  camlock token list --json")]
    List(TokenList),
    /// Revoke a token: from now on it lets nobody in
    #[command(after_help = "Example:\n  camlock token revoke 3")]
    Revoke(Revoke),
}

#[derive(Args)]
pub(crate) struct Create {
    /// What it is called, in the journal too
    name: String,
    /// What it allows
    #[arg(long, value_parser = ["viewer", "operator", "admin"])]
    role: String,
    /// How many days it holds [default: until it is revoked]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args)]
pub(crate) struct TokenList {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args)]
pub(crate) struct Revoke {
    /// Its number, as `camlock token list` shows it
    id: u64,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn run_it(command: &TokenCommand) -> Result<(), Failed> {
    match command {
        TokenCommand::Create(options) => create(options),
        TokenCommand::List(options) => list(options),
        TokenCommand::Revoke(options) => revoke(options),
    }
}

fn create(options: &Create) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let mut body = json!({ "name": options.name, "role": options.role });
    if let Some(days) = options.days {
        let until = Timestamp::now() + SignedDuration::from_hours(24 * i64::from(days));
        body["expires"] = until.to_string().into();
    }
    let made = run(async { client.ask(Method::POST, "/api/v1/tokens", Some(&body)).await.map_err(Failed::from) })?;
    if options.json {
        print::json(&made);
        return Ok(());
    }
    let CreatedToken { about, token } = read(&made).map_err(|unfit| {
        format!("a token was made that cannot be shown, so revoke it (`camlock token list`): {}", unfit.reason)
    })?;
    print::line(token);
    print::beside(format_args!(
        "token {} for {} ({}): keep it, it is not shown again",
        about.id, options.name, options.role
    ));
    Ok(())
}

fn list(options: &TokenList) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let tokens = run(async { client.list("/api/v1/tokens").await.map_err(Failed::from) })?;
    if options.json {
        print::json(&json!({ "items": tokens, "next": null }));
        return Ok(());
    }
    if tokens.is_empty() {
        print::line("there are no tokens but the server's own admin token: `camlock token create` makes one");
        return Ok(());
    }
    let mut table = Table::new(&["ID", "NAME", "ROLE", "MADE", "HOLDS"]);
    for token in read_all::<TokenStatus>(&tokens)? {
        let (holds, tone) = match (token.revoked, token.expires) {
            (Some(revoked), _) => (format!("revoked {}", ago(revoked)), Tone::Quiet),
            (None, Some(expires)) => (format!("expires {}", ago(expires)), Tone::Plain),
            (None, None) => ("until revoked".to_owned(), Tone::Plain),
        };
        table.row([
            (&token.id.to_string(), Tone::Plain),
            (&token.name, Tone::Strong),
            (token.role.word(), Tone::Plain),
            (&ago(token.created), Tone::Plain),
            (&holds, tone),
        ]);
    }
    print::line(table.text(Paint::stdout()));
    Ok(())
}

fn revoke(options: &Revoke) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let path = format!("/api/v1/tokens/{}", encoded(&options.id.to_string()));
    run(async { client.ask(Method::DELETE, &path, None).await.map_err(Failed::from) })?;
    print::line(format_args!("token {} is revoked", options.id));
    Ok(())
}
