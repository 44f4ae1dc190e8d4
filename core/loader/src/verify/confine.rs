//! What the verifying child may write, as far as the kernel lets it be said: its working directory and devices, nothing else.
//!
//! With Landlock, by system calls of its own: three numbers and two structs. Where the kernel has none, the child goes on
//! without; it is no boundary against an enemy, but keeps a careless `create` from leaving files behind.

use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
};
use std::{
    ffi::c_long,
    mem::size_of,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

/// `struct landlock_ruleset_attr`, as of the first version; later ones are longer.
#[repr(C)]
struct Ruleset {
    handled_access_fs: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: RawFd,
}

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;
const WRITE_FILE: u64 = 1 << 1;
/// Removing (4, 5) and making (6 to 12) entries, of every kind.
const CHANGE_DIRECTORIES: u64 = 0b1_1111_1111 << 4;
/// Linking and moving across directories; since version 2.
const REFER: u64 = 1 << 13;
/// Since version 3.
const TRUNCATE: u64 = 1 << 14;

/// From here on this process, and whatever it starts, writes to its working directory only. True if the kernel took it so.
pub(super) fn to_working_directory() -> bool {
    confine().is_ok()
}

fn confine() -> Result<(), Errno> {
    let no_more = (std::ptr::null::<Ruleset>(), 0_usize, CREATE_RULESET_VERSION);
    // SAFETY: with this flag, no struct is read; the kernel answers with its version.
    let version =
        outcome(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, no_more.0, no_more.1, no_more.2) })?;
    let later = if version >= 2 { REFER } else { 0 } | if version >= 3 { TRUNCATE } else { 0 };
    let writing = WRITE_FILE | CHANGE_DIRECTORIES | later;
    let ruleset = Ruleset { handled_access_fs: writing };
    // SAFETY: the struct is as long as is said, and lives for this call.
    let made = outcome(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, size_of::<Ruleset>(), 0_u32)
    })?;
    // SAFETY: the kernel has just made this descriptor for us.
    let rules = unsafe { OwnedFd::from_raw_fd(made as RawFd) };
    let on_files = WRITE_FILE | later & TRUNCATE;
    for (path, allowed_access) in [(".", writing), ("/dev", on_files), ("/proc/self", on_files)] {
        let Ok(place) = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else { continue };
        let beneath = PathBeneath { allowed_access, parent_fd: place.as_raw_fd() };
        // SAFETY: the struct is the one that this kind of rule has, and lives for this call.
        outcome(unsafe {
            libc::syscall(libc::SYS_landlock_add_rule, rules.as_raw_fd(), RULE_PATH_BENEATH, &raw const beneath, 0_u32)
        })?;
    }
    rustix::thread::set_no_new_privs(true)?;
    // SAFETY: it takes a descriptor and no flags.
    outcome(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0_u32) }).map(drop)
}

fn outcome(returned: c_long) -> Result<c_long, Errno> {
    if returned >= 0 {
        Ok(returned)
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    }
}
