//! The return addresses of a panic. Only addresses: the host names them from the stored artifact.

use std::ffi::{c_int, c_void};

#[repr(C)]
struct UnwindContext {
    unseen: [u8; 0],
}

// libgcc's unwinder, which std itself panics with.
unsafe extern "C-unwind" {
    fn _Unwind_Backtrace(
        each: extern "C-unwind" fn(*mut UnwindContext, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut UnwindContext) -> usize;
}

const GO_ON: c_int = 0;
const STOP: c_int = 5;
const MOST_FRAMES: usize = 128;

extern "C-unwind" fn note_frame(context: *mut UnwindContext, argument: *mut c_void) -> c_int {
    // SAFETY: `argument` is the vector that `frames` passes and waits with; `context` is the unwinder's for this call.
    let (frames, address) = unsafe { (&mut *argument.cast::<Vec<usize>>(), _Unwind_GetIP(context)) };
    if frames.len() == MOST_FRAMES || address == 0 {
        return STOP;
    }
    frames.push(address);
    GO_ON
}

/// Where this thread is, innermost first.
pub(crate) fn frames() -> Vec<usize> {
    let mut frames = Vec::with_capacity(MOST_FRAMES);
    // SAFETY: the callback matches the unwinder's signature, does not unwind (the vector never grows) and the vector outlives
    // the call.
    unsafe { _Unwind_Backtrace(note_frame, (&raw mut frames).cast()) };
    frames
}
