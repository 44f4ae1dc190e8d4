//! The census of a plugin's threads: while one of them lives, its library may not be closed.

use parking_lot::Mutex;
use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
};

/// A thread that a plugin started.
pub(crate) struct PluginThread {
    /// Its id for the kernel; 0 until it runs.
    id: AtomicI32,
    /// It has left the plugin's code for good.
    left: AtomicBool,
}

impl PluginThread {
    pub(crate) fn runs_as(&self, id: i32) {
        self.id.store(id, Ordering::Release);
    }

    pub(crate) fn has_left(&self) {
        self.left.store(true, Ordering::Release);
    }

    /// Its name, while it lives.
    fn alive(&self) -> Option<String> {
        if self.left.load(Ordering::Acquire) {
            return None;
        }
        match self.id.load(Ordering::Acquire) {
            0 => Some("(starting)".to_owned()),
            // The kernel's list is the truth about a thread that could not say that it left. Only the kernel's word that there
            // is none counts: without descriptors left nothing can be read, and names are any bytes (long ones are cut, in
            // the middle of a character if need be).
            id => match fs::read(format!("/proc/self/task/{id}/comm")) {
                Ok(name) => Some(String::from_utf8_lossy(&name).trim().to_owned()),
                Err(error) if is_gone(&error) => None,
                Err(_) => Some(format!("(number {id})")),
            },
        }
    }
}

/// The file was not there, or its thread went while it was read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

#[derive(Default)]
pub(crate) struct Census(Mutex<Vec<Arc<PluginThread>>>);

impl Census {
    /// A thread that is about to start.
    pub(crate) fn starting(&self) -> Arc<PluginThread> {
        let thread = Arc::new(PluginThread { id: AtomicI32::new(0), left: AtomicBool::new(false) });
        let mut threads = self.0.lock();
        threads.retain(|thread| !thread.left.load(Ordering::Acquire));
        threads.push(thread.clone());
        thread
    }

    /// A thread that runs already, and cannot tell when it leaves.
    pub(crate) fn found(&self, id: i32) {
        self.starting().runs_as(id);
    }

    /// The names of those that live.
    pub(crate) fn alive(&self) -> Vec<String> {
        self.0.lock().iter().filter_map(|thread| thread.alive()).collect()
    }
}
