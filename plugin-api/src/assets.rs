//! The asset files of a plugin: the files of its folder `assets`, which travel in the library, written out where code can open
//! them.

use crate::{Error, Result};
use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// The files of a crate's folder `assets`: their paths within it, and what is in them.
pub type Assets = &'static [(&'static str, &'static [u8])];

/// Writes all of them below a directory, unless an earlier call has.
pub(crate) fn write_out(assets: Assets, dir: &Path) -> Result<PathBuf> {
    let whole = dir.join("assets");
    if whole.is_dir() {
        return Ok(whole);
    }
    // Under another name until all of them are there, so that nobody sees half of them.
    let unfinished = dir.join(format!("unfinished-{}", unique()));
    let written = write_all(assets, &unfinished).and_then(|()| fs::rename(&unfinished, &whole));
    if let Err(error) = written {
        let _ = fs::remove_dir_all(&unfinished);
        // Another thread may have been faster.
        if !whole.is_dir() {
            return Err(Error::msg(format!("the plugin's assets cannot be written to {}: {error}", whole.display())));
        }
    }
    Ok(whole)
}

fn write_all(assets: Assets, into: &Path) -> io::Result<()> {
    fs::create_dir_all(into)?;
    for (name, content) in assets {
        let name = Path::new(name);
        if !name.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an asset's name leads out of its folder"));
        }
        let path = into.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
    }
    Ok(())
}

/// A number that this library gives once.
pub(crate) fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_written_once_and_none_elsewhere() {
        let dir = std::env::temp_dir().join(format!("camlock-assets-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let whole = write_out(&[("a.html", b"a"), ("css/b.css", b"b")], &dir).unwrap();
        assert_eq!(fs::read(whole.join("css/b.css")).unwrap(), b"b");
        fs::write(whole.join("a.html"), "mine").unwrap();
        assert_eq!(write_out(&[("a.html", b"a")], &dir).unwrap(), whole);
        assert_eq!(fs::read(whole.join("a.html")).unwrap(), b"mine", "they were there");
        fs::remove_dir_all(&whole).unwrap();
        assert!(write_out(&[("../out", b"")], &dir).unwrap_err().to_string().contains("leads out of its folder"));
        assert!(!dir.join("out").exists() && fs::read_dir(&dir).unwrap().count() == 0);
        fs::remove_dir_all(&dir).unwrap();
    }
}
