//! Where something is made ready: a folder on the file system of the plugins directory, hidden there, and locked while it is used.
//!
//! What must not live here: what is put into it.

use crate::{
    regular::{self, Links},
    whole::{is_in_use, say_in_use},
};
use rustix::fs::{Mode, OFlags};
use std::{
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

/// What is under way in the plugins directory is called so, and no entry there.
const PREFIX: &str = ".incoming-";
/// What was sent, and lies in the folder of uploads.
const UPLOAD: &str = "upload-";
/// What is older than this, and in nobody's use, was left behind by a server that was killed.
pub(super) const OLD: Duration = Duration::from_secs(3600);

/// The folder. It goes when this does, with what is in it.
pub(super) struct Incoming {
    folder: TempDir,
    /// Locked.
    _in_use: File,
}

impl Incoming {
    pub(super) fn beside(plugins: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(plugins)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let in_use = File::from(rustix::fs::open(folder.path(), flags, Mode::empty())?);
        say_in_use(&in_use)?;
        Ok(Incoming { folder, _in_use: in_use })
    }

    /// Where the entry is made ready. Nothing lies there yet.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("entry")
    }

    /// Where what it replaces may lie meanwhile.
    pub(super) fn replaced(&self) -> PathBuf {
        self.folder.path().join("replaced")
    }
}

/// Removes what servers that were killed left behind.
pub(super) fn remove_left_behind(plugins: &Path, uploads: &Path) {
    for (directory, prefix) in [(uploads, UPLOAD), (plugins, PREFIX)] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes());
            if is_ours && entry.metadata().is_ok_and(|metadata| is_old(&metadata)) && !is_in_use(&entry.path()) {
                remove(&entry.path());
            }
        }
    }
}

fn is_old(metadata: &Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
    age.is_some_and(|age| age > OLD)
}

fn remove(path: &Path) {
    let _ = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
}

/// Opens a file that somebody named.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    regular::open(path, Links::Follow)
}
