//! Byte streams both ways: what remains of a connection once it was upgraded. Only plugins make them.

use crate::WakerHeader;
use abi_stable::StableAbi;

/// How a call on a stream ended.
#[repr(u8)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoState {
    /// Nothing yet; the waker will be woken.
    Pending,
    /// Done; for reads and writes with so many bytes (0 read: the end).
    Ready,
    /// The stream is broken.
    Broken,
}

/// The outcome of a call on a stream.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoPoll {
    /// How it ended.
    pub state: IoState,
    /// How many bytes went.
    pub count: usize,
}

impl IoPoll {
    /// Nothing yet.
    pub const PENDING: IoPoll = IoPoll { state: IoState::Pending, count: 0 };
    /// Broken.
    pub const BROKEN: IoPoll = IoPoll { state: IoState::Broken, count: 0 };

    /// So many bytes went.
    pub const fn ready(count: usize) -> IoPoll {
        IoPoll { state: IoState::Ready, count }
    }
}

/// The functions of a stream.
#[repr(C)]
#[derive(StableAbi)]
pub struct StreamTable {
    /// Reads into the caller's memory.
    pub read: unsafe extern "C" fn(*mut (), *const WakerHeader, *mut u8, usize) -> IoPoll,
    /// Writes from the caller's memory.
    pub write: unsafe extern "C" fn(*mut (), *const WakerHeader, *const u8, usize) -> IoPoll,
    /// Passes on what was written.
    pub flush: unsafe extern "C" fn(*mut (), *const WakerHeader) -> IoPoll,
    /// Ends the direction towards the maker.
    pub shutdown: unsafe extern "C" fn(*mut (), *const WakerHeader) -> IoPoll,
    /// Frees.
    pub drop: unsafe extern "C" fn(*mut ()),
}

/// An owned stream.
#[repr(C)]
#[derive(StableAbi)]
pub struct ByteStream {
    state: *mut (),
    table: *const StreamTable,
}

// SAFETY: whoever makes a stream promises a state that may move between threads (`ByteStream::new`).
unsafe impl Send for ByteStream {}

impl ByteStream {
    /// A stream from its parts.
    ///
    /// # Safety
    /// `state` must be valid for `table`'s functions until `drop` has run, and be `Send`.
    pub unsafe fn new(state: *mut (), table: &'static StreamTable) -> Self {
        ByteStream { state, table }
    }

    /// Reads; a count beyond the memory that was offered is taken as a break.
    ///
    /// # Safety
    /// `waker` must be live until this returns.
    pub unsafe fn read(&mut self, waker: *const WakerHeader, into: &mut [u8]) -> IoPoll {
        // SAFETY: state and table belong together, `&mut self` makes this the only call, the memory is ours to
        // lend, and the waker is live, as the caller promises.
        let polled = unsafe { ((*self.table).read)(self.state, waker, into.as_mut_ptr(), into.len()) };
        if polled.count > into.len() { IoPoll::BROKEN } else { polled }
    }

    /// Writes; a count beyond what was offered is taken as a break.
    ///
    /// # Safety
    /// `waker` must be live until this returns.
    pub unsafe fn write(&mut self, waker: *const WakerHeader, from: &[u8]) -> IoPoll {
        // SAFETY: as for read.
        let polled = unsafe { ((*self.table).write)(self.state, waker, from.as_ptr(), from.len()) };
        if polled.count > from.len() { IoPoll::BROKEN } else { polled }
    }

    /// Passes on what was written.
    ///
    /// # Safety
    /// `waker` must be live until this returns.
    pub unsafe fn flush(&mut self, waker: *const WakerHeader) -> IoPoll {
        // SAFETY: as for read.
        unsafe { ((*self.table).flush)(self.state, waker) }
    }

    /// Ends the direction towards the maker.
    ///
    /// # Safety
    /// `waker` must be live until this returns.
    pub unsafe fn shutdown(&mut self, waker: *const WakerHeader) -> IoPoll {
        // SAFETY: as for read.
        unsafe { ((*self.table).shutdown)(self.state, waker) }
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        // SAFETY: runs once; state and table belong together.
        unsafe { ((*self.table).drop)(self.state) }
    }
}
