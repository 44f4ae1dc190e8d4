//! The handler that the kernel calls for every signal that a plugin handles.
//!
//! It runs on any thread at any instant: it takes no lock and no memory but its own stack.

use super::{
    actions::{Actions, base, is_handler},
    is_fault,
};
use crate::roster::walk;
use std::{
    ffi::{c_int, c_void},
    ptr,
};

type SignalHandler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// So many plugins hear of one signal. More than these have never been seen to want one; the stack of a handler is small.
const MOST: usize = 128;

pub(super) fn address() -> usize {
    relay as SignalHandler as usize
}

unsafe extern "C" fn relay(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the thread's own variable.
    let (errno, before) = unsafe { (libc::__errno_location(), *libc::__errno_location()) };
    let mut handlers = [(ptr::null::<Actions>(), 0_usize); MOST];
    let mut count = 0;
    walk(|member| {
        if let (Some(handler), Some(place)) = (member.actions.enter(signal), handlers.get_mut(count)) {
            *place = (&raw const member.actions, handler);
            count += 1;
        }
        count == MOST || count == 1 && is_fault(signal)
    });
    for (actions, handler) in &handlers[..count] {
        // SAFETY: the plugin passed this handler for this signal; its library is mapped and `actions` is there as long as it
        // counts as running. One that takes fewer arguments does not look at the others.
        unsafe {
            call(*handler, signal, info, context);
            (**actions).left();
        }
    }
    let base = base(signal);
    if is_fault(signal) && count > 0 {
        // It was for that one to mend.
    } else if is_handler(base) {
        // SAFETY: the host's own handler for this signal.
        unsafe { call(base, signal, info, context) };
    } else if count == 0 && base == libc::SIG_DFL && is_fault(signal) {
        // SAFETY: both may be called in a handler. Nobody handles it: it comes again as soon as this returns, and ends the process.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// # Safety
/// The address must be that of a handler for this signal.
unsafe fn call(handler: usize, signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: as promised.
    unsafe { std::mem::transmute::<usize, SignalHandler>(handler)(signal, info, context) };
}
