//! Which system calls a plugin's process may make, as a program for the kernel. Pure.
//!
//! What is refused is refused with EPERM: the plugin hears of it, and goes on. What must not live here: how it is written (`filter`), installing it, and the words for what was tried (`acts`).

use super::{
    Openings,
    filter::{NUMBER, SeccompProgram, argument, refusal, upper},
};
use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, BPF_JEQ, BPF_JSET, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET,
    CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_THREAD, SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF,
    c_int, c_long, sock_filter,
};

/// Calls that no plugin needs, and that lead out of where it is held.
const REFUSED: &[c_long] = &[
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_tkill,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_personality,
    libc::SYS_setpriority,
    libc::SYS_sched_setaffinity,
    libc::SYS_setrlimit,
];

/// Signals go to this process alone: the first argument says to whom.
pub(super) const SIGNALS: &[c_long] =
    &[libc::SYS_kill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo];

pub(super) const NAMESPACES: u32 =
    (CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWUTS) as u32;
/// Types a character into a terminal, as if a person had; pastes into one.
const TYPING: [u32; 2] = [0x5412, 0x541c];
/// Would let it live on when the server has ended.
const SET_DEATH_SIGNAL: u32 = 1;

/// Options of sockets that the server connects, by their level, that a plugin does not set: how long a close waits, through which device
/// and over which hosts packets go, how often it is tried to connect.
const NEVER_SET: &[(c_int, &[c_int])] = &[
    (libc::SOL_SOCKET, &[libc::SO_LINGER, libc::SO_BINDTODEVICE, SO_BINDTOIFINDEX]),
    (libc::IPPROTO_TCP, &[libc::TCP_SYNCNT]),
    (libc::IPPROTO_IP, &[libc::IP_OPTIONS]),
    (libc::IPPROTO_IPV6, &[libc::IPV6_RTHDR, IPV6_2292PKTOPTIONS]),
];
const SO_BINDTOIFINDEX: c_int = 62;
const IPV6_2292PKTOPTIONS: c_int = 6;

/// What becomes of a call that is refused: an error, and nobody hears of it.
pub(super) const REFUSE: u32 = refusal(libc::EPERM);
/// The server is asked, which answers with the same error, and tells of it.
pub(super) const TELL: u32 = SECCOMP_RET_USER_NOTIF;

/// The filter for a process of this number. One whose processes are its own alone may signal those, if it may have any.
pub(super) fn program(openings: &Openings, process: u32, own_processes: bool, refused: u32) -> Vec<sock_filter> {
    let allowed = SECCOMP_RET_ALLOW;
    let mut program = SeccompProgram::that_refuses(REFUSED.iter().copied(), refused);
    if !openings.process {
        let mut starting = vec![libc::SYS_execve, libc::SYS_execveat];
        #[cfg(target_arch = "x86_64")]
        starting.extend([libc::SYS_fork, libc::SYS_vfork]);
        for number in starting {
            program.next_if(BPF_JEQ, number as u32);
            program.end(refused);
        }
    }
    for number in SIGNALS.iter().filter(|_| !(openings.process && own_processes)) {
        program.of_call(*number, |program| {
            program.load(argument(0));
            program.next_if(BPF_JEQ, process);
            program.end(allowed);
            program.end(refused);
        });
    }
    program.of_call(libc::SYS_clone, |program| {
        program.load(argument(0));
        program.next_if(BPF_JSET, NAMESPACES);
        program.end(refused);
        if !openings.process {
            program.next_unless(BPF_JSET, CLONE_THREAD as u32);
            program.end(refused);
        }
        program.end(allowed);
    });
    // Nobody is to be let in, by whatever socket.
    program.load(NUMBER);
    program.next_if(BPF_JEQ, libc::SYS_listen as u32);
    program.end(refused);
    if openings.brokered {
        brokered(&mut program, refused);
    }
    program.of_call(libc::SYS_socket, |program| {
        if openings.network.is_some() {
            program.load(argument(0));
            for family in [AF_INET, AF_INET6] {
                program.next_if(BPF_JEQ, family as u32);
                program.end(allowed);
            }
        }
        program.end(refused);
    });
    pairs(&mut program, refused);
    typing(&mut program, refused);
    // Its limits can be looked at, and not changed: what it would change them to lies where this points.
    program.of_call(libc::SYS_prlimit64, |program| {
        for half in [argument(2), upper(2)] {
            program.load(half);
            program.next_unless(BPF_JEQ, 0);
            program.end(refused);
        }
        program.end(allowed);
    });
    program.of_call(libc::SYS_prctl, |program| {
        program.load(argument(0));
        program.next_if(BPF_JEQ, SET_DEATH_SIGNAL);
        program.end(refused);
        program.end(allowed);
    });
    program.end(allowed);
    program.0
}

