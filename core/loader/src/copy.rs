//! Libraries read, and copied for whoever maps them, in portions: after each, whoever else wants the processor has it first, so
//! that requests which are served there wait for a part of a library and not for all of it.
//!
//! What must not live here: which bytes are wanted.

use crate::{constructors::taken_out, random};
use camlock_policy::Digest;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
};

/// Reads to the end.
pub(crate) fn read_to_end(from: &mut impl Read, expected: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(expected as usize + 1);
    while from.by_ref().take(Digest::PORTION as u64).read_to_end(&mut bytes)? > 0 {
        thread::yield_now();
    }
    Ok(bytes)
}

/// Reads a file whole.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let expected = file.metadata()?.len();
    read_to_end(&mut file, expected)
}

/// Writes to the end.
pub(crate) fn write(into: &mut File, bytes: &[u8]) -> io::Result<()> {
    for portion in bytes.chunks(Digest::PORTION) {
        into.write_all(portion)?;
        thread::yield_now();
    }
    Ok(())
}

/// A copy that nobody else maps, removed unless it is handed over.
#[derive(Debug)]
pub(crate) struct PrivateCopy(PathBuf);

impl PrivateCopy {
    /// Writes one while the bytes are hashed, which need each other not; together they are most of a load. It differs from the
    /// bytes in this: its constructors and destructors are for the loader to run.
    pub(crate) fn of(bytes: &[u8], dir: &Path) -> (Digest, io::Result<Self>) {
        let write = || {
            let path = dir.join(format!("{}.so", random::name()?));
            let mut file = File::create_new(&path)?;
            // From here on the file is ours, and goes if it cannot be written.
            let copy = PrivateCopy(path);
            match taken_out(bytes) {
                Some((start, dynamic)) => {
                    write(&mut file, &bytes[..start])?;
                    write(&mut file, &dynamic)?;
                    write(&mut file, &bytes[start + dynamic.len()..])?;
                }
                None => write(&mut file, bytes)?,
            }
            Ok(copy)
        };
        thread::scope(|scope| match thread::Builder::new().name("camlock-copy".to_owned()).spawn_scoped(scope, write) {
            Ok(writing) => {
                let digest = Digest::of(bytes);
                (digest, writing.join().unwrap_or_else(|_| Err(io::Error::other("writing it panicked"))))
            }
            Err(_) => (Digest::of(bytes), write()),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// From here on it is for whoever maps it to remove it.
    pub(crate) fn hand_over(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_cannot_be_made_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (digest, copy) = PrivateCopy::of(b"bytes", &dir.path().join("missing"));
        assert_eq!(digest, Digest::of(b"bytes"));
        assert_eq!(copy.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
