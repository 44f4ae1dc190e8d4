//! Keys on the disk of a server: read, made, and put in the place of others. What must not live here: which key is the right one.

use crate::data::sync_dir;
use camlock_services::secrets::SecretsKey;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The file in the data directory.
pub(super) const FILE: &str = "secrets.key";
/// A key that is not the fleet's yet: nobody has it anywhere else when it comes to be.
pub(super) const NEXT: &str = "secrets.key.new";

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
    let written = file.and_then(|mut file| writeln!(file, "{}", *key.text()).and_then(|()| file.sync_all()));
    let placed = written.and_then(|()| place(&temporary)).and_then(|()| sync_dir(dir));
    let _ = fs::remove_file(&temporary);
    placed.map_err(|error| format!("{} cannot be written: {error}", path.display()))
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
    let installed = fs::rename(&next, &path).and_then(|()| sync_dir(data));
    if read(&path)?.as_ref() == Some(key) {
        return Ok(());
    }
    installed.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
