//! Staging: the one copy of a candidate that everything afterwards looks at.

use crate::{
    copy::{self, PrivateCopy},
    elf, random,
    sections::{Sections, Unfit},
    words::in_words,
};
use camlock_policy::Digest;
use parking_lot::Mutex;
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A staged candidate: its bytes will not change any more.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Its identity.
    pub digest: Digest,
    /// Where its bytes are.
    pub path: PathBuf,
    /// How many there are.
    pub size: u64,
    /// What they say.
    pub sections: Sections,
    /// Made along with the look at them, for whoever loads them first.
    pub(crate) copy: Arc<Mutex<Option<PrivateCopy>>>,
}

/// Why a candidate could not be staged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// It is no plugin for this host.
    #[error("{0}")]
    Unfit(#[from] Unfit),
    /// It cannot be read.
    #[error("{path} cannot be read: {why}")]
    Unreadable {
        /// The candidate.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It changed under our eyes: try again when whoever writes it is done.
    #[error("{0} changed while it was read; it is tried again when it is still")]
    Changing(PathBuf),
    /// There is no room for the copy, or it may not be made.
    #[error("no copy can be kept in {dir}: {why}; make room there, or let the server write there")]
    NoCopy {
        /// The directory of copies.
        dir: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A copy that was made earlier is not what it was.
    #[error("the stored copy {0} is damaged: its bytes no longer have their digest")]
    Rotten(PathBuf),
}

const LARGEST: u64 = 1 << 30;

/// The directory of staged copies.
#[derive(Clone, Debug)]
pub struct Staging {
    dir: PathBuf,
}

impl Staging {
    /// Uses a directory, making it if need be.
    pub fn at(dir: impl Into<PathBuf>) -> Result<Self, StageError> {
        let staging = Staging { dir: dir.into() };
        fs::create_dir_all(&staging.dir).map_err(|error| staging.no_copy(&error))?;
        remove_old_temporaries(&staging.dir);
        Ok(staging)
    }

    fn no_copy(&self, error: &io::Error) -> StageError {
        StageError::NoCopy { dir: self.dir.clone(), why: in_words(error) }
    }

    /// Copies a candidate, by its digest, and reads what it says. Whatever happens to the candidate afterwards is of no
    /// consequence.
    pub fn stage(&self, candidate: &Path) -> Result<Artifact, StageError> {
        let bytes = read_still(candidate)?;
        let sections = elf::read(&bytes)?;
        let digest = Digest::of(&bytes);
        let path = self.path_of(digest);
        let size = bytes.len() as u64;
        // Hashed again on a hit: what lies there may have rotted. Then the good bytes take its place.
        let kept = copy::read(&path).is_ok_and(|stored| Digest::of(&stored) == digest);
        if !kept {
            self.write(&path, &bytes).map_err(|error| self.no_copy(&error))?;
        }
        Ok(Artifact { digest, path, size, sections, copy: Arc::default() })
    }

    /// An artifact that was staged before, by its digest. What lies there is hashed again, while a private copy is made in this
    /// directory; if none can be made, whoever loads it says why.
    pub fn recall(&self, digest: Digest, copies: &Path) -> Result<Artifact, StageError> {
        let path = self.path_of(digest);
        let unreadable = |error: io::Error| StageError::Unreadable { path: path.clone(), why: in_words(&error) };
        let bytes = copy::read(&path).map_err(unreadable)?;
        let (found, copy) = PrivateCopy::of(&bytes, copies);
        if found != digest {
            return Err(StageError::Rotten(path));
        }
        let copy = Arc::new(Mutex::new(copy.ok()));
        Ok(Artifact { digest, size: bytes.len() as u64, sections: elf::read(&bytes)?, path, copy })
    }

    /// Where the copy of an artifact lies, if it was staged.
    pub fn path_of(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{}.so", digest.hex()))
    }

    /// Writes under a temporary name, then renames: nobody ever sees half a file.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.dir.join(format!(".{}", random::name()?));
        let mut file = File::create_new(&temporary)?;
        let written = copy::write(&mut file, bytes).and_then(|()| {
            file.sync_all()?;
            fs::rename(&temporary, path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// Removes what a process that was killed while it wrote has left. By age, not by process: others may write here now, and
/// from another machine or container their numbers mean nothing.
pub(crate) fn remove_old_temporaries(dir: &Path) {
    const OLD: Duration = Duration::from_secs(3600);
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().as_bytes().starts_with(b".")) {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|modified| modified.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age > OLD)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Reads a file whole, and makes sure that it was the same file all the while.
fn read_still(path: &Path) -> Result<Vec<u8>, StageError> {
    let unreadable = |error: io::Error| StageError::Unreadable { path: path.to_owned(), why: in_words(&error) };
    // Opening a pipe would wait for somebody to write into it; a file is read as ever.
    let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
    let before = file.metadata().map_err(unreadable)?;
    if !before.is_file() {
        return Err(StageError::Unreadable { path: path.to_owned(), why: "it is not a file".to_owned() });
    }
    if before.len() > LARGEST {
        return Err(Unfit(format!("it is {} bytes long, more than the {LARGEST} that are read", before.len())).into());
    }
    let bytes = copy::read_to_end(&mut (&mut file).take(LARGEST + 1), before.len()).map_err(unreadable)?;
    let after = file.metadata().map_err(unreadable)?;
    let fingerprint = |metadata: &fs::Metadata| {
        (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec())
    };
    if fingerprint(&before) != fingerprint(&after) || bytes.len() as u64 != before.len() {
        return Err(StageError::Changing(path.to_owned()));
    }
    Ok(bytes)
}
