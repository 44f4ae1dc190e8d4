//! The few system calls that no safe function makes. All `unsafe` of this crate stands here, each with its argument.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd},
};
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

/// A descriptor that this program was started with, by its number. To be called once for each, before there are threads.
pub(crate) fn inherited(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: it is only asked whether there is such a descriptor; no ownership is taken.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: there is one, as the line above has shown; whoever started this program passed it for this use, and nothing here has
    // taken it before: the callers ask for each number once, first thing in the process.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// From now on these signals do not interrupt this thread, and those it starts: they are read from the descriptor.
pub(crate) fn signals_by_descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call initialises the set, which is ours; the others read it. The new descriptor is nobody else's.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
        match libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            number => Ok(OwnedFd::from_raw_fd(number)),
        }
    }
}

/// Signals interrupt this thread again: who started this program may have had them blocked.
pub(crate) fn let_signals_in() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call initialises the set, which is ours; the second reads it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}
