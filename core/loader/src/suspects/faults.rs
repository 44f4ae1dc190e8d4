//! A note, made while the process ends by a fault or because somebody ends it: how, and in whose code.
//!
//! The handler runs in a process that is broken, on any thread, with locks held by anybody: it makes system calls, reads the
//! roster and writes to a file that was opened before. Whose code it was is seen from where the thread is, from the plugin that
//! the host called on it, or from the addresses on its stack; of these the last is a guess, for a stack keeps old addresses.

use super::GenerationName;
use crate::{
    inside::Inside,
    roster::{Member, RosterIdentity, walk},
    signals::known_name,
};
use camlock_policy::GenerationKey;
use std::{
    cell::UnsafeCell,
    ffi::{c_int, c_void},
    fs::File,
    io,
    mem::{MaybeUninit, size_of, size_of_val},
    os::fd::IntoRawFd,
    path::Path,
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
};

/// What ends a process unless somebody handles it, and what the process itself does.
const FAULTS: [c_int; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGSYS, libc::SIGTRAP];

/// Where it is written; none yet.
static FILE: AtomicI32 = AtomicI32::new(-1);
/// Only the first fault is noted: what follows from it says nothing.
static NOTED: AtomicBool = AtomicBool::new(false);
/// What was there before, by place in `FAULTS`.
static BEFORE: [SavedAction; FAULTS.len()] = [const { SavedAction(std::sync::OnceLock::new()) }; FAULTS.len()];

struct SavedAction(std::sync::OnceLock<libc::sigaction>);

/// A line of the note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FaultNote {
    /// The process ended as it should, whatever was noted before.
    InOrder,
    Ended {
        how: String,
        of: Option<GenerationName>,
    },
}

const IN_ORDER: &str = "in order\n";

impl FaultNote {
    pub(super) fn parse(line: &str) -> Option<Self> {
        if line == IN_ORDER.trim_end() {
            return Some(FaultNote::InOrder);
        }
        let (how, of) = line.split_once('\t')?;
        Some(FaultNote::Ended { how: how.to_owned(), of: serde_json::from_str(of).ok() })
    }
}

/// From now on notes of this process go into this file. Handlers are installed once; they call what was there before.
pub(super) fn note_into(path: &Path) -> io::Result<()> {
    let file = File::options().create_new(true).append(true).open(path)?;
    let before = FILE.swap(file.into_raw_fd(), Ordering::SeqCst);
    if before >= 0 {
        // SAFETY: the descriptor was ours, and nobody writes there any more but a handler that runs at this very moment, whose
        // note is then lost.
        unsafe { libc::close(before) };
        return Ok(());
    }
    for (signal, before) in FAULTS.into_iter().zip(&BEFORE) {
        // SAFETY: zeroed is a valid value of this plain C struct: no flags, an empty set.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = on_fault as unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let mut present = MaybeUninit::zeroed();
        // SAFETY: the handler below is there for ever and does what one may; what was there is kept first, for the handler calls
        // it.
        unsafe {
            if libc::sigaction(signal, std::ptr::null(), present.as_mut_ptr()) == 0 {
                let _ = before.0.set(present.assume_init());
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            }
        }
    }
    // SAFETY: the function takes nothing and does not unwind.
    unsafe { libc::atexit(on_exit) };
    Ok(())
}

unsafe extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    if !NOTED.swap(true, Ordering::SeqCst) {
        // SAFETY: the kernel passes the interrupted thread's registers.
        let (counter, stack) = unsafe { registers(context.cast()) };
        write(&[b"ended with ", known_name(signal).unwrap_or("a signal").as_bytes()], &[counter], stack);
    }
    let before = FAULTS.iter().position(|known| *known == signal).and_then(|at| BEFORE[at].0.get());
    match before {
        Some(before) if !matches!(before.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) => {
            // SAFETY: it was installed for this signal; one that takes fewer arguments does not look at the others.
            unsafe {
                std::mem::transmute::<usize, unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)>(
                    before.sa_sigaction,
                )(signal, info, context);
            }
        }
        // SAFETY: both may be called in a handler. It comes again as soon as this returns, and ends the process.
        _ => unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        },
    }
}

