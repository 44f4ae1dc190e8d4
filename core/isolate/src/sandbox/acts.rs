//! What a plugin tried with a system call that is refused, in the words that an operator is told, with the permission that would allow it.
//!
//! What must not live here: which calls are refused (`calls`).

use super::calls::{NAMESPACES, SIGNALS};
use libc::{AF_INET, AF_INET6, c_long};

pub(crate) fn is_of_internet(family: u64) -> bool {
    [AF_INET as u64, AF_INET6 as u64].contains(&family)
}

/// Whether a call of `socket` with these asks for one that speaks TCP.
pub(crate) fn is_by_tcp([family, kind, protocol, ..]: [u64; 6]) -> bool {
    let is_stream = kind & 0xf == libc::SOCK_STREAM as u64;
    is_of_internet(family) && is_stream && [0, libc::IPPROTO_TCP as u64].contains(&protocol)
}

/// What was tried, and the permission that would allow it, if one does.
pub(crate) fn act_of(call: c_long, arguments: [u64; 6]) -> (&'static str, Option<&'static str>) {
    match call {
        libc::SYS_socket if is_of_internet(arguments[0]) => {
            if is_by_tcp(arguments) {
                ("use the network", Some("network:HOST"))
            } else {
                ("use the network otherwise than by TCP", None)
            }
        }
        libc::SYS_bind | libc::SYS_listen => ("listen for others", None),
        libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_sendmmsg => ("connect without a word (TCP fast open)", None),
        libc::SYS_socket | libc::SYS_socketpair => {
            ("make a socket that leads to other processes or to the kernel", None)
        }
        libc::SYS_execve | libc::SYS_execveat => ("start a program", Some("process")),
        libc::SYS_clone if arguments[0] as u32 & NAMESPACES == 0 => ("start another process", Some("process")),
        libc::SYS_clone | libc::SYS_unshare | libc::SYS_setns => ("make namespaces of its own", None),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_fork | libc::SYS_vfork => ("start another process", Some("process")),
        libc::SYS_ptrace | libc::SYS_process_vm_readv | libc::SYS_process_vm_writev => ("look into a process", None),
        libc::SYS_io_uring_setup | libc::SYS_io_uring_enter | libc::SYS_io_uring_register => ("use io_uring", None),
        libc::SYS_add_key | libc::SYS_request_key | libc::SYS_keyctl => ("use the kernel's keyrings", None),
        libc::SYS_mount | libc::SYS_umount2 | libc::SYS_pivot_root | libc::SYS_chroot => ("change mounts", None),
        libc::SYS_prctl => ("outlive the server", None),
        libc::SYS_ioctl => ("type into a terminal", None),
        libc::SYS_setrlimit | libc::SYS_prlimit64 => ("change its own limits", None),
        call if SIGNALS.contains(&call) => ("send a signal to another process", None),
        libc::SYS_pidfd_open | libc::SYS_pidfd_getfd | libc::SYS_pidfd_send_signal | libc::SYS_tkill => {
            ("reach another process", None)
        }
        _ => ("make a system call that changes the machine", None),
    }
}
