//! What is called of a loaded plugin: its table of functions, and the object that they get.
//!
//! What must not live here: any call.

use camlock_abi::{Object, RootRef};

/// The plugin's functions and its object, as long as somebody holds a lease.
#[derive(Clone, Copy)]
pub(crate) struct Functions {
    pub(crate) root: RootRef,
    pub(crate) object: *mut Object,
}

// SAFETY: the contract lets every function be called from any thread, and the object is only ever passed to them.
unsafe impl Send for Functions {}
// SAFETY: as above.
unsafe impl Sync for Functions {}
