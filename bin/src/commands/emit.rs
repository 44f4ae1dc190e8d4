//! `camlock emit`: an event, to whoever hears of its topic.

use crate::{
    Failed,
    client::{Client, Reach, run},
    print,
};
use clap::Args;
use http::Method;
use serde_json::{Value, json};

#[derive(Args)]
pub(crate) struct EmitOptions {
    /// What it is about: any topic but those that begin with `camlock.`
    topic: String,
    /// What it says, as JSON
    #[arg(default_value = "null", value_name = "JSON")]
    payload: String,
    /// Keep it even if nobody wants it kept
    #[arg(long)]
    durable: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn run_it(options: &EmitOptions) -> Result<(), Failed> {
    let payload: Value = serde_json::from_str(&options.payload)
        .map_err(|error| Failed::from(format!("what the event says is no JSON: {error}")))?;
    let client = Client::new(&options.reach)?;
    let body = json!({ "topic": options.topic, "payload": payload, "durable": options.durable });
    run(async { Ok(client.ask(Method::POST, "/api/v1/emit", Some(&body)).await?) })?;
    print::line(format_args!("{} is emitted", print::plain(&options.topic)));
    Ok(())
}
