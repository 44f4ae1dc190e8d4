//! What plugins want done about signals, and what the kernel is told.
//!
//! A plugin's `sigaction` and `signal` come here (through its hooks). As long as any plugin handles a signal, the kernel
//! calls [`relay`](super::relay); what was there before is the base, which is called too and comes back afterwards. A plugin
//! that asks what was there before is told of its own action or of the default, never of another plugin's handler: so
//! nobody chains to code that may go. For faults it is told of the base, which stays.

use super::{LAST, is_fault, name, relay};
use crate::roster::{Changing, Member, walk};
use std::{
    mem::MaybeUninit,
    ops::Range,
    sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering},
};

/// One action, readable in a handler.
struct Action {
    handler: AtomicUsize,
    flags: AtomicI32,
    mask: AtomicU64,
}

impl Action {
    const fn default() -> Self {
        Action { handler: AtomicUsize::new(libc::SIG_DFL), flags: AtomicI32::new(0), mask: AtomicU64::new(0) }
    }

    fn write(&self, action: &libc::sigaction) {
        // A handler that comes in between does nothing, rather than half of each.
        self.handler.store(libc::SIG_IGN, Ordering::SeqCst);
        self.flags.store(action.sa_flags, Ordering::SeqCst);
        self.mask.store(bits(&action.sa_mask), Ordering::SeqCst);
        self.handler.store(action.sa_sigaction, Ordering::SeqCst);
    }

    fn read(&self) -> libc::sigaction {
        action(self.handler.load(Ordering::SeqCst), self.flags.load(Ordering::SeqCst), self.mask.load(Ordering::SeqCst))
    }

    fn handler(&self) -> usize {
        self.handler.load(Ordering::SeqCst)
    }
}

/// What one plugin does about each signal.
pub(crate) struct Actions {
    of: [Action; LAST + 1],
    /// How many of its handlers run at this moment.
    running: AtomicUsize,
}

impl Default for Actions {
    fn default() -> Self {
        Actions { of: [const { Action::default() }; LAST + 1], running: AtomicUsize::new(0) }
    }
}

impl Actions {
    /// The handler to call for a signal, if it has one; from now on it counts as running.
    pub(super) fn enter(&self, signal: i32) -> Option<usize> {
        let action = self.of.get(signal as usize)?;
        // Raised first: whoever withdraws the handler then looks at this counter.
        self.running.fetch_add(1, Ordering::SeqCst);
        let handler = action.handler();
        if is_handler(handler) {
            if action.flags.load(Ordering::SeqCst) & libc::SA_RESETHAND != 0 {
                action.handler.store(libc::SIG_DFL, Ordering::SeqCst);
            }
            return Some(handler);
        }
        self.left();
        None
    }

    /// A handler that was entered has returned.
    pub(super) fn left(&self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What was there before any plugin, or was put there by the host meanwhile.
static BASE: [Action; LAST + 1] = [const { Action::default() }; LAST + 1];
/// Whether the kernel was told to call the relay.
static RELAYED: [AtomicBool; LAST + 1] = [const { AtomicBool::new(false) }; LAST + 1];

/// The handler of the host for a signal, or what it has instead of one.
pub(super) fn base(signal: i32) -> usize {
    BASE.get(signal as usize).map_or(libc::SIG_DFL, Action::handler)
}

pub(super) fn is_handler(handler: usize) -> bool {
    !matches!(handler, libc::SIG_DFL | libc::SIG_IGN | libc::SIG_ERR)
}

fn action(handler: usize, flags: i32, mask: u64) -> libc::sigaction {
    // SAFETY: zeroed is a valid value of this plain C struct: no handler, no flags, an empty set.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    for signal in (1..=LAST as i32).filter(|signal| mask & 1 << (signal - 1) != 0) {
        // SAFETY: the set is ours and initialised.
        unsafe { libc::sigaddset(&raw mut action.sa_mask, signal) };
    }
    action
}

fn bits(set: &libc::sigset_t) -> u64 {
    // SAFETY: the set is initialised, by the kernel or by whoever passed it.
    let contains = |signal: &i32| unsafe { libc::sigismember(set, *signal) == 1 };
    (1..=LAST as i32).filter(contains).fold(0, |bits, signal| bits | 1 << (signal - 1))
}

/// The kernel's action for a signal.
fn kernels(signal: i32) -> Option<libc::sigaction> {
    let mut present = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with no new action this only reads the present one into our memory.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), present.as_mut_ptr()) };
    // SAFETY: zeroed is a valid value of this plain C struct, and the kernel wrote over it if it answered.
    (asked == 0).then(|| unsafe { present.assume_init() })
}

