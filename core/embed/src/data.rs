//! The data directory: for this user alone, with the admin token in it.
//!
//! What must not live here: what else is kept in it; whoever keeps something there makes its own part.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Makes the directory if need be, and makes sure that nobody else can look into it.
pub fn open(path: &Path) -> Result<PathBuf, String> {
    let told =
        |error: io::Error| format!("the data directory {} cannot be used: {error}; name another one", path.display());
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(told)?;
    let path = path.canonicalize().map_err(told)?;
    let metadata = fs::metadata(&path).map_err(told)?;
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(told)?;
    }
    // What cannot be written to is found out now, not with the first plugin.
    let probe = path.join(format!(".probe-{}", std::process::id()));
    File::create(&probe).and_then(|_| fs::remove_file(&probe)).map_err(told)?;
    Ok(path)
}

/// Has on the disk what was made or renamed in a directory.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The admin token in the data directory, which is made the first time.
pub(crate) fn admin_token(data: &Path) -> Result<String, String> {
    let path = data.join("admin-token");
    let told = |error: io::Error| format!("the admin token {} cannot be had: {error}", path.display());
    match fs::read_to_string(&path) {
        Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(told(error)),
    }
    let token = fresh_token().map_err(told)?;
    // Under another name first: nobody ever reads half a token, and of two servers the first wins.
    let temporary = data.join(format!(".admin-token-{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| writeln!(file, "{token}").and_then(|()| file.sync_all()))
        .and_then(|()| match fs::hard_link(&temporary, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::rename(&temporary, &path),
            other => other,
        })
        // Its name is on the disk too before anybody is let in by it.
        .and_then(|()| sync_dir(data));
    let _ = fs::remove_file(&temporary);
    written.map_err(told)?;
    fs::read_to_string(&path).map(|token| token.trim().to_owned()).map_err(told)
}

fn fresh_token() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_this_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
        let data = open(&data).unwrap();
        assert_eq!(fs::metadata(&data).unwrap().mode() & 0o777, 0o700);
        let token = admin_token(&data).unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(fs::metadata(data.join("admin-token")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(admin_token(&data).unwrap(), token);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let told = open(file.path()).unwrap_err();
        assert!(told.contains("cannot be used: ") && told.ends_with("; name another one"), "{told}");
    }
}
