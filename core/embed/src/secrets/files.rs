//! Keys on the disk of a server: read, made, and put in the place of others. What must not live here: which key is the right one.

use crate::data::sync_dir;
use camlock_services::secrets::SecretsKey;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::Path,
};

/// The file in the data directory.
pub(super) const FILE: &str = "secrets.key";
/// A key that is not the fleet's yet: nobody has it anywhere else when it comes to be.
pub(super) const NEXT: &str = "secrets.key.new";
/// Whoever rotates holds it.
const LOCK: &str = ".secrets.lock";

pub(super) fn read(path: &Path) -> Result<Option<SecretsKey>, String> {
    match fs::read_to_string(path) {
        Ok(text) => match SecretsKey::parse(&text) {
            Ok(key) => Ok(Some(key)),
            Err(why) => Err(format!("{} is no key: {why}", path.display())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

/// Puts a key on the disk under a name of its own, and then there: nobody ever reads half a key.
pub(super) fn put(path: &Path, key: &SecretsKey, place: impl Fn(&Path) -> io::Result<()>) -> Result<(), String> {
    let dir = path.parent().unwrap_or(path);
    let temporary = dir.join(format!(".{FILE}-{}-{}", std::process::id(), key.id()));
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let written = file.and_then(|mut file| {
        give_to_owner_of(dir, &file)?;
        writeln!(file, "{}", *key.text()).and_then(|()| file.sync_all())
    });
    let placed = written.and_then(|()| place(&temporary)).and_then(|()| sync_dir(dir));
    let _ = fs::remove_file(&temporary);
    placed.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// Whoever runs a command here: the server has to read it, and it is the server's directory.
fn give_to_owner_of(dir: &Path, file: &File) -> io::Result<()> {
    let (owner, mine) = (fs::metadata(dir)?, file.metadata()?);
    if (owner.uid(), owner.gid()) == (mine.uid(), mine.gid()) {
        return Ok(());
    }
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}

/// Keeps others from rotating in this directory as long as it is there.
pub(super) fn alone(data: &Path) -> Result<File, String> {
    let path = data.join(LOCK);
    let told = |error: &dyn std::fmt::Display| format!("{} cannot be locked: {error}", path.display());
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| told(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(format!("another rotation is under way in {}; nothing was changed", data.display()))
        }
        Err(TryLockError::Error(error)) => Err(told(&error)),
    }
}

/// A key that is to become the fleet's, unless there is one already: another server may share this directory. Which one it is.
pub(super) fn made(next: &Path) -> Result<SecretsKey, String> {
    let key = SecretsKey::generate();
    put(next, &key, |temporary| match fs::hard_link(temporary, next) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    })?;
    read(next).map(|there| there.unwrap_or(key))
}

/// From now on this new key is the server's. The one before is kept under its id: backups that were made until now need it. Several
/// may do this at once.
pub(super) fn install(data: &Path, key: &SecretsKey) -> Result<(), String> {
    let (path, next) = (data.join(FILE), data.join(NEXT));
    if let Some(before) = read(&path)? {
        if before == *key {
            return Ok(());
        }
        let _ = fs::hard_link(&path, data.join(format!("{FILE}.{}", before.id())));
    }
    let placed = put(&path, key, |temporary| fs::rename(temporary, &path));
    placed.map_err(|why| format!("{why}; the key {} is the fleet's now, and lies in {}", key.id(), next.display()))?;
    forget(&next, key);
    Ok(())
}

/// Removes a key that lies elsewhere, or nowhere needs to; another one of that name stays.
pub(super) fn forget(path: &Path, key: &SecretsKey) {
    if read(path).is_ok_and(|there| there.as_ref() == Some(key)) {
        let _ = fs::remove_file(path);
    }
}
