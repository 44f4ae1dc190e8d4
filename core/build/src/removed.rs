//! Entries that were removed or replaced: moved out of the plugins directory, to where an operator can have them back from.
//!
//! What must not live here: when that is done.

use crate::{
    regular::{self, Links},
    whole::sync_directory,
    words::in_words,
};
use camlock_policy::{Failure, Stage};
use rustix::{
    fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::fs::{FileTypeExt, symlink},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Moves an entry of the plugins directory below `removed`, under a name of its own there. A link is moved as a link.
pub(crate) fn move_away(entry: &Path, removed: &Path) -> Result<PathBuf, Failure> {
    let name = entry.file_name().unwrap_or_default();
    move_as(entry, name, removed).map_err(|error| {
        let (entry, removed, why) = (entry.display(), removed.display(), in_words(&error));
        let reason =
            format!("{entry} cannot be moved to {removed}: {why}; move it out of the plugins directory yourself");
        Failure::new(Stage::Manifest, reason)
    })
}

/// The same for an entry of this name that lies elsewhere by now. If it fails, everything is where it was.
pub(crate) fn move_as(entry: &Path, name: &OsStr, removed: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(removed)?;
    let target = match rename_to_free(entry, name, removed) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            // Whole and on the disk before the original goes.
            let copied = tempfile::Builder::new().prefix(".moving-").tempdir_in(removed)?;
            let whole = copied.path().join("entry");
            copy(entry, &whole)?;
            let target = rename_to_free(&whole, name, removed)?;
            sync_directory(removed)?;
            delete(entry)?;
            target
        }
        moved => moved?,
    };
    sync_directory(removed)?;
    if let Some(parent) = entry.parent() {
        sync_directory(parent)?;
    }
    Ok(target)
}

/// Renames it to a path that is not taken: its name, behind the time in seconds.
fn rename_to_free(entry: &Path, name: &OsStr, removed: &Path) -> io::Result<PathBuf> {
    let name = name.to_string_lossy();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut more = 0_u32;
    loop {
        let target = match more {
            0 => removed.join(format!("{now}-{name}")),
            more => removed.join(format!("{now}.{more}-{name}")),
        };
        match renameat_with(CWD, entry, CWD, &target, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => more += 1,
            // A file system that cannot be told so: two servers that remove the same name within a second are unlikely.
            Err(Errno::INVAL | Errno::NOSYS) if target.symlink_metadata().is_err() => {
                return fs::rename(entry, &target).map(|()| target);
            }
            Err(Errno::INVAL | Errno::NOSYS) => more += 1,
            moved => return moved.map(|()| target).map_err(io::Error::from),
        }
    }
}

/// A copy that is on the disk, of everything that can be copied without losing what it is.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    let kind = metadata.file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)
    } else if kind.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        fs::set_permissions(to, metadata.permissions())?;
        sync_directory(to)
    } else if kind.is_fifo() {
        Ok(mknodat(CWD, to, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
    } else {
        let (mut from, metadata) = regular::open(from, Links::Refuse)?;
        let mut to = File::create_new(to)?;
        io::copy(&mut from, &mut to)?;
        to.set_permissions(metadata.permissions())?;
        to.sync_all()
    }
}

fn delete(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_a_file_and_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (plugins, removed) = (dir.path().join("plugins"), dir.path().join("removed"));
        fs::create_dir_all(plugins.join("folder/src")).unwrap();
        fs::write(plugins.join("folder/src/lib.rs"), "text").unwrap();
        fs::write(plugins.join("single.rs"), "text").unwrap();
        symlink("folder", plugins.join("link")).unwrap();
        let link = move_away(&plugins.join("link"), &removed).unwrap();
        assert_eq!(fs::read_link(link).unwrap(), Path::new("folder"));
        let folder = move_away(&plugins.join("folder"), &removed).unwrap();
        assert_eq!(fs::read_to_string(folder.join("src/lib.rs")).unwrap(), "text");
        let first = move_away(&plugins.join("single.rs"), &removed).unwrap();
        fs::write(plugins.join("single.rs"), "other").unwrap();
        let second = move_away(&plugins.join("single.rs"), &removed).unwrap();
        assert_ne!(first, second);
        assert_eq!(fs::read_dir(&plugins).unwrap().count(), 0);
        let told = move_away(&plugins.join("nothing"), &removed).unwrap_err().reason;
        assert!(told.contains("nothing cannot be moved to ") && told.contains("no such file or directory"), "{told}");
    }

    #[test]
    fn over_a_border_between_file_systems() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("deep")).unwrap();
        fs::write(from.join("deep/file"), "text").unwrap();
        symlink("deep", from.join("link")).unwrap();
        mknodat(CWD, from.join("deep/pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        copy(&from, &to).and_then(|()| delete(&from)).unwrap();
        assert_eq!(fs::read_to_string(to.join("link/file")).unwrap(), "text");
        assert!(fs::symlink_metadata(to.join("deep/pipe")).unwrap().file_type().is_fifo());
        assert!(!from.exists());
    }
}