/// Somebody calls `exit`, or `main` returns.
extern "C" fn on_exit() {
    let here = 0_usize;
    let stack = (&raw const here) as usize;
    if whose(&[], stack, |_| ()) {
        if !NOTED.swap(true, Ordering::SeqCst) {
            write(&[b"was ended by a call of `exit`"], &[], stack);
        }
    } else if let file @ 0.. = FILE.load(Ordering::SeqCst) {
        // SAFETY: the file is ours, and the text lives for ever.
        unsafe { libc::write(file, IN_ORDER.as_ptr().cast(), IN_ORDER.len()) };
    }
}

/// Writes one line: how, and whose code it was, if that can be seen.
fn write(how: &[&[u8]], addresses: &[usize], stack: usize) {
    let file = FILE.load(Ordering::SeqCst);
    let part = |bytes: &[u8]| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let put = |whose: &[u8]| {
        let parts =
            [part(how[0]), part(how.get(1).copied().unwrap_or_default()), part(b"\t"), part(whose), part(b"\n")];
        // SAFETY: the parts are valid for this call, which may be made in a handler.
        unsafe { libc::writev(file, parts.as_ptr(), parts.len() as c_int) };
    };
    if !whose(addresses, stack, |words| put(words.as_bytes())) {
        put(b"");
    }
}

const WORDS: usize = 512;
/// How far down a stack is looked at: 256 KiB.
const PORTIONS: usize = 64;

/// Where a portion of a stack is copied to. Not on the handler's own stack, which may be as small as one portion.
struct Portion(UnsafeCell<[usize; WORDS]>);

// SAFETY: whoever has set `LOOKING` has it alone.
unsafe impl Sync for Portion {}

static PORTION: Portion = Portion(UnsafeCell::new([0; WORDS]));
static LOOKING: AtomicBool = AtomicBool::new(false);

/// Names the plugin whose code lies at one of the addresses, else the one that the host called on this thread, else the one whose
/// code is found first on a stack, from its top. False if there is none, or if somebody else is looking for theirs.
fn whose(addresses: &[usize], stack: usize, name: impl FnOnce(&str)) -> bool {
    if LOOKING.swap(true, Ordering::SeqCst) {
        return false;
    }
    // SAFETY: `LOOKING` was not set, and is until the end of this function.
    let found = look(addresses, stack, name, unsafe { &mut *PORTION.0.get() });
    LOOKING.store(false, Ordering::SeqCst);
    found
}

fn look(addresses: &[usize], stack: usize, name: impl FnOnce(&str), words: &mut [usize; WORDS]) -> bool {
    let mut name = Some(name);
    // The latest generation comes first: a key may have been that of an earlier one, whose library stays.
    let mut is_found = |is_theirs: &dyn Fn(&Member, &RosterIdentity) -> bool| {
        walk(|member| {
            let owner = member.identity.get().filter(|identity| is_theirs(member, identity));
            if let (Some(owner), Some(name)) = (owner, owner.and_then(|_| name.take())) {
                name(&owner.words);
            }
            owner.is_some()
        });
        name.is_none()
    };
    let lies_in = |address: usize| move |_: &Member, identity: &RosterIdentity| identity.range.contains(&address);
    if addresses.iter().any(|address| is_found(&lies_in(*address))) {
        return true;
    }
    let here = Inside::here();
    if here != GenerationKey::NONE && is_found(&|member, _| member.generation.get() == Some(&here)) {
        return true;
    }
    let mut from = stack & !(size_of::<usize>() - 1);
    for _ in 0..PORTIONS {
        let bytes = size_of_val(words);
        let local = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: bytes };
        let remote = libc::iovec { iov_base: from as *mut c_void, iov_len: bytes };
        // SAFETY: the kernel copies as much as is mapped and says how much that was; it writes to the words alone. May be called in
        // a handler.
        let read = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
        let Ok(read) = usize::try_from(read) else { return false };
        if words[..read / size_of::<usize>()].iter().any(|word| is_found(&lies_in(*word))) {
            return true;
        }
        if read < bytes {
            return false;
        }
        from += bytes;
    }
    false
}

/// The program counter and the top of the stack.
///
/// # Safety
/// The context must be one that the kernel passed to a handler.
unsafe fn registers(context: *const libc::ucontext_t) -> (usize, usize) {
    // SAFETY: as promised.
    let machine = unsafe { &(*context).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    return (machine.gregs[libc::REG_RIP as usize] as usize, machine.gregs[libc::REG_RSP as usize] as usize);
    #[cfg(target_arch = "aarch64")]
    return (machine.pc as usize, machine.sp as usize);
}
