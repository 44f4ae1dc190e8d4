//! The census of a plugin's threads: while one of them lives, its library may not be closed.

use parking_lot::Mutex;
use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
    },
};

/// A thread that a plugin started.
pub(crate) struct PluginThread {
    /// Its id for the kernel; 0 until it runs.
    id: AtomicI32,
    /// When it started, as the kernel counts it: once it has ended, its id is given to others. 0 if that cannot be read.
    started: AtomicU64,
    /// It has left the plugin's code for good.
    left: AtomicBool,
}

impl PluginThread {
    pub(crate) fn runs_as(&self, id: i32) {
        self.started.store(KernelsView::of(id).map_or(0, |view| view.started), Ordering::Release);
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
            // is none, or another one, counts: without descriptors left nothing can be read.
            id => match KernelsView::of(id) {
                Ok(view) => {
                    let started = self.started.load(Ordering::Acquire);
                    (started == 0 || started == view.started).then_some(view.name)
                }
                Err(error) if is_gone(&error) => None,
                Err(_) => Some(format!("(number {id})")),
            },
        }
    }
}

/// What the kernel says of a thread of this process.
struct KernelsView {
    name: String,
    started: u64,
}

impl KernelsView {
    fn of(id: i32) -> io::Result<Self> {
        let stat = fs::read(format!("/proc/self/task/{id}/stat"))?;
        Self::parse(&stat).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The name is any bytes (a long one is cut, in the middle of a character if need be), in parentheses.
    fn parse(stat: &[u8]) -> Option<Self> {
        /// The twenty-second field of all; two come before the ones that follow the name.
        const STARTED: usize = 22 - 3;
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let name = String::from_utf8_lossy(stat.get(open + 1..close)?).trim().to_owned();
        let fields = std::str::from_utf8(&stat[close + 1..]).ok()?;
        Some(KernelsView { name, started: fields.split_whitespace().nth(STARTED)?.parse().ok()? })
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
        let thread =
            Arc::new(PluginThread { id: AtomicI32::new(0), started: AtomicU64::new(0), left: AtomicBool::new(false) });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn own_id() -> i32 {
        rustix::thread::gettid().as_raw_nonzero().get()
    }

    #[test]
    fn the_kernel_gives_ids_again() {
        let census = Census::default();
        census.found(own_id());
        assert_eq!(census.alive().len(), 1, "it runs");
        // As if the thread that was meant had ended, and this one been given its number.
        census.0.lock()[0].started.fetch_sub(1, Ordering::AcqRel);
        assert_eq!(census.alive(), [""; 0]);
    }

    #[test]
    fn names_are_any_bytes() {
        let view =
            KernelsView::parse(b"7 (a) b (\xc3) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20").unwrap();
        assert_eq!((view.name.as_str(), view.started), ("a) b (\u{fffd}", 4711));
        assert!(KernelsView::parse(b"7 (a").is_none());
    }
}
