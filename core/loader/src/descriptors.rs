//! The descriptors that a plugin opened and has not closed: counted while it is there, closed when its library is gone.
//!
//! A number alone does not say that a descriptor is still the plugin's: libc, or a system call behind its back, may have closed
//! it, and the number be somebody else's since. So it is remembered what was opened, and only that is closed.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fs,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::PathBuf,
};

#[derive(Default)]
pub(crate) struct Descriptors(Mutex<HashMap<RawFd, OpenFile>>);

/// What a descriptor refers to, as far as the system says.
#[derive(PartialEq, Eq)]
struct OpenFile {
    device: u64,
    inode: u64,
    mode: u32,
}

impl OpenFile {
    /// None if there is nothing.
    fn of(descriptor: RawFd) -> Option<Self> {
        // SAFETY: used for this one call, which does no more than fail should there be no such descriptor.
        let status = rustix::fs::fstat(unsafe { BorrowedFd::borrow_raw(descriptor) }).ok()?;
        Some(OpenFile { device: status.st_dev, inode: status.st_ino, mode: status.st_mode })
    }
}

/// Standard input, output and error are the process's, whoever put them there.
const FIRST_OWN: RawFd = 3;

impl Descriptors {
    pub(crate) fn opened(&self, descriptor: RawFd) {
        if let Some(file) = OpenFile::of(descriptor).filter(|_| descriptor >= FIRST_OWN) {
            self.0.lock().insert(descriptor, file);
        }
    }

    pub(crate) fn closed(&self, descriptor: RawFd) {
        self.0.lock().remove(&descriptor);
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Closes those that are still what they were; what they referred to. Only once nothing of the plugin runs any more.
    pub(crate) fn close_all(&self) -> Vec<PathBuf> {
        let left = std::mem::take(&mut *self.0.lock());
        let still = left.into_iter().filter(|(descriptor, file)| OpenFile::of(*descriptor).as_ref() == Some(file));
        still
            .map(|(descriptor, _)| {
                // SAFETY: the plugin opened it and did not close it, it is what it was, and the plugin is gone: nobody else owns it.
                let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
                fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).unwrap_or_default()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn only_what_is_still_the_same_is_closed() {
        let descriptors = Descriptors::default();
        let dir = tempfile::tempdir().unwrap();
        let create = |name: &str| fs::File::create(dir.path().join(name)).unwrap();
        let (left, reused, closed) = (create("left").into_raw_fd(), create("reused").into_raw_fd(), create("closed"));
        for descriptor in [left, reused, closed.as_raw_fd(), 2] {
            descriptors.opened(descriptor);
        }
        descriptors.closed(closed.as_raw_fd());
        // Behind the plugin's back the number comes to be somebody else's.
        let other = create("other");
        // SAFETY: both descriptors are this test's.
        let mut target = unsafe { OwnedFd::from_raw_fd(reused) };
        rustix::io::dup2(&other, &mut target).unwrap();
        assert_eq!(descriptors.count(), 2);
        assert_eq!(descriptors.close_all(), [dir.path().join("left")]);
        assert!(fs::read_link(format!("/proc/self/fd/{}", target.as_raw_fd())).unwrap().ends_with("other"));
        assert_eq!(descriptors.count(), 0);
    }
}
