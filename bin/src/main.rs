//! Camlock's command line. Here live arguments, exit codes and what is printed; what it does lives in the crates below.

#![forbid(unsafe_code)]

mod announce;
mod built_in;
mod client;
mod commands;
mod config;
mod failed;
mod logs;
mod page_listener;
mod print;
mod record;
mod reports;
mod screen;
mod serve;

pub(crate) use failed::Failed;

use clap::Parser;
use commands::Command;
use std::process::ExitCode;

/// Serves native plugins over HTTP.
#[derive(Parser)]
#[command(
    name = "camlock",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 it failed, 2 wrong usage, 3 no server, 4 not allowed, 5 the server died again and again before it answered, 64 something is wrong with the \
configuration.\n\nTo begin with:\n  camlock serve\n  camlock new hello --in plugins"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    // Verification starts this program again: in that process this call does the work and never returns.
    camlock_embed::run_verifier_if_asked();
    match Arguments::parse().command {
        Command::Serve(options) if options.has_parent() => {
            serve::hide_environment();
            camlock_embed::under_parent(|link| ended(serve::run(&options, link)))
        }
        command => ended(command.run()).into(),
    }
}

/// Tells why it failed, if it did: the exit code.
fn ended(outcome: Result<(), Failed>) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(Failed { code, reason }) => {
            print::beside(format_args!("camlock: {}", print::plain(&reason)));
            code
        }
    }
}
