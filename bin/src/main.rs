//! Camlock's command line. Here live arguments, exit codes and what is printed; what it does lives in the crates below.

#![forbid(unsafe_code)]

#[cfg_attr(not(test), expect(dead_code, reason = "the server does not serve them yet"))]
mod built_in;
#[allow(dead_code, reason = "builds, limits and the admin API come next")]
mod config;
#[allow(dead_code, reason = "the admin API comes next")]
mod data;
mod inspect;
mod logs;
mod serve;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Serves native plugins over HTTP.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server: verify, load and serve the artifacts (NAME.so) in the plugins directory
    #[command(after_help = "Each plugin answers under /api/v1/p/NAME/. The server ends in order on SIGTERM or Ctrl-C.")]
    Serve(serve::Options),
    /// Show what an artifact says of itself, and its digest, without running it
    #[command(after_help = "Example:\n  camlock inspect target/release/libhello.so --json")]
    Inspect(inspect::Options),
}

/// Why a command ends without success: a line for stderr, and the exit code.
#[derive(Debug)]
pub(crate) struct Failed {
    code: u8,
    reason: String,
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Failed { code: 1, reason }
    }
}

impl From<config::Misconfigured> for Failed {
    fn from(misconfigured: config::Misconfigured) -> Self {
        Failed { code: 64, reason: misconfigured.0 }
    }
}

fn main() -> ExitCode {
    // Verification starts this program again: in that process this call does the work and never returns.
    camlock_loader::run_verifier_if_asked();
    let outcome = match Arguments::parse().command {
        Command::Serve(options) => serve::run(&options),
        Command::Inspect(options) => inspect::run(&options).map_err(Failed::from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { code, reason }) => {
            eprintln!("camlock: {reason}");
            code.into()
        }
    }
}
