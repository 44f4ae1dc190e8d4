//! Directories that one process has for itself, found again by whoever comes after it.

use crate::random;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A directory that is this process's alone. Its name is random and it is locked as long as this exists, so
/// that whoever comes later knows whether anybody still uses it: process numbers say nothing across containers and restarts.
#[derive(Debug)]
pub struct OwnDirectory {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl OwnDirectory {
    /// Makes one within a directory, which is there, and removes those there that nobody uses any more. What these held can be
    /// looked at before, in this process's own one.
    pub fn within(parent: &Path, mut look: impl FnMut(&Path, &Path) -> io::Result<()>) -> io::Result<Self> {
        let own = Self::make(parent)?;
        let Ok(entries) = fs::read_dir(parent) else { return Ok(own) };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let Ok(lock) = File::open(entry.path()) else { continue };
            // Its own is locked too: a lock belongs to a descriptor, not to a process.
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                look(&entry.path(), &own.path)?;
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(own)
    }

    fn make(parent: &Path) -> io::Result<Self> {
        // Between its making and its locking somebody else's cleaning may remove it, but not time and again.
        for _ in 0..100 {
            let path = parent.join(random::name()?);
            fs::create_dir(&path)?;
            let Ok(lock) = File::open(&path) else { continue };
            let locked = flock(&lock, FlockOperation::NonBlockingLockExclusive);
            let same =
                |there: &fs::Metadata, held: &fs::Metadata| (there.dev(), there.ino()) == (held.dev(), held.ino());
            let is_there = fs::metadata(&path).is_ok_and(|there| lock.metadata().is_ok_and(|held| same(&there, &held)));
            match locked {
                Err(Errno::WOULDBLOCK) => {}
                // On a file system without locks nobody removes what others left.
                _ if is_there => return Ok(OwnDirectory { path, _lock: lock }),
                _ => {}
            }
        }
        Err(io::Error::other("every directory that was made there was removed again at once"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        // What is still in it is left for whoever comes next.
        let _ = fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_when_nobody_uses_it() {
        let parent = tempfile::tempdir().unwrap();
        let first = OwnDirectory::within(parent.path(), |_, _| Ok(())).unwrap();
        let left = first.path().join("mapped.so");
        fs::write(&left, "bytes").unwrap();
        let second = OwnDirectory::within(parent.path(), |_, _| Ok(())).unwrap();
        assert_ne!(first.path(), second.path());
        assert!(left.exists(), "somebody uses it");
        drop(first);
        assert!(left.exists(), "it was not empty");
        let mut seen = Vec::new();
        let third = OwnDirectory::within(parent.path(), |other, _| {
            seen.push(fs::read_to_string(other.join("mapped.so"))?);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, ["bytes"]);
        assert!(!left.exists());
        assert!(second.path().exists() && third.path().exists());
        let paths = [second.path().to_owned(), third.path().to_owned()];
        drop((second, third));
        assert!(paths.iter().all(|path| !path.exists()), "empty ones go at once");
    }
}
