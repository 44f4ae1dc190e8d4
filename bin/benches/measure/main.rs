//! Measures one of them: `measure NAME`, as `scripts/bench` calls it. All are one program, because each would be optimised and
//! linked as a whole for minutes. What belongs to one of them alone lies in its file; what several share, in `common`.

#![allow(unreachable_pub, reason = "a benchmark has no outside")]

mod admin;
mod ask;
mod catalog;
mod common;
mod database;
mod dispatch;
mod edit_to_live;
mod events;
mod execute;
mod first_run;
mod fleet;
mod flood;
mod idle;
mod isolate;
mod load;
mod many;
mod noop;
mod registry;
mod reload;
mod routes;
mod soak;
mod startup;
mod storage;
mod swap;
mod tasks;
mod toggle;
mod unload;

use std::process::ExitCode;

type Measurement = fn() -> ExitCode;

const MEASUREMENTS: &[(&str, Measurement)] = &[
    ("admin", admin::run),
    ("ask", ask::run),
    ("catalog", catalog::run),
    ("database", database::run),
    ("dispatch", dispatch::run),
    ("edit-to-live", edit_to_live::run),
    ("events", events::run),
    ("execute", execute::run),
    ("first-run", first_run::run),
    ("fleet", fleet::run),
    ("flood", flood::run),
    ("idle", idle::run),
    ("isolate", isolate::run),
    ("load", load::run),
    ("many", many::run),
    ("noop", noop::run),
    ("registry", registry::run),
    ("reload", reload::run),
    ("routes", routes::run),
    ("soak", soak::run),
    ("startup", startup::run),
    ("storage", storage::run),
    ("swap", swap::run),
    ("tasks", tasks::run),
    ("toggle", toggle::run),
    ("unload", unload::run),
];

fn main() -> ExitCode {
    camlock_embed::run_verifier_if_asked();
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let Some((_, run)) = MEASUREMENTS.iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<_> = MEASUREMENTS.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no measurement `{wanted}`: it is one of {}", names.join(", "));
        return ExitCode::from(64);
    };
    run()
}
