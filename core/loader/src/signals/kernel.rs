//! What the kernel is told about signals, as follows from what plugins want.
//!
//! What must not live here: anything that runs in a handler (`relay`, `actions`).
//!
//! A plugin's `sigaction` and `signal` come here (through its hooks). As long as any plugin handles a signal, the kernel
//! calls [`relay`](super::relay); what was there before is the base, which is called too and comes back afterwards. A plugin
//! that asks what was there before is told of its own action or of the default, never of another plugin's handler: so
//! nobody chains to code that may go. For faults it is told of the base, which stays.

use super::{
    LAST,
    actions::{BASE, RELAYED, action, base},
    is_fault, name, relay,
};
use crate::roster::{Changing, Member, walk};
use std::{mem::MaybeUninit, ops::Range, sync::atomic::Ordering};

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
