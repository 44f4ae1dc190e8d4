//! `camlock secrets`: which key seals what plugins' schemas call sensitive, and another one in its place.
//!
//! It works on the database itself, without a server. What must not live here: where keys lie, and how it is sealed.

use crate::{
    Failed,
    client::run,
    config::{Config, Flags},
    print::{self, counted},
    record,
};
use camlock_embed::{HeldKey, SecretsKey, look_at_secrets, rotate_secrets};
use clap::{Args, Subcommand};
use serde_json::json;
use std::{fs, path::PathBuf};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SecretsOptions {
    #[command(subcommand)]
    act: Option<SecretsAct>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum SecretsAct {
    /// Seal everything anew with another key, all or nothing; the key of now is needed for it
    #[command(after_help = "Examples:\n  camlock secrets rotate\n  camlock secrets rotate --to new.key --json")]
    Rotate(RotateOptions),
}

#[derive(Args)]
struct RotateOptions {
    /// The new key, in a file (`head -c 32 /dev/urandom | base64` makes one) [default: one is made]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn run_it(options: &SecretsOptions) -> Result<(), Failed> {
    match &options.act {
        None => show(&Config::read(&options.flags)?, options.json),
        Some(SecretsAct::Rotate(options)) => rotate(&Config::read(&options.flags)?, options.to.as_ref(), options.json),
    }
}

fn show(config: &Config, as_data: bool) -> Result<(), Failed> {
    let store = record::options(config);
    let look = look_at_secrets(&config.registry, &store, config.secrets_key.as_ref(), &config.data);
    let (held, there) = run(async { look.await.map_err(Failed::from) })?;
    let (needed, has) = held.ids();
    if as_data {
        let fits = matches!(held, HeldKey::Fleets(_));
        print::json(&json!({ "key": has, "sealed_with": needed, "fits": fits, "plugins": there.plugins }));
        return Ok(());
    }
    let own = has.map_or_else(|| "there is none here".to_owned(), |has| format!("the one here is {has}"));
    print::line(match &held {
        HeldKey::Fleets(key) => format!("secrets are sealed with the key {}, which is here", key.id()),
        HeldKey::Lacking { needed, .. } => format!("secrets are sealed with the key {needed}, and {own}"),
        HeldKey::NotCompared(_) => {
            format!("the registry knows of no key yet, and {own}: the next server that starts settles it")
        }
    });
    for (plugin, count) in &there.plugins {
        print::line(format_args!("  {plugin}: {}", counted(*count, "secret")));
    }
    Ok(())
}

fn rotate(config: &Config, to: Option<&PathBuf>, as_data: bool) -> Result<(), Failed> {
    let given = config.secrets_key.as_ref();
    let key = match to {
        Some(path) => {
            let text =
                fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            SecretsKey::parse(&text).map_err(|why| format!("{} is no key: {why}", path.display()))?
        }
        None if given.is_some() => {
            return Err("the key comes from a setting, where no other one can be put: make one \
                 (`head -c 32 /dev/urandom | base64 > FILE`), name it with --to, and then in the setting"
                .into());
        }
        None => SecretsKey::generate(),
    };
    let store = record::options(config);
    let sealed =
        run(async { rotate_secrets(&config.registry, &store, given, &config.data, &key).await.map_err(Failed::from) })?;
    if as_data {
        print::json(&json!({ "key": key.id(), "secrets": sealed }));
        return Ok(());
    }
    let then = match given {
        Some(_) => "Put it into the setting of each server, and start them".to_owned(),
        None => format!(
            "It lies in {}, where a running server takes it up by itself; give it to the other servers of the fleet",
            config.data.join("secrets.key").display()
        ),
    };
    print::line(format_args!(
        "{} sealed with the new key {}.\n{then}. Keep the key before for as long as there are backups that were made before.",
        if sealed == 1 { "1 secret is".to_owned() } else { format!("{sealed} secrets are") },
        key.id()
    ));
    Ok(())
}
