//! `camlock storage`: the values that a plugin keeps.

use super::named::explained;
use crate::{
    Failed,
    client::{Client, Problem, Reach, encoded, read_all, run},
    print::{self, Paint, Table, Tone, ago},
};
use camlock_api::ValueView;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;
use std::{
    fs,
    io::{self, Read, Write as _},
    path::PathBuf,
};

#[derive(Args)]
pub(crate) struct StorageOptions {
    /// The plugin
    name: String,
    #[command(subcommand)]
    act: Option<ValueAct>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Subcommand)]
enum ValueAct {
    /// List keys, with the size of each value (what is done if nothing is said)
    List {
        /// Only keys that begin so
        #[arg(default_value = "")]
        prefix: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a value's bytes as they are
    Get {
        /// The key
        key: String,
    },
    /// Put a value
    Put {
        /// The key
        key: String,
        /// The value; `-`: what stdin holds
        #[arg(required_unless_present = "file")]
        value: Option<String>,
        /// The value is what this file holds
        #[arg(long, conflicts_with = "value")]
        file: Option<PathBuf>,
    },
    /// Delete a value
    Delete {
        /// The key
        key: String,
    },
}

pub(crate) fn run_it(options: &StorageOptions) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let name = &options.name;
    let all = format!("/api/v1/plugins/{}/storage", encoded(name));
    let one = |key: &str| format!("{all}/{}", encoded(key));
    let usual = ValueAct::List { prefix: String::new(), json: false };
    let outcome = match options.act.as_ref().unwrap_or(&usual) {
        ValueAct::List { prefix, json } => {
            let path = format!("{all}?limit=500&prefix={}", encoded(prefix));
            run(async { Ok(client.list(&path).await) })?.map(|items| list(name, &items, *json))
        }
        ValueAct::Get { key } => run(async { Ok(client.bytes(&one(key)).await) })?.map(|bytes| written(&bytes)),
        ValueAct::Put { key, value, file } => {
            let bytes = given(value.as_deref(), file.as_ref())?;
            run(async { Ok(client.put_bytes(&one(key), &bytes).await) })?.map(|put| {
                print::line(format_args!("{} is kept, at revision {}", print::plain(key), put["revision"]));
                Ok(())
            })
        }
        ValueAct::Delete { key } => run(async { Ok(client.ask(Method::DELETE, &one(key), None).await) })?.map(|_| {
            print::line(format_args!("{} is deleted", print::plain(key)));
            Ok(())
        }),
    };
    match outcome {
        Ok(done) => done,
        Err(problem) => Err(failed(&client, name, problem)?),
    }
}

fn failed(client: &Client, name: &str, problem: Problem) -> Result<Failed, Failed> {
    run(async { Ok(explained(client, name, problem).await) })
}

fn list(name: &str, items: &[serde_json::Value], as_data: bool) -> Result<(), Failed> {
    if as_data {
        print::json(&json!({ "items": items, "next": null }));
        return Ok(());
    }
    let values: Vec<ValueView> = read_all(items)?;
    if values.is_empty() {
        print::line(format_args!("{name} keeps nothing like that"));
        return Ok(());
    }
    let mut table = Table::new(&["KEY", "BYTES", "REVISION", "EXPIRES"]);
    for value in &values {
        let expires = value.expires.map(ago).unwrap_or_default();
        table.row([
            (&print::plain(&value.key), Tone::Strong),
            (&value.size.to_string(), Tone::Plain),
            (&value.revision.to_string(), Tone::Plain),
            (&expires, Tone::Plain),
        ]);
    }
    print::line(table.text(Paint::stdout()));
    Ok(())
}

/// Whoever closes the pipe has read enough.
fn written(bytes: &[u8]) -> Result<(), Failed> {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failed::from(format!("the value cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

fn given(value: Option<&str>, file: Option<&PathBuf>) -> Result<Vec<u8>, Failed> {
    match (value, file) {
        (_, Some(file)) => {
            fs::read(file).map_err(|error| Failed::from(format!("{} cannot be read: {error}", file.display())))
        }
        (Some("-"), None) => {
            let mut bytes = Vec::new();
            io::stdin()
                .read_to_end(&mut bytes)
                .map_err(|error| Failed::from(format!("stdin cannot be read: {error}")))?;
            Ok(bytes)
        }
        (value, None) => Ok(value.unwrap_or_default().as_bytes().to_vec()),
    }
}
