//! What the SDK intercepts inside a plugin and hands to the host: everything that would outlive the library.

use abi_stable::StableAbi;

/// A thread-local's destructor, run on the thread that registered it.
pub type ThreadDestructor = unsafe extern "C" fn(*mut ());

/// A pthread key's destructor. Nullable, as in C.
pub type KeyDestructor = Option<unsafe extern "C" fn(*mut ())>;

/// What a new thread runs. It may unwind: that is how `pthread_exit` ends a thread.
pub type ThreadStart = unsafe extern "C-unwind" fn(*mut ()) -> *mut ();

/// The host's side of the interception. Each function takes `context` first and answers as the C function it stands for.
#[repr(C)]
#[derive(StableAbi)]
pub struct Hooks {
    /// The host's record of this generation; valid while the library is mapped.
    pub context: *const (),
    /// For `__cxa_thread_atexit_impl`. `thread` is 0 for the calling thread, or the id of the thread that registered it
    /// before these hooks were in place.
    pub thread_destructor: unsafe extern "C" fn(*const (), destructor: usize, object: *mut (), thread: i32) -> i32,
    /// For `pthread_key_create`: the key is already made, without a destructor that libc would know of.
    pub key_created: unsafe extern "C" fn(*const (), key: u32, destructor: usize),
    /// For `pthread_key_delete`, before the key goes.
    pub key_deleted: unsafe extern "C" fn(*const (), key: u32),
    /// For `pthread_create`: `thread` and `attributes` are its first two arguments; `start` is a `ThreadStart`.
    pub thread_create:
        unsafe extern "C" fn(*const (), thread: *mut (), attributes: *const (), start: usize, argument: *mut ()) -> i32,
    /// A thread that was started before these hooks were in place.
    pub thread_found: unsafe extern "C" fn(*const (), thread: i32),
    /// For `sigaction` (and `signal`): `action` and `before` are its last two arguments, either of which may be null. 0, or the
    /// number of an error.
    pub signal_action: unsafe extern "C" fn(*const (), signal: i32, action: *const (), before: *mut ()) -> i32,
    /// The plugin has opened this descriptor, by whatever function.
    pub descriptor_opened: unsafe extern "C" fn(*const (), descriptor: i32),
    /// The plugin is about to close this descriptor, or to hand it to libc.
    pub descriptor_closed: unsafe extern "C" fn(*const (), descriptor: i32),
}

// SAFETY: `context` refers to a record that is made for use from all threads, and the functions may be called on any.
unsafe impl Sync for Hooks {}
// SAFETY: as above.
unsafe impl Send for Hooks {}
