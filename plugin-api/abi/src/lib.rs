//! The contract between a Camlock host and a plugin, version 1.
//!
//! Here live the types that cross the boundary, the names of the sections that an artifact carries, and the adapters that
//! *both* sides need to speak through them (wakers, bytes, bodies, headers). What must not live here: I/O, policy, anything
//! that only one side needs, and any type of `tokio`, `tracing` or `std` that keeps process-wide state, because each library
//! has its own copy of that state.
//!
//! The rules of the boundary, which every function in this crate keeps:
//!
//! * Nothing unwinds across. Every function that may run foreign or fallible code catches panics on its own side.
//! * Nothing is freed on the side that did not allocate it. What crosses is *borrowed* for the duration of one call
//!   (slices, heads, failures, sinks), or *owned* and then carries the function that frees it.
//! * Types marked as growing (`Root`, `HostTable`) gain fields at their end only. All others are fixed for all of 1.x.

mod answer;
mod body;
mod built_in;
mod bytes;
mod exported;
mod failure;
mod head;
mod hooks;
mod host;
mod job;
mod root;
pub mod section;
mod stream;
mod task;
mod waker;

pub use crate::{
    answer::{ImportTask, TaskAnswer},
    body::{Body, BodyTable, ExportedBody, FrameSink, ImportBody, PollFrame},
    built_in::BuiltIn,
    bytes::OwnedBytes,
    failure::{Caught, Failure, FailureKind, FailureMessage, catch, catch_quietly, record_panics},
    head::{
        Extra, HeaderList, HeaderPair, Peer, RefusedHead, RequestHead, ResponseHead, decode_good_headers,
        decode_headers, encode_headers, values_len,
    },
    hooks::{Hooks, KeyDestructor, ThreadDestructor, ThreadStart},
    host::{EventView, FieldValue, FieldView, HostRef, HostTable, HostTableRef, Level, SpanView, ValueKind},
    job::{Job, JobSink, JobTable, PollJob},
    root::{Entry, Object, OpenOptions, Root, RootRef, TAKEN_LIVE, TextSink},
    stream::{ByteStream, IoPoll, IoState, StreamTable},
    task::{PollTask, ResponseSink, Task, TaskTable},
    waker::{BorrowWaker, BorrowedWaker, DirectWaker, SharedWaker, WakerHeader},
};
pub use abi_stable::{
    self,
    std_types::{RSlice, RStr},
};

use abi_stable::StableAbi;

/// The version of the contract that an artifact was built for, or that a host offers.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbiVersion {
    /// Sides with different majors cannot speak at all.
    pub major: u16,
    /// A later minor only adds; each side may be the older one.
    pub minor: u16,
}

impl std::fmt::Display for AbiVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// The version of the contract that this crate is.
pub const ABI: AbiVersion = AbiVersion { major: 1, minor: 0 };

/// [`ABI`] as text, for the section that is read without running the file.
pub const ABI_TEXT: &str = "1.0";

/// What a host at this version can be asked for. A plugin names those it cannot do without.
pub const HOST_FEATURES: &[&str] = &["log", "trace", "time", "spawn", "config", "mount", "dir", "env", "ask"];
