//! Files that are there whole or not at all, whoever looks and whatever ends the process; and what makes that hold after a
//! power cut.
//!
//! Temporary files have random names, are made by who uses them, and lie where they will be renamed. What must not live here:
//! what is written.

use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};
use tempfile::NamedTempFile;

/// Writes a file under a temporary name, then renames it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = temporary_beside(path)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error).map(drop)
}

/// A new file beside a path, which goes unless it is persisted. Its folder is made.
pub(crate) fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    fs::create_dir_all(parent)?;
    // The umask counts, as for any file.
    tempfile::Builder::new().prefix(&format!(".{name}.")).permissions(Permissions::from_mode(0o666)).tempfile_in(parent)
}

/// Says that a file or directory is in use, for as long as the handle is open: see [`is_in_use`].
pub(crate) fn say_in_use(file: &File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
}

/// Whether some process, in whatever container, says so.
pub(crate) fn is_in_use(path: &Path) -> bool {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    let Ok(file) = open(path, flags, Mode::empty()) else { return false };
    flock(file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// Has what was renamed, made or removed in a directory outlive a power cut.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
