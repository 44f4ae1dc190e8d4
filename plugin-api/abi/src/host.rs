//! The host's side: a table of functions that grows at its end.

use crate::{Body, Failure, Job, RequestHead, Task, TextSink};
use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};

/// How loud an event or a span is; a lower number is more severe, as in `tracing`'s order.
#[repr(u8)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 1
    Error = 1,
    /// 2
    Warn,
    /// 3
    Info,
    /// 4
    Debug,
    /// 5
    Trace,
}

/// How a field's text is to be read.
#[repr(u8)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A string, as it is.
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// What `Debug` or `Display` printed.
    Printed,
}

/// A field's value as text.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct FieldValue<'a> {
    /// How to read it.
    pub kind: ValueKind,
    /// The text.
    pub text: RStr<'a>,
}

/// A field of an event or a span.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct FieldView<'a> {
    /// Its name; `message` is the event's sentence.
    pub name: RStr<'a>,
    /// Its value.
    pub value: FieldValue<'a>,
}

/// An event, borrowed for the call.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct EventView<'a> {
    /// How loud.
    pub level: Level,
    /// Usually the module that speaks.
    pub target: RStr<'a>,
    /// `file:line`, or empty.
    pub location: RStr<'a>,
    /// 0 for the span that is current on this thread, 1 for none at all, else a span's id plus one.
    pub parent: u64,
    /// Message and fields.
    pub fields: RSlice<'a, FieldView<'a>>,
}

/// A new span, borrowed for the call.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct SpanView<'a> {
    /// How loud.
    pub level: Level,
    /// Usually the module that opens it.
    pub target: RStr<'a>,
    /// Its name.
    pub name: RStr<'a>,
    /// 0 for the span that is current on this thread, 1 for none at all, else a span's id plus one.
    pub parent: u64,
    /// Its fields.
    pub fields: RSlice<'a, FieldView<'a>>,
}

/// What a host offers. `context` comes first in every function; all may be called from any thread.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostTableRef)))]
#[sabi(missing_field(option))]
pub struct HostTable {
    /// The features of this host, beyond those every 1.0 host has.
    pub features: unsafe extern "C" fn(*const ()) -> RSlice<'static, RStr<'static>>,
    /// A panic that had nobody to return to: `place` says where it was caught.
    pub panicked: unsafe extern "C" fn(*const (), place: RStr<'_>, &Failure<'_>),
    /// Where the loudest level that anybody listens to is kept, as a number that changes (0: nobody listens).
    pub level: unsafe extern "C" fn(*const ()) -> *const u8,
    /// Records an event.
    pub event: unsafe extern "C" fn(*const (), &EventView<'_>),
    /// Opens a span: its id, never 0.
    pub span_new: unsafe extern "C" fn(*const (), &SpanView<'_>) -> u64,
    /// Adds fields to a span.
    pub span_record: unsafe extern "C" fn(*const (), u64, RSlice<'_, FieldView<'_>>),
    /// Notes that a span follows from another.
    pub span_follows: unsafe extern "C" fn(*const (), u64, u64),
    /// Enters a span on this thread.
    pub span_enter: unsafe extern "C" fn(*const (), u64),
    /// Leaves a span on this thread.
    pub span_exit: unsafe extern "C" fn(*const (), u64),
    /// One more handle on a span.
    pub span_clone: unsafe extern "C" fn(*const (), u64) -> u64,
    /// One handle less; true if it was the last.
    pub span_close: unsafe extern "C" fn(*const (), u64) -> bool,
    /// Writes the trace id of the request that this thread is handling, or zeros.
    pub trace: unsafe extern "C" fn(*const (), &mut [u8; 16]),
    /// Nanoseconds since 1970, by the host's clock.
    pub now: unsafe extern "C" fn(*const ()) -> u64,
    /// Done after so many nanoseconds, on the host's timer.
    pub sleep: unsafe extern "C" fn(*const (), u64) -> Job,
    /// Runs a job on the host's runtime: its id.
    pub spawn: unsafe extern "C" fn(*const (), Job) -> u64,
    /// Drops a spawned job, soon.
    pub abort: unsafe extern "C" fn(*const (), u64),
    /// Gives one text to the sink, or none if there is none by that name. `config`: the configuration, a JSON object, which this
    /// generation began with, or which its `configure` took over since. `mount`: the path below which the plugin answers.
    /// `dir`: the plugin's own directory, an absolute path; it exists. `scratch`: the same of this generation, which the host
    /// removes with it.
    pub text: unsafe extern "C" fn(*const (), name: RStr<'_>, &TextSink<'_>),
    /// Asks a service of the host: a request whose target begins with the service's name and version (`/storage/1/…`). An answer
    /// that is none of 2xx is an error, with its code in the header `x-code`. Dropping the task takes the question back.
    pub ask: unsafe extern "C" fn(*const (), &RequestHead<'_>, Body) -> Task,
    /// Where a number is kept that grows whenever what [`HostTable::text`] tells becomes another: what was read at the same number
    /// need not be read again. It is read atomically.
    pub revision: unsafe extern "C" fn(*const ()) -> *const u64,
    /// The plugin's environment: pointers to C strings `KEY=value`, a null pointer at the end; the process's own with the
    /// operator's variables for this plugin laid over it, as it was when the library was opened. Valid, and unchanged, while the
    /// library is mapped.
    #[sabi(last_prefix_field)]
    pub environment: unsafe extern "C" fn(*const ()) -> *const *const u8,
}

/// The host, as one plugin sees it. Valid while that plugin's library is mapped.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct HostRef {
    /// The host's record of this generation.
    pub context: *const (),
    /// Its functions.
    pub table: HostTableRef,
}

// SAFETY: the host makes its record for use from all threads.
unsafe impl Send for HostRef {}
// SAFETY: as above.
unsafe impl Sync for HostRef {}
