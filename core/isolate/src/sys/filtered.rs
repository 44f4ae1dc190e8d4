//! System calls that are filtered, and those that wait for this side's answer.
//!
//! Whose number and arguments are told is the kernel's word; what they point at is in the memory of a process that may change it at any
//! time: it is copied once, and what is decided is decided about the copy.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// From here on this thread, and every one that it starts, makes only the system calls that the program allows. For good. Where what is
/// refused is to be heard of, the descriptor through which it is.
pub(crate) fn filter_calls(program: &[libc::sock_filter], heard_of: bool) -> io::Result<Option<OwnedFd>> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let install = |flags: libc::c_ulong| {
        // SAFETY: the kernel copies `len` instructions from `filter`, which are there for this call and which it does not change; a
        // program that is no good, or a flag that it does not know, is refused.
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) }
    };
    let outcome = if heard_of {
        // Once this side has taken a call, nothing but its end interrupts it: else one that was done for it would be made again.
        let listening = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        match install(listening | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
            // Kernels before 5.19 do not know that.
            -1 if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) => install(listening),
            outcome => outcome,
        }
    } else {
        install(0)
    };
    match outcome {
        0 if !heard_of => Ok(None),
        // SAFETY: with that flag the kernel answers with a descriptor that it has just made for us.
        listener if listener > 0 && heard_of => Ok(Some(unsafe { OwnedFd::from_raw_fd(listener as RawFd) })),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether this kernel asks another process about calls.
pub(crate) fn calls_can_be_told() -> bool {
    let mut sizes = libc::seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
    // SAFETY: this request writes one such struct, which lives for this call.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, &raw mut sizes) == 0 }
}

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToldCall {
    id: u64,
    /// Which thread made it.
    pub(crate) thread: u32,
    pub(crate) number: libc::c_long,
    pub(crate) arguments: [u64; 6],
}

/// The next call that waits; none if it does not wait any more.
pub(crate) fn next_told(listener: &OwnedFd) -> io::Result<Option<ToldCall>> {
    // SAFETY: it is made of numbers alone, for which zero is a value; the kernel asks for it to be zero.
    let mut told: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: this request writes one such struct, which lives for this call.
    let outcome = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut told) };
    if outcome == 0 {
        let (number, arguments) = (told.data.nr.into(), told.data.args);
        return Ok(Some(ToldCall { id: told.id, thread: told.pid, number, arguments }));
    }
    let error = io::Error::last_os_error();
    // Whoever called is gone, or was interrupted.
    if [Some(libc::ENOENT), Some(libc::EINTR)].contains(&error.raw_os_error()) { Ok(None) } else { Err(error) }
}

/// Whether it still waits: what was read and taken from its thread was that thread's then, and not another's with its number.
pub(crate) fn still_waits(listener: &OwnedFd, call: &ToldCall) -> bool {
    // SAFETY: this request reads one number, which lives for this call.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const call.id) == 0 }
}

/// Answers it: with success, or with this error of the kernel's.
pub(crate) fn answer(listener: &OwnedFd, call: &ToldCall, outcome: Result<(), i32>) {
    let error = outcome.err().map_or(0, |number| -number);
    let answer = libc::seccomp_notif_resp { id: call.id, val: 0, error, flags: 0 };
    // SAFETY: this request reads one such struct, which lives for this call. An id that is no longer known is refused.
    let _ = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) };
}

/// Answers it with EPERM, whatever it was.
pub(crate) fn refuse(listener: &OwnedFd, call: &ToldCall) {
    answer(listener, call, Err(libc::EPERM));
}

/// Where a descriptor goes that is handed over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DescriptorPlace {
    /// To a number of its own, which is the call's answer.
    AsAnswer,
    /// To this number, in the place of what was there; the call still waits.
    InPlaceOf(u32),
}

/// Gives the process that waits a copy of this descriptor, which it closes when it starts a program if it asked for that.
pub(crate) fn hand_over(
    listener: &OwnedFd,
    call: &ToldCall,
    descriptor: BorrowedFd<'_>,
    place: DescriptorPlace,
    closed_on_exec: bool,
) -> io::Result<()> {
    let (flags, newfd) = match place {
        DescriptorPlace::AsAnswer => (libc::SECCOMP_ADDFD_FLAG_SEND, 0),
        DescriptorPlace::InPlaceOf(number) => (libc::SECCOMP_ADDFD_FLAG_SETFD, number),
    };
    let handed = libc::seccomp_notif_addfd {
        id: call.id,
        flags: flags as u32,
        srcfd: descriptor.as_raw_fd() as u32,
        newfd,
        newfd_flags: if closed_on_exec { libc::O_CLOEXEC as u32 } else { 0 },
    };
    // SAFETY: this request reads one such struct, which lives for this call; the descriptor is open for as long, and is copied.
    let outcome = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const handed) };
    if outcome >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A copy of what lies there in the memory of that thread's process.
pub(crate) fn read_from(thread: u32, place: u64, into: &mut [u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(place as usize), iov_len: into.len() };
    // SAFETY: the kernel writes at most `iov_len` bytes to `into`, which is ours for this call; the other place is in another process,
    // and the kernel looks whether it is there.
    let count = unsafe { libc::process_vm_readv(thread as libc::pid_t, &raw const local, 1, &raw const remote, 1, 0) };
    match usize::try_from(count) {
        Ok(count) if count == into.len() => Ok(()),
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EFAULT)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}