/// What the tools of a build do that no plugin needs to.
const BUILDS_MAY: &[c_long] = &[
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    libc::SYS_kcmp,
    libc::SYS_personality,
    libc::SYS_setpriority,
    libc::SYS_sched_setaffinity,
    libc::SYS_setrlimit,
];

/// The filter for a build and all that it starts: it may start programs and use the network, by no socket that leads to other processes.
pub(super) fn of_builds() -> Vec<sock_filter> {
    let refused = REFUSE;
    let calls = REFUSED.iter().copied().filter(|number| !BUILDS_MAY.contains(number));
    let mut program = SeccompProgram::that_refuses(calls, refused);
    program.of_call(libc::SYS_clone, |program| {
        program.load(argument(0));
        program.next_if(BPF_JSET, NAMESPACES);
        program.end(refused);
        program.end(SECCOMP_RET_ALLOW);
    });
    program.of_call(libc::SYS_socket, |program| {
        program.load(argument(0));
        // Which addresses the machine has is asked of the kernel.
        for family in [AF_INET, AF_INET6, AF_NETLINK] {
            program.next_if(BPF_JEQ, family as u32);
            program.end(SECCOMP_RET_ALLOW);
        }
        program.end(refused);
    });
    pairs(&mut program, refused);
    typing(&mut program, refused);
    program.end(SECCOMP_RET_ALLOW);
    program.0
}

/// A pair's ends lead to each other. Those of datagrams, which the kernel makes of raw ones too, could be sent from to anybody whose
/// socket has a path.
fn pairs(program: &mut SeccompProgram, refused: u32) {
    program.of_call(libc::SYS_socketpair, |program| {
        program.load(argument(0));
        program.next_unless(BPF_JEQ, AF_UNIX as u32);
        program.end(refused);
        program.load(argument(1));
        program.and(0xf);
        for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET] {
            program.next_if(BPF_JEQ, kind as u32);
            program.end(SECCOMP_RET_ALLOW);
        }
        program.end(refused);
    });
}

/// What has a terminal take characters as if a person had typed them.
fn typing(program: &mut SeccompProgram, refused: u32) {
    program.of_call(libc::SYS_ioctl, |program| {
        program.load(argument(1));
        for request in TYPING {
            program.next_if(BPF_JEQ, request);
            program.end(refused);
        }
        program.end(SECCOMP_RET_ALLOW);
    });
}

