//! The process of one plugin: opens the artifact with the same loader as the server, and answers the server's requests.
//!
//! It is the server's own program, started again under another name. Everything here runs in that process, beside the plugin's code,
//! which may do to it what it likes: nothing that it says is believed by the server for being said.
//!
//! `begin` goes from an empty process to an instance, `life` makes the calls of its life, `records` sends what it tells, `services`
//! what it asks, `threads` is where handlers run. What must not live here: what a plugin may do (`sandbox`).

mod begin;
mod life;
mod look;
mod records;
mod services;
mod teller;
mod threads;

pub use look::{FencesFound, examine_fences};
pub(crate) use records::number;

use std::sync::atomic::{AtomicBool, Ordering};

/// What such a process is called.
pub(crate) const RUNNER_NAME: &str = "camlock-runner";

static ARMED: AtomicBool = AtomicBool::new(false);

/// The call that a program which isolates plugins makes, first thing in `main`.
///
/// A plugin's process is the program itself, started again: there this call does the work and never returns. Without it no plugin is
/// isolated, rather than the whole program started twice.
pub fn run_runner_if_asked() {
    let mut arguments = std::env::args_os();
    if arguments.next().is_some_and(|name| name == RUNNER_NAME) {
        // Whatever in the server opened something for all programs that it starts.
        crate::sys::close_all_but(&[]);
        let only_looks = arguments.next().is_some_and(|word| word == look::WORD);
        let outcome = if only_looks { look::show() } else { begin::run() };
        let code = match outcome {
            Ok(()) => 0,
            Err(why) => {
                eprintln!("{why}");
                70
            }
        };
        crate::sys::exit_now(code);
    }
    ARMED.store(true, Ordering::Relaxed);
}

/// Whether this program makes the call above.
pub(crate) fn is_armed() -> bool {
    ARMED.load(Ordering::Relaxed)
}
