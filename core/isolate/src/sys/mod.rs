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

/// From here on this thread, and every one that it starts, makes only the system calls that the program allows. For good.
pub(crate) fn filter_calls(program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `len` instructions from `filter`, which are there for this call and which it does not change; a program
    // that is no good is refused.
    let outcome = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
