//! Signals, of which a process has one action each, shared among the host and all plugins.
//!
//! `actions` keeps what each plugin wants done, `kernel` has `relay` called instead of any plugin, and `names` names signals.
//! No handler of a plugin is known to the kernel or to another plugin, so that each can go at any time.

mod actions;
mod kernel;
mod names;
mod relay;

pub(crate) use actions::Actions;
pub(crate) use kernel::{handled_within, set, withdraw};
pub(crate) use names::{known_name, name};

/// Signals are numbered from 1 to this.
const LAST: usize = 64;

/// Whether a signal tells of something that the interrupted code itself did. One handler mends it, or nobody does.
const fn is_fault(signal: i32) -> bool {
    matches!(
        signal,
        libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP | libc::SIGSYS | libc::SIGABRT
    )
}
