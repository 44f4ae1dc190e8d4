//! Libraries read, and copied for whoever maps them, in portions: after each, whoever else wants the processor has it first, so
//! that requests which are served there wait for a part of a library and not for all of it.
//!
//! What must not live here: which bytes are wanted.

use crate::{constructors::taken_out, random};
use camlock_policy::Digest;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::mpsc,
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

/// A library as it was read, and a copy of it that was made meanwhile; or why none could be made.
pub(crate) struct CopiedLibrary {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) copy: io::Result<PrivateCopy>,
}

impl CopiedLibrary {
    /// Reads a library, and writes the copy into this directory. Each portion is hashed while the next is read and written: hashing
    /// takes longest, and together they are most of a load.
    pub(crate) fn read(path: &Path, dir: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let size = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; size];
        let (hashed, read) = thread::scope(|scope| {
            let (told, hear) = mpsc::channel();
            let hash = move || Digest::of_portions(hear);
            let hashing = thread::Builder::new().name("camlock-hash".to_owned()).spawn_scoped(scope, hash);
            let mut copy = UnfinishedCopy::within(dir);
            let read = bytes.chunks_mut(Digest::PORTION).try_for_each(|portion| {
                file.read_exact(portion)?;
                let portion: &[u8] = portion;
                let _ = told.send(portion);
                copy.write(portion);
                thread::yield_now();
                Ok::<_, io::Error>(())
            });
            drop(told);
            (hashing.map(|hashing| hashing.join()), read.map(|()| copy))
        });
        let copy = read?;
        // Where there is no thread for it, it is hashed now.
        let digest = hashed.ok().and_then(Result::ok).unwrap_or_else(|| Digest::of(&bytes));
        Ok(CopiedLibrary { digest, copy: copy.finish(&bytes), bytes })
    }
}

/// A private copy as it is written, or why it is not.
struct UnfinishedCopy(io::Result<(PrivateCopy, File)>);

impl UnfinishedCopy {
    fn within(dir: &Path) -> Self {
        let begin = || {
            let path = dir.join(format!("{}.so", random::name()?));
            let file = File::create_new(&path)?;
            // From here on the file is ours, and goes if it cannot be written.
            Ok((PrivateCopy(path), file))
        };
        UnfinishedCopy(begin())
    }

    fn write(&mut self, portion: &[u8]) {
        if let Ok((_, file)) = &mut self.0
            && let Err(error) = file.write_all(portion)
        {
            self.0 = Err(error);
        }
    }

    /// Nobody has mapped it yet: constructors and destructors are taken out of it.
    fn finish(self, bytes: &[u8]) -> io::Result<PrivateCopy> {
        let (copy, file) = self.0?;
        if let Some((start, dynamic)) = taken_out(bytes) {
            file.write_all_at(&dynamic, start as u64)?;
        }
        Ok(copy)
    }
}

/// A copy that nobody else maps, removed unless it is handed over. It differs from the library in this: its constructors and destructors
/// are for the loader to run.
#[derive(Debug)]
pub(crate) struct PrivateCopy(PathBuf);

impl PrivateCopy {
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
    fn it_is_read_hashed_and_copied_in_portions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("library");
        for size in [0, 1, Digest::PORTION, 3 * Digest::PORTION + 7] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            fs::write(&path, &bytes).unwrap();
            let copied = CopiedLibrary::read(&path, dir.path()).unwrap();
            assert_eq!((copied.digest, &copied.bytes), (Digest::of(&bytes), &bytes));
            let copy = copied.copy.unwrap();
            assert_eq!(fs::read(copy.path()).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "copies that nobody took are gone");
    }

    #[test]
    fn a_copy_that_cannot_be_made_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("library");
        fs::write(&path, b"bytes").unwrap();
        let copied = CopiedLibrary::read(&path, &dir.path().join("missing")).unwrap();
        assert_eq!(copied.digest, Digest::of(b"bytes"));
        assert_eq!(copied.copy.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
