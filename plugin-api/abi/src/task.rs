//! A request in progress: a future whose outcome is a response.

use crate::{Body, ByteStream, Failure, ResponseHead, WakerHeader};
use abi_stable::{StableAbi, std_types::ROption};
use std::marker::PhantomData;

/// How a poll of a request ended.
#[repr(u8)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollTask {
    /// Not yet; the waker will be woken.
    Pending,
    /// The sink was given a response or a failure. The task is not polled again.
    Done,
}

/// Where a request's outcome goes. Borrowed for the poll; one of the functions is called, once, before `Done`.
#[repr(C)]
#[derive(StableAbi)]
pub struct ResponseSink<'a> {
    /// The receiver's own.
    pub context: *mut (),
    /// A response. With status 101 (or 2xx to an extended CONNECT) the stream is the upgraded connection.
    pub response: unsafe extern "C" fn(*mut (), &ResponseHead<'_>, Body, ROption<ByteStream>),
    /// There will be no response.
    pub failed: unsafe extern "C" fn(*mut (), &Failure<'_>),
    /// Ties the sink to the call.
    pub lifetime: PhantomData<&'a mut ()>,
}

/// The functions of a task.
#[repr(C)]
#[derive(StableAbi)]
pub struct TaskTable {
    /// Polls; the waker is borrowed for the call.
    pub poll: unsafe extern "C" fn(*mut (), *const WakerHeader, &ResponseSink<'_>) -> PollTask,
    /// Frees; also how a request is cancelled.
    pub drop: unsafe extern "C" fn(*mut ()),
}

/// An owned task.
#[repr(C)]
#[derive(StableAbi)]
pub struct Task {
    state: *mut (),
    table: *const TaskTable,
}

// SAFETY: whoever makes a task promises a state that may move between threads (`Task::new`).
unsafe impl Send for Task {}

impl Task {
    /// A task from its parts.
    ///
    /// # Safety
    /// `state` must be valid for `table`'s functions until `drop` has run, and be `Send`.
    pub unsafe fn new(state: *mut (), table: &'static TaskTable) -> Self {
        Task { state, table }
    }

    /// Polls once. After `Done` it must not be polled again.
    ///
    /// # Safety
    /// `waker` must be live until this returns.
    pub unsafe fn poll(&mut self, waker: *const WakerHeader, sink: &ResponseSink<'_>) -> PollTask {
        // SAFETY: state and table belong together (`new`), `&mut self` makes this the only call, the sink is borrowed from a
        // caller who waits, and so is the waker, as the caller promises.
        unsafe { ((*self.table).poll)(self.state, waker, sink) }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // SAFETY: runs once; state and table belong together.
        unsafe { ((*self.table).drop)(self.state) }
    }
}
