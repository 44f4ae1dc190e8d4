//! The few system calls that no safe function makes. All `unsafe` of this crate stands here, each with its argument.

mod filtered;

pub(crate) use filtered::{
    DescriptorPlace, ToldCall, answer, calls_can_be_told, filter_calls, hand_over, next_told, read_from, refuse,
    still_waits,
};

use rustix::{
    process::Pid,
    thread::{UnshareFlags, unshare_unsafe},
};
use std::{
    ffi::CStr,
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    time::{Duration, Instant},
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

/// A write beyond the length that a file may have is an error, and not the end.
pub(crate) fn ignore_file_size_signal() {
    // SAFETY: to ignore a signal, no function of ours is named that it could call.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Takes part in these no longer with others. None of them is what threads of a process share.
pub(crate) fn unshare(spaces: UnshareFlags) -> io::Result<()> {
    let spaces = spaces & !(UnshareFlags::FILES | UnshareFlags::FS);
    // SAFETY: descriptors and the file system's state stay as they are: those flags are taken out.
    unsafe { unshare_unsafe(spaces) }.map_err(io::Error::from)
}

/// How long threads that were joined may take to be gone.
const LAST_THREAD: Duration = Duration::from_secs(5);

/// Waits until this is the only thread: the kernel lets go of one that ended a moment after whoever joined it goes on.
pub(crate) fn alone() -> io::Result<()> {
    let began = Instant::now();
    while std::fs::read_dir("/proc/self/task")?.count() != 1 {
        if began.elapsed() > LAST_THREAD {
            return Err(io::Error::other("this process has more than one thread"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A second process that goes on from here; none in it. Refused where there are other threads.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    alone()?;
    // SAFETY: this thread is the only one, as was counted, and nobody else could start another: so no lock is held by one that is
    // not there in the new process.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        child => Ok(Pid::from_raw(child)),
    }
}

/// Ends as that process did, so that whoever waits for this one hears the same.
pub(crate) fn end_like(status: i32) -> ! {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        // SAFETY: to restore a default, no function of ours is named; and a signal to itself ends this process or does nothing.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
    exit_now(libc::WEXITSTATUS(status))
}

/// Waits for every child until this one has ended: its status.
pub(crate) fn reap(child: Pid) -> i32 {
    loop {
        let mut status = 0;
        // SAFETY: the kernel writes one number.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        if ended == child.as_raw_nonzero().get() {
            return status;
        }
        if ended == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) {
            return 0;
        }
    }
}

/// `struct mount_attr`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Nothing beneath this place, or this descriptor of one, is written to, and no program there raises rights.
pub(crate) fn make_read_only(at: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    const RDONLY: u64 = 1;
    const NOSUID: u64 = 2;
    let attributes = MountAttributes { set: RDONLY | NOSUID, clear: 0, propagation: 0, userns: 0 };
    let flags = libc::AT_RECURSIVE | libc::AT_EMPTY_PATH;
    // SAFETY: the path ends with a zero byte, the struct is as long as is said, and both live for this call.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
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

/// Closes all descriptors but the first three and these.
pub(crate) fn close_all_but(kept: &[RawFd]) {
    let mut kept: Vec<libc::c_uint> = kept.iter().filter_map(|kept| (*kept).try_into().ok()).collect();
    kept.sort_unstable();
    let mut from = 3;
    for end in kept.into_iter().map(Some).chain([None]) {
        let last = end.map_or(libc::c_uint::MAX, |end| end.saturating_sub(1));
        if last >= from {
            // SAFETY: whoever calls uses no descriptor but those that it kept: it goes on to wait for a process and to end, or has
            // just begun, and has opened none itself.
            unsafe { libc::syscall(libc::SYS_close_range, from, last, 0) };
        }
        from = end.map_or(from, |end| end + 1);
    }
}
