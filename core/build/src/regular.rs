//! Files that others name: opened so that nothing hangs, refused unless they are regular, and read up to a bound.
//!
//! What must not live here: what is in them, and which bound is right.

use rustix::fs::{Mode, OFlags};
use std::{
    fs::{File, FileType, Metadata},
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::Path,
};

/// Whether a link at the end of a path may be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    Follow,
    Refuse,
}

/// Opens a regular file for reading. What became a pipe or a device since it was looked at does not hold us up.
pub(crate) fn open(path: &Path, links: Links) -> io::Result<(File, Metadata)> {
    // Before it is opened: some devices do something when they are.
    let before = if links == Links::Follow { path.metadata()? } else { path.symlink_metadata()? };
    check(before.file_type())?;
    // A regular file never blocks for this flag; a pipe would wait for somebody to write into it.
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    check(metadata.file_type())?;
    Ok((file, metadata))
}

/// Reads a regular file into memory, unless it has more than `most` bytes.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read(path, most, Links::Follow)
}

/// No file of ours, and none that cargo makes beside what it builds, is larger.
const OWN: u64 = 16 << 20;

/// Reads what we or cargo wrote in a place where a build may have put something else: a link there would lead to what only the server
/// may read.
pub(crate) fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    read(path, OWN, Links::Refuse)
}

/// The same as text; empty if it cannot be read.
pub(crate) fn own_text(path: &Path) -> String {
    read_own(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn read(path: &Path, most: u64, links: Links) -> io::Result<Vec<u8>> {
    let (file, metadata) = open(path, links)?;
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes"));
    if metadata.len() > most {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // It may have grown, and some files tell no length at all.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

fn check(kind: FileType) -> io::Result<()> {
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_symlink() => "a link",
        _ => "a device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, and only regular files are read")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, mknodat};
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn only_regular_files_are_read_and_no_more_of_them_than_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "12345").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("/dev/zero", at("endless")).unwrap();
        mknodat(CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(read_regular(&at("file"), 5).unwrap(), b"12345");
        assert_eq!(read_regular(&at("link"), 5).unwrap(), b"12345");
        for (name, most, told) in [
            ("file", 4, "it is larger than 4 bytes"),
            ("endless", 1 << 20, "it is a device, and only regular files are read"),
            ("pipe", 1 << 20, "it is a pipe, and only regular files are read"),
            (".", 1 << 20, "it is a directory, and only regular files are read"),
        ] {
            assert_eq!(read_regular(&at(name), most).unwrap_err().to_string(), told, "{name}");
        }
        assert_eq!(own_text(&at("file")), "12345");
        for name in ["link", "endless", "pipe", ".", "missing"] {
            assert!(read_own(&at(name)).is_err() && own_text(&at(name)).is_empty(), "{name}");
        }
        fs::File::create(at("large")).unwrap().set_len(OWN + 1).unwrap();
        assert!(read_own(&at("large")).is_err());
        assert_eq!(
            open(&at("link"), Links::Refuse).unwrap_err().to_string(),
            "it is a link, and only regular files are read"
        );
    }

    #[test]
    fn a_file_that_tells_no_length_is_bounded_all_the_same() {
        assert!(read_regular(Path::new("/proc/self/maps"), 16).is_err());
        assert!(!read_regular(Path::new("/proc/self/maps"), 64 << 20).unwrap().is_empty());
    }
}
