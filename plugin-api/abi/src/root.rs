//! The plugin's side: the root module and the entry through which it is found.

use crate::{AbiVersion, Body, Hooks, HostRef, Job, RequestHead, Task};
use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
    type_layout::TypeLayout,
};
use std::marker::PhantomData;

/// A plugin's instance; what it is, only the plugin knows.
#[repr(C)]
#[derive(StableAbi)]
pub struct Object {
    unseen: [u8; 0],
}

/// How an instance is to be made.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct OpenOptions<'a> {
    /// The library is in a process of its own only to be looked at: `start` will never be called.
    pub verifying: bool,
    /// Whether the plugin gets a tokio runtime (`runtime` in its manifest).
    pub runtime: bool,
    /// The plugin's name, for its threads.
    pub name: RStr<'a>,
}

/// Where a text goes. Borrowed for the call.
#[repr(C)]
#[derive(StableAbi)]
pub struct TextSink<'a> {
    /// The receiver's own.
    pub context: *mut (),
    /// Takes one named text.
    pub text: unsafe extern "C" fn(*mut (), name: RStr<'_>, text: RSlice<'_, u8>),
    /// Ties the sink to the call.
    pub lifetime: PhantomData<&'a mut ()>,
}

/// The functions of a plugin. Grows at its end.
///
/// The order of calls: `install`, once, before anything else (and before the constructors, where the host runs these
/// itself); `open` makes an
/// instance; `create` until it is done; `describe`; in a server also `start`, and from then on `handle`, `upgrade`, `deliver`,
/// `health` from any thread at once, and `configure`, one at a time; `save`, `shutdown`; `close` when everything the instance gave out
/// was freed. Every job and task refers to its instance, which the host closes last.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef)))]
#[sabi(missing_field(option))]
pub struct Root {
    /// The contract this plugin was built for.
    pub abi: AbiVersion,
    /// What the plugin can do beyond 1.0.
    pub features: RSlice<'static, RStr<'static>>,
    /// Puts the interception in place. Must not count on the library's constructors.
    pub install: unsafe extern "C" fn(&'static Hooks),
    /// Makes an empty instance. It does not run the author's code. Null: it could not.
    pub open: unsafe extern "C" fn(HostRef, &OpenOptions<'_>) -> *mut Object,
    /// Runs the author's `create` and `routes`.
    pub create: unsafe extern "C" fn(*mut Object) -> Job,
    /// Tells what there is to tell: `openapi` (a JSON document), where there is one; `memory` (the address of an
    /// `extern "C" fn() -> u64`, in native order, that says how many bytes the plugin holds), where they are counted;
    /// `config-schema` (a JSON Schema), where a type of the plugin's says what its configuration is like. It may be asked before
    /// `create` too, for what does not depend on that.
    pub describe: unsafe extern "C" fn(*mut Object, &TextSink<'_>),
    /// Begins work.
    pub start: unsafe extern "C" fn(*mut Object) -> Job,
    /// Answers a request.
    pub handle: unsafe extern "C" fn(*mut Object, &RequestHead<'_>, Body) -> Task,
    /// Answers a request that asks for another protocol on its connection.
    pub upgrade: unsafe extern "C" fn(*mut Object, &RequestHead<'_>, Body) -> Task,
    /// Fails if the plugin is not well.
    pub health: unsafe extern "C" fn(*mut Object) -> Job,
    /// State for a successor: an empty outcome for none, else a 1 and the bytes.
    pub save: unsafe extern "C" fn(*mut Object) -> Job,
    /// State of a predecessor, and that one's version.
    pub restore: unsafe extern "C" fn(*mut Object, version: RStr<'_>, state: RSlice<'_, u8>) -> Job,
    /// Ends work.
    pub shutdown: unsafe extern "C" fn(*mut Object) -> Job,
    /// Another configuration, a JSON object, while it serves. The outcome is [`TAKEN_LIVE`] if the instance goes on with it,
    /// and anything else if only an instance that begins with it can. A failure: it is refused, and what was there before holds.
    pub configure: unsafe extern "C" fn(*mut Object, config: RStr<'_>) -> Job,
    /// Answers what the host brings to the plugin beside requests of clients, as its target says. A plugin that takes nothing of
    /// the kind answers 404, with `not_found` in the header `x-code`.
    pub deliver: unsafe extern "C" fn(*mut Object, &RequestHead<'_>, Body) -> Task,
    /// Frees the instance and ends its runtime. Blocks, within bounds.
    #[sabi(last_prefix_field)]
    pub close: unsafe extern "C" fn(*mut Object),
}

/// The outcome of [`Root::configure`] that says that the instance goes on with it.
pub const TAKEN_LIVE: &[u8] = &[1];

/// What the exported symbol is.
#[repr(C)]
pub struct Entry {
    /// The functions.
    pub root: RootRef,
    /// The layout of [`Root`] and all that it mentions, as the plugin was built.
    pub root_layout: &'static TypeLayout,
    /// The layout of the host's table, as the plugin was built.
    pub host_layout: &'static TypeLayout,
}

impl Entry {
    /// The entry for these functions.
    pub const fn new(root: RootRef) -> Self {
        Entry {
            root,
            root_layout: <RootRef as StableAbi>::LAYOUT,
            host_layout: <crate::HostTableRef as StableAbi>::LAYOUT,
        }
    }
}
