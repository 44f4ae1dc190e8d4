//! Wakers across the boundary.
//!
//! A waker crosses as a pointer to a header of four functions, at the start of an object that only its maker understands.
//! Whoever polls makes such an object ([`BorrowedWaker`] for the poll, [`SharedWaker`] once it is cloned); whoever is polled
//! sees an ordinary `std::task::Waker`. The host puts a firewall of its own between a plugin's wakers and its channels;
//! that lives with the loader ([`BorrowWaker`] is where it plugs in).

use abi_stable::StableAbi;
use std::{
    mem::ManuallyDrop,
    sync::Arc,
    task::{Context, RawWaker, RawWakerVTable, Waker},
};

/// The functions at the start of every waker that crosses.
#[repr(C)]
#[derive(StableAbi)]
pub struct WakerHeader {
    /// An address in the library that made it, by which that library knows its own when it comes back.
    maker: *const u8,
    /// Makes an owned waker; the result is freed by its own `drop` or `wake`.
    clone: unsafe extern "C" fn(*const WakerHeader) -> *const WakerHeader,
    /// Wakes and frees an owned waker.
    wake: unsafe extern "C" fn(*const WakerHeader),
    wake_by_ref: unsafe extern "C" fn(*const WakerHeader),
    drop: unsafe extern "C" fn(*const WakerHeader),
}

/// Its address tells this copy of the crate from all others. (A `u8` that is never read.)
static MAKER: u8 = 0;

// SAFETY: the pointer is only compared.
unsafe impl Send for WakerHeader {}
// SAFETY: as above.
unsafe impl Sync for WakerHeader {}

impl WakerHeader {
    /// Whether this very library made it: then its functions are here to stay, whatever is unloaded.
    pub fn made_here(&self) -> bool {
        std::ptr::eq(self.maker, &raw const MAKER)
    }
}

/// An owned waker made by this side.
#[repr(C)]
pub struct SharedWaker {
    header: WakerHeader,
    waker: Waker,
}

unsafe extern "C" fn shared_clone(this: *const WakerHeader) -> *const WakerHeader {
    // SAFETY: `this` came from `Arc::into_raw` of a SharedWaker (the header is its first field, and repr(C) puts it at the
    // same address), and the caller holds one of its counts.
    unsafe { Arc::increment_strong_count(this.cast::<SharedWaker>()) };
    this
}

unsafe extern "C" fn shared_wake(this: *const WakerHeader) {
    // SAFETY: as above; this takes over the caller's count.
    let shared = unsafe { Arc::from_raw(this.cast::<SharedWaker>()) };
    crate::catch_quietly(|| shared.waker.wake_by_ref());
    crate::catch_quietly(|| drop(shared));
}

unsafe extern "C" fn shared_wake_by_ref(this: *const WakerHeader) {
    // SAFETY: as above; the caller's count outlives the call.
    let shared = unsafe { &*this.cast::<SharedWaker>() };
    crate::catch_quietly(|| shared.waker.wake_by_ref());
}

unsafe extern "C" fn shared_drop(this: *const WakerHeader) {
    // SAFETY: as for wake.
    let shared = unsafe { Arc::from_raw(this.cast::<SharedWaker>()) };
    crate::catch_quietly(|| drop(shared));
}

impl SharedWaker {
    /// Wraps a waker of this side so that the other side can hold it.
    pub fn new(waker: Waker) -> Arc<Self> {
        let header = WakerHeader {
            maker: &raw const MAKER,
            clone: shared_clone,
            wake: shared_wake,
            wake_by_ref: shared_wake_by_ref,
            drop: shared_drop,
        };
        Arc::new(SharedWaker { header, waker })
    }

    /// Whether this wakes the same task.
    pub fn wakes(&self, waker: &Waker) -> bool {
        self.waker.will_wake(waker)
    }

    /// Lends this waker to one poll.
    pub fn lend(&self) -> *const WakerHeader {
        std::ptr::from_ref(self).cast()
    }
}

/// A waker of this side, lent for one poll. Most polls never clone it, so it costs no allocation.
#[repr(C)]
pub struct BorrowedWaker<'a> {
    header: WakerHeader,
    waker: &'a Waker,
    /// Where a clone is kept for the next poll, so that polling again with the same waker is recognised as such.
    kept: &'a mut Option<Arc<SharedWaker>>,
}

