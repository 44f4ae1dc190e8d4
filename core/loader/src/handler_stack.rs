//! Where signal handlers run on one thread, whatever has become of its own stack.

use std::{io, mem::MaybeUninit, ptr};

/// Room for what the kernel saves of the largest processors, and for a handler that calls others.
const ROOM: usize = 64 * 1024;
/// Below it lies what nobody may touch.
const GUARD: usize = 64 * 1024;

/// A place for handlers of one thread. To be dropped on that thread.
pub(crate) struct HandlerStack(*mut libc::c_void);

impl HandlerStack {
    /// One for the calling thread, unless it has one already.
    pub(crate) fn of_this_thread() -> Option<Self> {
        if current().ok()?.ss_flags & libc::SS_DISABLE == 0 {
            return None;
        }
        // SAFETY: a new mapping at an address of the kernel's choice; its upper part, which is ours alone, is opened.
        let lowest = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
            let lowest = libc::mmap(ptr::null_mut(), GUARD + ROOM, libc::PROT_NONE, flags, -1, 0);
            if lowest == libc::MAP_FAILED {
                return None;
            }
            libc::mprotect(lowest.add(GUARD), ROOM, libc::PROT_READ | libc::PROT_WRITE);
            lowest
        };
        let stack = HandlerStack(lowest);
        let told = libc::stack_t { ss_sp: stack.begin(), ss_flags: 0, ss_size: ROOM };
        // SAFETY: the room is there until `drop`, which takes it back first.
        let set = unsafe { libc::sigaltstack(&raw const told, ptr::null_mut()) };
        (set == 0).then_some(stack)
    }

    fn begin(&self) -> *mut libc::c_void {
        self.0.wrapping_add(GUARD)
    }
}

impl Drop for HandlerStack {
    fn drop(&mut self) {
        // The plugin may have set another one since.
        let is_set = current().is_ok_and(|now| now.ss_sp == self.begin() && now.ss_flags & libc::SS_DISABLE == 0);
        // SAFETY: the mapping is ours, and after the first call no handler runs there.
        unsafe {
            if is_set {
                let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
                libc::sigaltstack(&raw const none, ptr::null_mut());
            }
            libc::munmap(self.0, GUARD + ROOM);
        }
    }
}

fn current() -> io::Result<libc::stack_t> {
    let mut now = MaybeUninit::zeroed();
    // SAFETY: nothing is changed; the kernel fills in the whole of it, which zeroes are a valid value of.
    unsafe {
        if libc::sigaltstack(ptr::null(), now.as_mut_ptr()) == 0 {
            Ok(now.assume_init())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_it_as_long_as_it_exists() {
        // Threads of this program have one of std's: as if there were none.
        let before = current().unwrap();
        let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: the one of std's is put back below.
        unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) };
        let stack = HandlerStack::of_this_thread().unwrap();
        assert_eq!((current().unwrap().ss_sp, current().unwrap().ss_size), (stack.begin(), ROOM));
        assert!(HandlerStack::of_this_thread().is_none(), "it has one");
        drop(stack);
        assert_ne!(current().unwrap().ss_flags & libc::SS_DISABLE, 0);
        // SAFETY: as it was.
        unsafe { libc::sigaltstack(&raw const before, ptr::null_mut()) };
    }
}
