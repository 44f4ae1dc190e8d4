//! The firewall between a plugin's wakers and the host's channels.
//!
//! A future of the host that a plugin polls would keep the plugin's waker wherever it registers it, and that place may outlive
//! the plugin. So the host's futures only ever see a waker of the host, whose slot holds the plugin's. The slot is emptied
//! when the future is dropped, and a plugin's waker is touched only under a lease.

use crate::inside::Inside;
use camlock_abi::{BorrowWaker, DirectWaker, WakerHeader};
use camlock_policy::{Use, Watch};
use parking_lot::Mutex;
use std::{
    mem::ManuallyDrop,
    sync::Arc,
    task::{Context, Wake, Waker},
};

/// How the host's futures see the wakers of a plugin.
pub(crate) struct Firewall {
    plugin: Watch,
    /// The slot, and the slot as a waker. Made when the plugin first polls with a waker of its own, which most never do.
    slot: Option<(Arc<WakerSlot>, Waker)>,
}

struct WakerSlot {
    plugin: Watch,
    /// Never dropped without a lease: its functions lie in the plugin.
    held: Mutex<Option<ManuallyDrop<Waker>>>,
}

impl Firewall {
    pub(crate) fn new(plugin: Watch) -> Self {
        Firewall { plugin, slot: None }
    }
}

impl BorrowWaker for Firewall {
    unsafe fn with<R>(&mut self, waker: *const WakerHeader, body: impl FnOnce(&mut Context<'_>) -> R) -> R {
        // SAFETY: the waker is live until this returns, as the caller promises.
        if unsafe { (*waker).made_here() } {
            // The plugin polls with the waker that it was polled with: the host's own. This is the common case.
            // SAFETY: as above.
            return unsafe { DirectWaker.with(waker, body) };
        }
        let (slot, own) = self.slot.get_or_insert_with(|| {
            let slot = Arc::new(WakerSlot { plugin: self.plugin.clone(), held: Mutex::new(None) });
            (slot.clone(), Waker::from(slot))
        });
        // SAFETY: as above.
        unsafe { DirectWaker.with(waker, |context| slot.keep(context.waker())) };
        body(&mut Context::from_waker(own))
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        if let Some((slot, _)) = &self.slot {
            slot.clear();
        }
    }
}

impl WakerSlot {
    fn keep(&self, waker: &Waker) {
        let known = self.held.lock().as_ref().is_some_and(|held| held.will_wake(waker));
        if !known {
            // Cloned and dropped outside the lock: both run the plugin's code.
            let clone = ManuallyDrop::new(waker.clone());
            let before = self.held.lock().replace(clone);
            self.let_go(before);
        }
    }

    fn clear(&self) {
        let held = self.held.lock().take();
        self.let_go(held);
    }

    /// Drops a waker of the plugin, if the plugin is still there; else it is left as it is.
    fn let_go(&self, held: Option<ManuallyDrop<Waker>>) {
        if let (Some(held), Some(_lease)) = (held, self.plugin.try_share(Use::Waker)) {
            drop(ManuallyDrop::into_inner(held));
        }
    }
}

impl Wake for WakerSlot {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(lease) = self.plugin.try_share(Use::Waker) else { return };
        let held = self.held.lock().take();
        if let Some(held) = held {
            let _inside = Inside::enter(lease.generation());
            ManuallyDrop::into_inner(held).wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_abi::BorrowedWaker;
    use camlock_policy::Lease;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_hosts_own_waker_passes_through() {
        let lease = Lease::first(|| ());
        let mut firewall = Firewall::new(lease.watch());
        let count = Arc::new(Count::default());
        let stored = BorrowedWaker::poll(&Waker::from(count.clone()), &mut None, |header| {
            // SAFETY: the header lives for this closure.
            unsafe { firewall.with(header, |context| context.waker().clone()) }
        });
        drop(firewall);
        stored.wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_slot_that_was_cleared_or_outlived_its_plugin_wakes_nobody() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let lease = Lease::first(|| ());
        let slot = Arc::new(WakerSlot { plugin: lease.watch(), held: Mutex::new(None) });
        slot.keep(&waker);
        slot.keep(&waker);
        slot.clone().wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        slot.keep(&waker);
        slot.clear();
        slot.clone().wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        slot.keep(&waker);
        drop(lease);
        slot.wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "the plugin has ended: its waker is not touched");
    }
}
