//! What holds a build: files, with Landlock, and the ways around them, with seccomp. Its network is open.
//!
//! What must not live here: which files.

use super::{calls, files};
use crate::sys;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use std::path::PathBuf;

/// Closes this process, and all that it starts, but for what may be read, what may be run too, and what may be changed besides. In a
/// process with one thread. Or says why it is not wholly closed.
pub fn fence_build(read: &[PathBuf], run: &[PathBuf], write: &[PathBuf]) -> Result<(), String> {
    set_no_new_privs(true).map_err(|error| format!("setuid programs may still raise it: {error}"))?;
    // A build as root works with files of whoever packed them; nothing else of what root may is needed.
    let kept = CapabilitySet::DAC_OVERRIDE | CapabilitySet::CHOWN | CapabilitySet::FOWNER | CapabilitySet::FSETID;
    let had = rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted);
    let (left, none) = (had & kept, CapabilitySet::empty());
    let sets = CapabilitySets { effective: left, permitted: left, inheritable: none };
    set_capabilities(None, sets).map_err(|error| format!("its capabilities are not dropped: {error}"))?;
    files::close_build(read, run, write)?;
    sys::filter_calls(&calls::of_builds(), false)
        .map(drop)
        .map_err(|error| format!("system calls are not filtered (seccomp): {error}"))
}
