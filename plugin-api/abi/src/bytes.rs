//! Bytes that are read on one side and freed on the other: handed over whole, never copied.

use abi_stable::StableAbi;
use bytes::Bytes;
use std::mem::{MaybeUninit, align_of, size_of};

/// A run of bytes owned by whoever holds this value and freed by whoever made it.
///
/// The maker keeps its own handle in `state`, so that handing over costs no allocation.
#[repr(C)]
#[derive(StableAbi)]
pub struct OwnedBytes {
    start: *const u8,
    len: usize,
    state: [usize; 4],
    free: unsafe extern "C" fn(*mut [usize; 4]),
}

// SAFETY: the bytes are immutable, and the only state is a `Bytes` of the maker, which is Send and Sync; `free` drops that
// and may run on any thread.
unsafe impl Send for OwnedBytes {}
// SAFETY: as above; a shared reference gives out nothing but `&[u8]`.
unsafe impl Sync for OwnedBytes {}

const _: () = assert!(size_of::<Bytes>() <= size_of::<[usize; 4]>());
const _: () = assert!(align_of::<Bytes>() <= align_of::<[usize; 4]>());

unsafe extern "C" fn free_bytes(state: *mut [usize; 4]) {
    // A `Bytes` may own anything (`Bytes::from_owner`), whose drop may panic: that must not cross.
    crate::catch_quietly(|| {
        // SAFETY: `state` holds the `Bytes` that `OwnedBytes::from` moved in; the caller (drop) runs this once and never
        // looks at the state again.
        drop(unsafe { state.cast::<Bytes>().read() });
    });
}

impl From<Bytes> for OwnedBytes {
    fn from(bytes: Bytes) -> Self {
        let (start, len) = (bytes.as_ptr(), bytes.len());
        let mut state = MaybeUninit::new([0usize; 4]);
        // SAFETY: size and alignment of `Bytes` fit, as the assertions above check. A `Bytes` may be moved freely: its
        // contents stay where `start` points, and it is not touched through the old place again.
        let state = unsafe {
            state.as_mut_ptr().cast::<Bytes>().write(bytes);
            state.assume_init()
        };
        OwnedBytes { start, len, state, free: free_bytes }
    }
}

impl AsRef<[u8]> for OwnedBytes {
    fn as_ref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the maker promises `len` initialised bytes at `start`, unchanged until `free` runs, which is in our drop.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for OwnedBytes {
    fn drop(&mut self) {
        // SAFETY: called once, by the owner, with the maker's own state.
        unsafe { (self.free)(&mut self.state) }
    }
}

/// Below this many bytes a copy is cheaper than the bookkeeping of a hand-over.
const COPY_BELOW: usize = 256;

impl OwnedBytes {
    /// Turns received bytes into a `Bytes` of this side. `guard` lives as long as the foreign memory is referred to.
    pub fn into_bytes<G: Send + 'static>(self, guard: impl FnOnce() -> G) -> Bytes {
        struct Guarded<G>(OwnedBytes, #[allow(dead_code, reason = "held for its drop")] G);
        impl<G> AsRef<[u8]> for Guarded<G> {
            fn as_ref(&self) -> &[u8] {
                self.0.as_ref()
            }
        }
        if self.len <= COPY_BELOW {
            return Bytes::copy_from_slice(self.as_ref());
        }
        // The foreign bytes are dropped before the guard: fields drop in order.
        Bytes::from_owner(Guarded(self, guard()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn bytes_cross_without_a_copy_and_are_freed_once() {
        let owner = Arc::new(vec![7u8; 1000]);
        struct Owner(Arc<Vec<u8>>);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let bytes = Bytes::from_owner(Owner(owner.clone()));
        let start = bytes.as_ptr();
        let guard = Arc::new(());
        let received = OwnedBytes::from(bytes).into_bytes(|| guard.clone());
        assert_eq!(received.as_ptr(), start);
        assert_eq!(received[..], owner[..]);
        assert_eq!(Arc::strong_count(&guard), 2);
        let slice = received.slice(10..20);
        drop(received);
        assert_eq!(Arc::strong_count(&owner), 2, "a slice keeps the memory");
        drop(slice);
        assert_eq!((Arc::strong_count(&owner), Arc::strong_count(&guard)), (1, 1));
    }

    #[test]
    fn small_and_empty_bytes_are_copied_and_hold_nothing() {
        for len in [0, 1, COPY_BELOW] {
            let guard = Arc::new(());
            let received = OwnedBytes::from(Bytes::from(vec![1u8; len])).into_bytes(|| guard.clone());
            assert_eq!(received.len(), len);
            assert_eq!(Arc::strong_count(&guard), 1);
        }
    }
}