/// What the server is asked about that connects in this process's place, or is refused at once where nobody is asked.
fn brokered(program: &mut SeccompProgram, asked: u32) {
    let silently = refusal(libc::EPERM);
    program.of_call(libc::SYS_socket, |program| {
        // Whoever looks a name up tries these first: a daemon for names, the kernel's addresses, a datagram to see which address would
        // be used. Without them it goes on, and nothing is to be told of it.
        program.load(argument(0));
        for family in [AF_UNIX, AF_NETLINK] {
            program.next_if(BPF_JEQ, family as u32);
            program.end(silently);
        }
        program.load(argument(1));
        program.and(0xf);
        program.next_if(BPF_JEQ, libc::SOCK_DGRAM as u32);
        program.end(silently);
        program.end(asked);
    });
    // The server holds a duplicate of a socket while it connects it: what would have that one's end wait, or its packets take another
    // way than the one that was judged, is nobody's to set.
    program.of_call(libc::SYS_setsockopt, |program| {
        for (level, options) in NEVER_SET {
            program.load(argument(1));
            let mut of_level = SeccompProgram(Vec::new());
            of_level.load(argument(2));
            for option in *options {
                of_level.next_if(BPF_JEQ, *option as u32);
                of_level.end(silently);
            }
            of_level.end(SECCOMP_RET_ALLOW);
            program.over_unless(*level as u32, of_level);
        }
        program.end(SECCOMP_RET_ALLOW);
    });
    for number in [libc::SYS_connect, libc::SYS_bind] {
        program.load(NUMBER);
        program.next_if(BPF_JEQ, number as u32);
        program.end(asked);
    }
    // An address may lie beside what is sent, and the first bytes of a connection may go there.
    for (number, flags) in [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)] {
        program.of_call(number, |program| {
            program.load(argument(flags));
            program.next_if(BPF_JSET, libc::MSG_FASTOPEN as u32);
            program.end(asked);
            program.end(SECCOMP_RET_ALLOW);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::filter::{ARCHITECTURE, OF_ARCHITECTURE},
        *,
    };
    use libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_KILL_PROCESS};

    /// What the kernel would make of a call, as far as the program says.
    fn decide(program: &[sock_filter], architecture: u32, number: u32, [first, second]: [u32; 2]) -> u32 {
        // Those behind are as the second.
        decide_all(program, architecture, number, [first, second, second, second])
    }

    fn decide_all(program: &[sock_filter], architecture: u32, number: u32, arguments: [u32; 4]) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            let jump = |holds: bool| usize::from(if holds { jt } else { jf });
            at += 1;
            match u32::from(code) & !BPF_K {
                code if code == (BPF_LD | BPF_W | BPF_ABS) => {
                    accumulator = match k {
                        NUMBER => number,
                        OF_ARCHITECTURE => architecture,
                        _ => arguments[((k - 16) / 8) as usize],
                    }
                }
                code if code == (BPF_ALU | BPF_AND) => accumulator &= k,
                code if code == (BPF_JMP | BPF_JEQ) => at += jump(accumulator == k),
                code if code == (BPF_JMP | BPF_JGE) => at += jump(accumulator >= k),
                code if code == (BPF_JMP | BPF_JSET) => at += jump(accumulator & k != 0),
                code if code == BPF_RET => return k,
                code => panic!("an instruction {code:#x}"),
            }
        }
    }

    #[test]
    fn what_is_refused_and_what_is_not() {
        let (refused, allowed) = (refusal(libc::EPERM), SECCOMP_RET_ALLOW);
        let nothing = program(&Openings::default(), 77, true, REFUSE);
        let open = Openings { process: true, network: Some(Vec::new()), ..Openings::default() };
        let of_own = program(&open, 77, true, TELL);
        let open = program(&open, 77, false, REFUSE);
        let thread = (CLONE_THREAD | libc::CLONE_VM) as u32;
        for (call, arguments, closed_says, open_says) in [
            (libc::SYS_read, [0, 0], allowed, allowed),
            (libc::SYS_io_uring_setup, [0, 0], refused, refused),
            (libc::SYS_adjtimex, [0, 0], refused, refused),
            (libc::SYS_kill, [77, 9], allowed, allowed),
            (libc::SYS_kill, [1, 9], refused, refused),
            (libc::SYS_kill, [0, 9], refused, refused),
            (libc::SYS_tgkill, [77, 78], allowed, allowed),
            (libc::SYS_clone, [thread, 0], allowed, allowed),
            (libc::SYS_clone, [17, 0], refused, allowed),
            (libc::SYS_clone, [CLONE_NEWUSER as u32, 0], refused, refused),
            (libc::SYS_clone3, [0, 0], refusal(libc::ENOSYS), refusal(libc::ENOSYS)),
            (libc::SYS_execve, [0, 0], refused, allowed),
            (libc::SYS_socket, [AF_INET as u32, 1], refused, allowed),
            (libc::SYS_socket, [AF_UNIX as u32, 1], refused, refused),
            (libc::SYS_socket, [AF_NETLINK as u32, 1], refused, refused),
            (libc::SYS_socketpair, [AF_UNIX as u32, 1], allowed, allowed),
            (
                libc::SYS_socketpair,
                [AF_UNIX as u32, (libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC) as u32],
                allowed,
                allowed,
            ),
            (libc::SYS_socketpair, [AF_UNIX as u32, (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as u32], refused, refused),
            (libc::SYS_socketpair, [AF_UNIX as u32, (libc::SOCK_RAW | libc::SOCK_NONBLOCK) as u32], refused, refused),
            (libc::SYS_socketpair, [libc::AF_TIPC as u32, 1], refused, refused),
            (libc::SYS_ioctl, [0, 0x5412], refused, refused),
            (libc::SYS_ioctl, [0, 0x5401], allowed, allowed),
            (libc::SYS_prlimit64, [0, 0], allowed, allowed),
            (libc::SYS_prlimit64, [0, 1], refused, refused),
            (libc::SYS_prctl, [1, 0], refused, refused),
            (libc::SYS_prctl, [15, 0], allowed, allowed),
        ] {
            let says = |program: &[sock_filter]| decide(program, ARCHITECTURE, call as u32, arguments);
            assert_eq!((says(&nothing), says(&open)), (closed_says, open_says), "{call} {arguments:?}");
        }
        assert_eq!(decide(&of_own, ARCHITECTURE, libc::SYS_kill as u32, [1, 9]), allowed);
        assert_eq!(decide(&of_own, ARCHITECTURE, libc::SYS_ptrace as u32, [0, 0]), TELL);
        let brokered = Openings { network: Some(vec![80]), brokered: true, ..Openings::default() };
        let brokered = program(&brokered, 77, true, TELL);
        for (call, arguments, says) in [
            (libc::SYS_socket, [AF_INET as u32, libc::SOCK_STREAM as u32], TELL),
            (libc::SYS_socket, [AF_INET6 as u32, (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as u32], TELL),
            (libc::SYS_socket, [AF_INET as u32, libc::SOCK_RAW as u32], TELL),
            (libc::SYS_socket, [AF_INET as u32, (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as u32], refused),
            (libc::SYS_socket, [AF_UNIX as u32, 1], refused),
            (libc::SYS_socket, [AF_NETLINK as u32, 3], refused),
            (libc::SYS_socket, [libc::AF_PACKET as u32, 3], TELL),
            (libc::SYS_connect, [3, 0], TELL),
            (libc::SYS_bind, [3, 0], TELL),
            (libc::SYS_listen, [3, 0], TELL),
            (libc::SYS_sendto, [3, libc::MSG_NOSIGNAL as u32], allowed),
            (libc::SYS_sendto, [3, libc::MSG_FASTOPEN as u32], TELL),
            (libc::SYS_sendmsg, [3, libc::MSG_FASTOPEN as u32], TELL),
            (libc::SYS_sendmmsg, [3, libc::MSG_FASTOPEN as u32], TELL),
        ] {
            assert_eq!(decide(&brokered, ARCHITECTURE, call as u32, arguments), says, "{call} {arguments:?}");
        }
        for (level, option, says) in [
            (libc::SOL_SOCKET, libc::SO_LINGER, refused),
            (libc::SOL_SOCKET, libc::SO_BINDTODEVICE, refused),
            (libc::SOL_SOCKET, SO_BINDTOIFINDEX, refused),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE, allowed),
            (libc::IPPROTO_TCP, libc::TCP_SYNCNT, refused),
            (libc::IPPROTO_TCP, libc::TCP_NODELAY, allowed),
            (libc::IPPROTO_IP, libc::IP_OPTIONS, refused),
            (libc::IPPROTO_IP, libc::IP_TOS, allowed),
            (libc::IPPROTO_IPV6, libc::IPV6_RTHDR, refused),
            (libc::IPPROTO_IPV6, IPV6_2292PKTOPTIONS, refused),
            (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, allowed),
        ] {
            let call = [3, level as u32, option as u32, 0];
            let decided = decide_all(&brokered, ARCHITECTURE, libc::SYS_setsockopt as u32, call);
            assert_eq!(decided, says, "{level} {option}");
        }
        let build = of_builds();
        for (call, arguments, says) in [
            (libc::SYS_execve, [0, 0], allowed),
            (libc::SYS_clone, [17, 0], allowed),
            (libc::SYS_clone, [CLONE_NEWUSER as u32, 0], refused),
            (libc::SYS_pidfd_open, [1, 0], allowed),
            (libc::SYS_ptrace, [0, 0], refused),
            (libc::SYS_io_uring_setup, [0, 0], refused),
            (libc::SYS_socket, [AF_INET as u32, 1], allowed),
            (libc::SYS_socket, [AF_UNIX as u32, 1], refused),
            (libc::SYS_socketpair, [AF_UNIX as u32, libc::SOCK_STREAM as u32], allowed),
            (libc::SYS_socketpair, [AF_UNIX as u32, (libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC) as u32], allowed),
            (libc::SYS_socketpair, [AF_UNIX as u32, libc::SOCK_DGRAM as u32], refused),
            (libc::SYS_socketpair, [AF_UNIX as u32, libc::SOCK_RAW as u32], refused),
            (libc::SYS_socketpair, [libc::AF_TIPC as u32, 1], refused),
            (libc::SYS_ioctl, [0, 0x5412], refused),
        ] {
            assert_eq!(decide(&build, ARCHITECTURE, call as u32, arguments), says, "{call} {arguments:?}");
        }
        assert_eq!(decide(&nothing, 3, 0, [0; 2]), SECCOMP_RET_KILL_PROCESS);
        assert_eq!(decide(&nothing, ARCHITECTURE, 0x4000_0000, [0; 2]), refused);
    }
}
