//! `camlock migrate`: the registry's schema, and copying a registry into another database.
//!
//! It works on the database itself, without a server. What must not live here: SQL.

use crate::{
    Failed, built_in,
    client::run,
    config::{Config, Flags},
    print::{self, counted},
    record,
};
use camlock_embed::{CarriedKept, KeptToCarry, Move};
use camlock_store::{Copied, Standing, Store, Trouble, TroubleKind};
use clap::Args;
use serde_json::{Value, json};

#[derive(Args)]
pub(crate) struct MigrateOptions {
    /// Only say how the schema stands: exit code 1 if it is not up to date
    #[arg(long, conflicts_with_all = ["from", "to"])]
    check: bool,
    /// Copy the registry at this URL …
    #[arg(long, value_name = "URL", requires = "to")]
    from: Option<String>,
    /// … to the empty one at this URL
    #[arg(long, value_name = "URL", requires = "from")]
    to: Option<String>,
    /// Leave the tables of this plugin behind: where it starts they are made anew. May be given several times
    #[arg(long, value_name = "PLUGIN", requires = "from")]
    leave: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn run_it(options: &MigrateOptions) -> Result<(), Failed> {
    let config = Config::read(&options.flags)?;
    run(async {
        match (&options.from, &options.to) {
            (Some(from), Some(to)) => copy(&config, (from, to), &options.leave, options.json).await,
            _ if options.check => check(&config, options.json).await,
            _ => bring_up(&config, options.json).await,
        }
    })
}

/// How a schema stands, or stood.
fn as_json(place: &str, standing: Standing) -> Value {
    let (word, lacking) = match standing {
        Standing::Current => ("current", 0),
        Standing::Empty => ("empty", 0),
        Standing::Older(lacking) => ("older", lacking),
    };
    json!({ "registry": place, "schema": word, "lacking": lacking })
}

async fn bring_up(config: &Config, as_data: bool) -> Result<(), Failed> {
    if config.database_is_in_data() {
        camlock_embed::data::open(&config.data)?;
    }
    let (url, options) = (config.registry.url(&config.data), record::options(config));
    let before = Store::bring_up(&url, &options).await.map_err(failed)?;
    let place = Store::place(&url, &options).map_err(failed)?;
    if as_data {
        print::json(&json!({ "before": as_json(&place, before), "now": as_json(&place, Standing::Current) }));
        return Ok(());
    }
    print::line(match before {
        Standing::Current => format!("{place} is up to date: there was nothing to do"),
        Standing::Empty => format!("{place} was empty: the registry's tables were made there"),
        Standing::Older(lacking) => format!("{place} was brought up to date: {}", counted(lacking, "migration")),
    });
    Ok(())
}

async fn check(config: &Config, as_data: bool) -> Result<(), Failed> {
    let (url, options) = (config.registry.url(&config.data), record::options(config));
    let place = Store::place(&url, &options).map_err(failed)?;
    let standing = record::standing(config).await.map_err(failed)?;
    if as_data {
        print::json(&as_json(&place, standing));
    }
    match standing {
        Standing::Current if as_data => Ok(()),
        Standing::Current => {
            print::line(format_args!("{place} is up to date"));
            Ok(())
        }
        Standing::Empty => {
            Err(format!("there is no registry in {place} yet: the first server that starts makes it, or `camlock migrate` now")
                .into())
        }
        Standing::Older(lacking) => Err(format!(
            "{place} lacks {}: the next server that starts brings it up to date, or `camlock migrate` now; make a backup before",
            counted(lacking, "migration")
        )
        .into()),
    }
}

async fn copy(config: &Config, (from, to): (&str, &str), leave: &[String], as_data: bool) -> Result<(), Failed> {
    let options = record::options(config);
    // That a URL is of no use is no matter of the configuration here.
    let failed = |trouble: Trouble| Failed::from(trouble.sentence);
    let places = (Store::place(from, &options).map_err(failed)?, Store::place(to, &options).map_err(failed)?);
    let built_in = built_in::all();
    let (schema, data) = (&config.registry.schema, &config.data);
    let kept = KeptToCarry::of(Move { from, to, schema, data, built_in: &built_in, leave }).await;
    let kept = kept.map_err(|why| Failed::from(format!("{why}. Nothing was copied")))?;
    let copied = Store::copy(from, to, &options).await.map_err(failed)?;
    let carried = kept.carry().await.map_err(|why| {
        Failed::from(format!(
            "the registry was copied, and what plugins keep was not: {why}; empty the copy and try again"
        ))
    })?;
    if as_data {
        let Copied { plugins, granted, secrets, quarantined, endpoints, events, artifacts, shared, tokens } = copied;
        let CarriedKept { values, tasks, tables, rows } = carried;
        print::json(&json!({
            "from": places.0, "to": places.1, "plugins": plugins, "endpoints": endpoints, "grants": granted,
            "secrets": secrets,
            "quarantined": quarantined,
            "artifacts": artifacts, "shared": shared, "events": events, "tokens": tokens,
            "values": values, "tasks": tasks, "tables": tables, "rows": rows,
        }));
        return Ok(());
    }
    print::line(format_args!("copied from {} to {}:\n{}", places.0, places.1, summary(&copied, carried)));
    Ok(())
}

fn summary(copied: &Copied, kept: CarriedKept) -> String {
    let Copied { plugins, granted, secrets, quarantined, endpoints, events, artifacts, shared, tokens } = *copied;
    let count = |number: u64, what| counted(usize::try_from(number).unwrap_or(usize::MAX), what);
    let entries = if events == 1 { "entry" } else { "entries" };
    format!(
        "  {}, {} of them, {} under quarantine, {}, {}\n  {}, {shared} with bytes\n  {events} {entries} of the journal\n  {}\n  {}\n  {}\n\
         \x20 {} of {} of plugins\n\
         Name the copy in `database.url` and start the server; the original is as it was.",
        counted(plugins, "plugin"),
        counted(endpoints, "endpoint"),
        counted(quarantined, "artifact"),
        counted(granted, "grant"),
        counted(secrets, "secret"),
        counted(artifacts, "artifact"),
        counted(tokens, "token"),
        count(kept.values, "kept value"),
        count(kept.tasks, "task"),
        count(kept.rows, "row"),
        counted(kept.tables, "table"),
    )
}

/// What the configuration says of the database may be what is wrong.
fn failed(trouble: Trouble) -> Failed {
    Failed { code: if trouble.kind == TroubleKind::Settings { 64 } else { 1 }, reason: trouble.sentence }
}
