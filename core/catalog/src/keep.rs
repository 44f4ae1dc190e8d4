//! Files that are written whole or not at all, and those that are for their owner alone.

use crate::{CatalogTrouble, trouble::of_file};
use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Writes a file whole: whoever reads it sees the old one or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CatalogTrouble> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error).map(drop)
    };
    write().map_err(of_file("written", path))
}

/// Writes a secret to where nothing lies.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), CatalogTrouble> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(of_file("written", path))
}

/// Reads a regular file of so many bytes at most.
pub(crate) fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, CatalogTrouble> {
    let file = fs::File::open(path).map_err(of_file("read", path))?;
    let about = file.metadata().map_err(of_file("read", path))?;
    if !about.is_file() {
        return Err(CatalogTrouble::unfit(format!("{} is no file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(of_file("read", path))?;
    if bytes.len() as u64 > most {
        return Err(CatalogTrouble::unfit(format!("{} has more than the {most} bytes that are taken", path.display())));
    }
    Ok(bytes)
}