unsafe extern "C" fn borrowed_clone(this: *const WakerHeader) -> *const WakerHeader {
    // SAFETY: `lend` made this pointer from a live BorrowedWaker, which the poll's caller keeps until the poll returns; the
    // polled side clones only during that poll, on the polling thread, so the exclusive reference is not shared.
    let borrowed = unsafe { &mut *this.cast_mut().cast::<BorrowedWaker<'_>>() };
    let shared = match &mut *borrowed.kept {
        Some(kept) if kept.wakes(borrowed.waker) => kept.clone(),
        kept => kept.insert(SharedWaker::new(borrowed.waker.clone())).clone(),
    };
    Arc::into_raw(shared).cast()
}

unsafe extern "C" fn borrowed_wake_by_ref(this: *const WakerHeader) {
    // SAFETY: as for clone.
    let borrowed = unsafe { &*this.cast::<BorrowedWaker<'_>>() };
    crate::catch_quietly(|| borrowed.waker.wake_by_ref());
}

unsafe extern "C" fn borrowed_drop(_: *const WakerHeader) {}

impl<'a> BorrowedWaker<'a> {
    /// Lends `waker`; a clone made meanwhile is remembered in `kept`.
    fn new(waker: &'a Waker, kept: &'a mut Option<Arc<SharedWaker>>) -> Self {
        let header = WakerHeader {
            maker: &raw const MAKER,
            clone: borrowed_clone,
            wake: borrowed_wake_by_ref,
            wake_by_ref: borrowed_wake_by_ref,
            drop: borrowed_drop,
        };
        BorrowedWaker { header, waker, kept }
    }

    /// Calls `poll` with a pointer for the other side.
    ///
    /// Once the other side has kept a clone, it is given the very same object again: `Waker::will_wake` then holds, and
    /// nothing is registered anew at each poll.
    pub fn poll<R>(
        waker: &Waker,
        kept: &mut Option<Arc<SharedWaker>>,
        poll: impl FnOnce(*const WakerHeader) -> R,
    ) -> R {
        if std::ptr::eq(waker.vtable(), &raw const IMPORTED) {
            // It came from the other side: it goes back as it was, without another layer around it.
            return poll(waker.data().cast());
        }
        if let Some(shared) = kept.as_ref().filter(|shared| shared.wakes(waker)) {
            let shared = shared.clone();
            return poll(shared.lend());
        }
        let mut borrowed = BorrowedWaker::new(waker, kept);
        poll(std::ptr::from_mut(&mut borrowed).cast())
    }
}

static IMPORTED: RawWakerVTable = RawWakerVTable::new(
    |data| {
        let header = data.cast::<WakerHeader>();
        // SAFETY: `data` is a live waker of the other side (see `DirectWaker::with`); its clone returns an owned one.
        RawWaker::new(unsafe { ((*header).clone)(header) }.cast(), &IMPORTED)
    },
    |data| {
        let header = data.cast::<WakerHeader>();
        // SAFETY: std calls this once with the owned waker that clone returned.
        unsafe { ((*header).wake)(header) }
    },
    |data| {
        let header = data.cast::<WakerHeader>();
        // SAFETY: the waker is live for the call.
        unsafe { ((*header).wake_by_ref)(header) }
    },
    |data| {
        let header = data.cast::<WakerHeader>();
        // SAFETY: std calls this once with an owned waker; a borrowed one sits in a ManuallyDrop.
        unsafe { ((*header).drop)(header) }
    },
);

/// How a side that is polled lets its own code see the other side's waker.
pub trait BorrowWaker {
    /// Runs `body` with a context that wakes `waker`.
    ///
    /// # Safety
    /// `waker` must be live until the call returns.
    unsafe fn with<R>(&mut self, waker: *const WakerHeader, body: impl FnOnce(&mut Context<'_>) -> R) -> R;
}

/// The other side's waker, used as it is. Right inside a plugin, for the host outlives it.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectWaker;

impl BorrowWaker for DirectWaker {
    unsafe fn with<R>(&mut self, waker: *const WakerHeader, body: impl FnOnce(&mut Context<'_>) -> R) -> R {
        // SAFETY: the vtable matches the header's functions; ManuallyDrop leaves the borrowed waker to its owner.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(waker.cast(), &IMPORTED)) });
        body(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_waker_can_be_kept_cloned_and_used_from_another_thread() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut kept = None;
        let stored = BorrowedWaker::poll(&waker, &mut kept, |header| {
            // SAFETY: the header lives for this closure.
            unsafe { DirectWaker.with(header, |context| context.waker().clone()) }
        });
        let second = stored.clone();
        std::thread::spawn(move || {
            second.wake_by_ref();
            second.wake();
        })
        .join()
        .unwrap();
        drop(stored);
        drop(kept);
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 1, "every clone was freed");
    }

    #[test]
    fn a_waker_goes_back_as_it_was() {
        let waker = Waker::noop();
        BorrowedWaker::poll(waker, &mut None, |outer| {
            // SAFETY: the header lives for this closure.
            unsafe {
                assert!((*outer).made_here());
                DirectWaker.with(outer, |context| {
                    BorrowedWaker::poll(context.waker(), &mut None, |inner| assert!(std::ptr::eq(inner, outer)));
                });
            }
        });
    }

    #[test]
    fn polling_again_shows_the_same_waker() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count);
        let mut kept = None;
        let mut poll = || {
            BorrowedWaker::poll(&waker, &mut kept, |header| {
                // SAFETY: the header lives for this closure.
                unsafe { DirectWaker.with(header, |context| context.waker().clone()) }
            })
        };
        let (first, second) = (poll(), poll());
        assert!(first.will_wake(&second));
    }
}
