//! Entries that were removed: moved out of the plugins directory, to where an operator can have them back from.
//!
//! What must not live here: when that is done.

use crate::words::in_words;
use camlock_policy::{Failure, Stage};
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Moves an entry below `removed`, under a name of its own there. A link is moved as a link.
pub(crate) fn move_away(entry: &Path, removed: &Path) -> Result<PathBuf, Failure> {
    let told = |error: &io::Error| {
        let (entry, removed, why) = (entry.display(), removed.display(), in_words(error));
        let reason =
            format!("{entry} cannot be moved to {removed}: {why}; move it out of the plugins directory yourself");
        Failure::new(Stage::Manifest, reason)
    };
    let target = target(entry, removed).map_err(|error| told(&error))?;
    match fs::rename(entry, &target) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let moved = copy(entry, &target).and_then(|()| delete(entry));
            moved.map_err(|error| told(&error))?;
        }
        moved => moved.map_err(|error| told(&error))?,
    }
    Ok(target)
}

/// A path that is not taken: the entry's name, behind the time in seconds.
fn target(entry: &Path, removed: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(removed)?;
    let name = entry.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let free = (0..).map(|more| match more {
        0 => removed.join(format!("{now}-{name}")),
        more => removed.join(format!("{now}.{more}-{name}")),
    });
    free.into_iter().find(|path| path.symlink_metadata().is_err()).ok_or_else(|| io::ErrorKind::AlreadyExists.into())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)
    } else if kind.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        Ok(())
    } else {
        fs::copy(from, to).map(drop)
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
        copy(&from, &to).and_then(|()| delete(&from)).unwrap();
        assert_eq!(fs::read_to_string(to.join("link/file")).unwrap(), "text");
        assert!(!from.exists());
    }
}
