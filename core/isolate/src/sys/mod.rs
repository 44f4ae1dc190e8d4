//! The few system calls that no safe function makes. All `unsafe` of this crate stands here, each with its argument.

use std::{io, os::fd::OwnedFd};
use tokio::io::unix::AsyncFd;

/// Ends the process at once: nothing of the plugin's runs on the way out.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: it takes a number and does not return; what other threads do ends in the middle, as it would by a signal.
    unsafe { libc::_exit(code) }
}

/// This process ends when the thread that started it does: the server sees to it that this thread ends with the server alone.
pub(crate) fn end_with(server: i32) {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    // It may have ended before.
    if rustix::process::Pid::as_raw(rustix::process::getppid()) != server {
        exit_now(0);
    }
}

/// A descriptor whose readiness the current runtime watches.
pub(crate) fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives the same descriptor each time, and keeps it open as long as it lives, which is as long as what is
    // made of it here.
    let watched = unsafe { AsyncFd::register(descriptor) };
    watched.map_err(io::Error::from)
}
