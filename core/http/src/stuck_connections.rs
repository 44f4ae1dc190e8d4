//! Connections that wait behind threads that are stuck: closed from outside, so that their clients come again, to other threads.
//!
//! What must not live here: when threads count as stuck.

use std::{
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

/// The connections that one runtime serves. A handle; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServedConnections(Arc<Mutex<Vec<Weak<ServedConnection>>>>);

/// One of them, for as long as this is there.
#[derive(Debug)]
pub(crate) struct ServedConnection {
    /// A thread is at it now: inside a handler, perhaps.
    polled: AtomicBool,
    /// The socket under a descriptor of its own. Without one it cannot be closed from outside.
    socket: Option<TcpStream>,
}

impl ServedConnections {
    pub(crate) fn add(&self, stream: &TcpStream) -> Arc<ServedConnection> {
        let served = Arc::new(ServedConnection { polled: AtomicBool::new(true), socket: stream.try_clone().ok() });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|served| served.strong_count() > 0);
        }
        all.push(Arc::downgrade(&served));
        served
    }

    /// Closes those that no thread is at. How many.
    pub(crate) fn close_waiting(&self) -> usize {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.len();
        all.retain(|served| {
            served.upgrade().is_some_and(|served| {
                let waits = !served.polled.load(Ordering::Relaxed);
                if let (true, Some(socket)) = (waits, &served.socket) {
                    let _ = socket.shutdown(Shutdown::Both);
                }
                !waits
            })
        });
        before - all.len()
    }
}

impl ServedConnection {
    pub(crate) fn polled(&self, polled: bool) {
        self.polled.store(polled, Ordering::Relaxed);
    }
}
