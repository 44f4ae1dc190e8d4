//! Counts the bytes that the plugin holds, so that the host can tell what it left behind (the feature `count-memory`).
//!
//! Every allocation and every release costs an atomic addition, some 7 ns, which is why a plugin has to ask for it. What counts
//! is what goes through Rust's allocator; memory that C code gets by itself does not.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicI64, Ordering},
};

/// One for each cache line, so that threads do not wait for one another.
#[repr(align(64))]
struct Shard(AtomicI64);

const SHARDS: usize = 16;

static HELD: [Shard; SHARDS] = [const { Shard(AtomicI64::new(0)) }; SHARDS];

/// Adds to the shard of this thread: threads are told apart by where their stacks lie, for a library's thread-locals cost more
/// than all the rest of this.
#[inline]
fn add(bytes: i64) {
    let here = 0u8;
    let stack = (&raw const here).addr() >> 21;
    HELD[stack % SHARDS].0.fetch_add(bytes, Ordering::Relaxed);
}

/// No layout is larger than `isize::MAX`.
#[inline]
fn signed(size: usize) -> i64 {
    size as i64
}

/// How many bytes the plugin holds.
pub(crate) extern "C" fn held() -> u64 {
    let sum: i64 = HELD.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum();
    // Others may be at work meanwhile, and be seen by half.
    u64::try_from(sum).unwrap_or(0)
}

struct Counting;

// SAFETY: the system's allocator does it all; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on as it came.
        let made = unsafe { System.alloc(layout) };
        if !made.is_null() {
            add(signed(layout.size()));
        }
        made
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on as it came.
        let made = unsafe { System.alloc_zeroed(layout) };
        if !made.is_null() {
            add(signed(layout.size()));
        }
        made
    }

    #[inline]
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        add(-signed(layout.size()));
        // SAFETY: passed on as it came.
        unsafe { System.dealloc(place, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: passed on as it came.
        let made = unsafe { System.realloc(place, layout, size) };
        if !made.is_null() {
            add(signed(size) - signed(layout.size()));
        }
        made
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