fn tell_kernel(signal: i32, action: &libc::sigaction) {
    // SAFETY: the action is one that the kernel gave us before, or that of the relay, which is there for ever.
    unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
}

/// `sigaction` of a plugin: 0, or the number of an error. The action that it had before is written to `before`.
pub(crate) fn set(
    member: &Member,
    signal: i32,
    wanted: Option<&libc::sigaction>,
    before: Option<&mut libc::sigaction>,
) -> i32 {
    let Some(own) = usize::try_from(signal).ok().filter(|signal| *signal > 0).and_then(|at| member.actions.of.get(at))
    else {
        return libc::EINVAL;
    };
    // Two more are libc's own, and no action of theirs can even be read.
    if kernels(signal).is_none() || wanted.is_some() && matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
        return libc::EINVAL;
    }
    let _changing = Changing::begin();
    if let Some(before) = before {
        *before = own.read();
        if before.sa_sigaction == libc::SIG_DFL {
            let base = if RELAYED[signal as usize].load(Ordering::SeqCst) {
                Some(BASE[signal as usize].read())
            } else {
                kernels(signal)
            };
            if let Some(base) = base.filter(|base| is_fault(signal) || base.sa_sigaction == libc::SIG_IGN) {
                *before = base;
            }
        }
    }
    if let Some(wanted) = wanted {
        own.write(wanted);
        settle(signal);
    }
    0
}

/// Tells the kernel what follows from what all plugins want. Called under the lock.
fn settle(signal: i32) {
    let at = signal as usize;
    let (mut wanted, mut flags, mut mask) = (false, libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK, 0);
    walk(|member| {
        let action = &member.actions.of[at];
        if action.handler() != libc::SIG_DFL {
            wanted = true;
            flags |= action.flags.load(Ordering::SeqCst) & libc::SA_NODEFER;
            mask |= action.mask.load(Ordering::SeqCst);
        }
        false
    });
    let Some(present) = kernels(signal) else {
        camlock_policy::never!("the action of a signal that plugins may handle can be read");
        return;
    };
    let relays = present.sa_sigaction == relay::address();
    if wanted {
        // Who took the signal after the relay, as the host may, chains to it: its action stays where it is.
        if !relays && RELAYED[at].load(Ordering::SeqCst) {
            return;
        }
        if !relays {
            BASE[at].write(&present);
            RELAYED[at].store(true, Ordering::SeqCst);
        }
        tell_kernel(signal, &action(relay::address(), flags, mask | BASE[at].mask.load(Ordering::SeqCst)));
    } else if relays {
        tell_kernel(signal, &BASE[at].read());
        RELAYED[at].store(false, Ordering::SeqCst);
    }
}

/// Takes all of a plugin's handlers back. An error as long as one of them runs.
pub(crate) fn withdraw(member: &Member) -> Result<(), String> {
    for (signal, action) in (1..).zip(&member.actions.of[1..]).filter(|(_, action)| action.handler() != libc::SIG_DFL) {
        let _changing = Changing::begin();
        action.handler.store(libc::SIG_DFL, Ordering::SeqCst);
        settle(signal);
    }
    match member.actions.running.load(Ordering::SeqCst) {
        0 => Ok(()),
        _ => Err("a signal handler of the plugin still runs".to_owned()),
    }
}

/// The first signal, by name, that the kernel or the relay would have handled at these addresses. A plugin that got there
/// installed it behind the interception's back.
pub(crate) fn handled_within(range: &Range<usize>) -> Option<String> {
    (1..=LAST as i32)
        .find(|signal| {
            let present = kernels(*signal).map(|present| present.sa_sigaction);
            let relayed = RELAYED[*signal as usize].load(Ordering::SeqCst).then(|| base(*signal));
            present.into_iter().chain(relayed).any(|handler| range.contains(&handler))
        })
        .map(name)
}
