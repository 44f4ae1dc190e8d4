//! What plugins want done about signals, readable in a handler.
//!
//! What must not live here: what the kernel is told (`kernel`).

use super::LAST;
use std::{
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering},
};

/// One action, readable in a handler.
pub(super) struct Action {
    pub(super) handler: AtomicUsize,
    pub(super) flags: AtomicI32,
    pub(super) mask: AtomicU64,
}

impl Action {
    pub(super) const fn default() -> Self {
        Action { handler: AtomicUsize::new(libc::SIG_DFL), flags: AtomicI32::new(0), mask: AtomicU64::new(0) }
    }

    pub(super) fn write(&self, action: &libc::sigaction) {
        // A handler that comes in between does nothing, rather than half of each.
        self.handler.store(libc::SIG_IGN, Ordering::SeqCst);
        self.flags.store(action.sa_flags, Ordering::SeqCst);
        self.mask.store(bits(&action.sa_mask), Ordering::SeqCst);
        self.handler.store(action.sa_sigaction, Ordering::SeqCst);
    }

    pub(super) fn read(&self) -> libc::sigaction {
        action(self.handler.load(Ordering::SeqCst), self.flags.load(Ordering::SeqCst), self.mask.load(Ordering::SeqCst))
    }

    pub(super) fn handler(&self) -> usize {
        self.handler.load(Ordering::SeqCst)
    }
}

/// What one plugin does about each signal.
pub(crate) struct Actions {
    pub(super) of: [Action; LAST + 1],
    /// How many of its handlers run at this moment.
    pub(super) running: AtomicUsize,
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
pub(super) static BASE: [Action; LAST + 1] = [const { Action::default() }; LAST + 1];
/// Whether the kernel was told to call the relay.
pub(super) static RELAYED: [AtomicBool; LAST + 1] = [const { AtomicBool::new(false) }; LAST + 1];

/// The handler of the host for a signal, or what it has instead of one.
pub(super) fn base(signal: i32) -> usize {
    BASE.get(signal as usize).map_or(libc::SIG_DFL, Action::handler)
}

pub(super) fn is_handler(handler: usize) -> bool {
    !matches!(handler, libc::SIG_DFL | libc::SIG_IGN | libc::SIG_ERR)
}

pub(super) fn action(handler: usize, flags: i32, mask: u64) -> libc::sigaction {
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
