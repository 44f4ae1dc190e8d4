//! How a filter of system calls is written: instructions that the kernel takes for each call.
//!
//! What must not live here: which calls are refused (`calls`).

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ERRNO,
    SECCOMP_RET_KILL_PROCESS, c_long, sock_filter,
};

#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;

/// Where a call's number, its architecture and its arguments (their lower halves) lie.
pub(super) const NUMBER: u32 = 0;
pub(super) const OF_ARCHITECTURE: u32 = 4;
pub(super) const fn argument(number: u32) -> u32 {
    16 + 8 * number
}
/// An argument's upper half.
pub(super) const fn upper(number: u32) -> u32 {
    argument(number) + 4
}

pub(super) const fn refusal(error: i32) -> u32 {
    SECCOMP_RET_ERRNO | error as u32
}

/// A program that is being written. Jumps go over the next instruction only, so that none has to be counted.
pub(super) struct SeccompProgram(pub(super) Vec<sock_filter>);

impl SeccompProgram {
    /// The beginning of one, with the number loaded: these calls are refused, whatever their arguments.
    pub(super) fn that_refuses(calls: impl IntoIterator<Item = c_long>, refused: u32) -> Self {
        let mut program = SeccompProgram(Vec::new());
        program.load(OF_ARCHITECTURE);
        program.next_unless(BPF_JEQ, ARCHITECTURE);
        program.end(SECCOMP_RET_KILL_PROCESS);
        program.load(NUMBER);
        // Numbers of another way to call, with the same meaning.
        program.next_if(BPF_JGE, 0x4000_0000);
        program.end(refused);
        for number in calls {
            program.next_if(BPF_JEQ, number as u32);
            program.end(refused);
        }
        // Its arguments lie in memory, where no filter sees them: whoever calls goes on with the older one.
        program.next_if(BPF_JEQ, libc::SYS_clone3 as u32);
        program.end(refusal(libc::ENOSYS));
        program
    }

    pub(super) fn load(&mut self, at: u32) {
        self.0.push(sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: at });
    }

    pub(super) fn and(&mut self, mask: u32) {
        self.0.push(sock_filter { code: (BPF_ALU | BPF_AND | BPF_K) as u16, jt: 0, jf: 0, k: mask });
    }

    /// Goes on with the next instruction if it holds, else behind it.
    pub(super) fn next_if(&mut self, test: u32, value: u32) {
        self.0.push(sock_filter { code: (BPF_JMP | test | BPF_K) as u16, jt: 0, jf: 1, k: value });
    }

    pub(super) fn next_unless(&mut self, test: u32, value: u32) {
        self.0.push(sock_filter { code: (BPF_JMP | test | BPF_K) as u16, jt: 1, jf: 0, k: value });
    }

    pub(super) fn end(&mut self, outcome: u32) {
        self.0.push(sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: outcome });
    }

    /// What follows holds for this call alone, and comes to a decision about it.
    pub(super) fn of_call(&mut self, number: c_long, body: impl FnOnce(&mut SeccompProgram)) {
        let mut inner = SeccompProgram(Vec::new());
        body(&mut inner);
        self.load(NUMBER);
        self.over_unless(number as u32, inner);
    }

    /// What follows holds for this value alone, and comes to a decision about it.
    pub(super) fn over_unless(&mut self, value: u32, mut inner: SeccompProgram) {
        let over = inner.0.len() as u8;
        self.0.push(sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt: 0, jf: over, k: value });
        self.0.append(&mut inner.0);
    }
}
