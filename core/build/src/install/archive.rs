//! Archives, read so that what is in them is nothing but files and directories, and no more than there is room for. What must
//! not live here: what a path may be.

use super::room::{Room, no_file};
use crate::words::{in_words, one_line};
use ::tar::{Archive, EntryType, PaxExtensions};
use ::zip::ZipArchive;
use camlock_policy::NotInstalled;
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

/// The longest description that comes before an entry of a tar archive: its name, if that is long.
const BEFORE: u64 = 64 << 10;
/// What stands at the end of a zip archive: how many entries there are, among others. A comment may follow.
const END: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;

/// Unpacks a compressed tar archive.
pub(super) fn tar_gz(file: File, room: &mut Room) -> Result<(), NotInstalled> {
    let broken = |error: io::Error| NotInstalled::Unfit(format!("it is no whole `.tar.gz`: {}", in_words(&error)));
    // Heads and padding take room too, in what is unpacked.
    let most = room.left().saturating_mul(2).saturating_add(64 << 20);
    let mut archive = Archive::new(MultiGzDecoder::new(BufReader::new(file)).take(most));
    let mut any = false;
    // Names that do not fit into an entry's head come before it, as entries of their own.
    let mut long: Option<Vec<u8>> = None;
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        any = true;
        let sort = entry.header().entry_type();
        let before = |entry: &mut ::tar::Entry<'_, _>| {
            if entry.size() > BEFORE {
                return Err(NotInstalled::Unfit("a name in it is too long".to_owned()));
            }
            let mut bytes = Vec::new();
            io::Read::read_to_end(entry, &mut bytes).map_err(broken)?;
            Ok(bytes)
        };
        match sort {
            EntryType::XGlobalHeader => continue,
            EntryType::GNULongName => {
                let mut bytes = before(&mut entry)?;
                bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
                long = Some(bytes);
                continue;
            }
            EntryType::XHeader => {
                let bytes = before(&mut entry)?;
                for extension in PaxExtensions::new(&bytes) {
                    let extension = extension.map_err(broken)?;
                    match extension.key_bytes() {
                        b"path" => long = Some(extension.value_bytes().to_vec()),
                        b"size" => return Err(room.too_large()),
                        key if key.starts_with(b"GNU.sparse") => return Err(no_file(b"a file with holes")),
                        _ => {}
                    }
                }
                continue;
            }
            _ => {}
        }
        let name = long.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
        match sort {
            EntryType::Directory => room.directory(&name)?,
            // As very old archives have directories.
            EntryType::Regular if name.ends_with(b"/") => room.directory(&name)?,
            EntryType::Regular | EntryType::Continuous => {
                if entry.size() > room.left() {
                    return Err(room.too_large());
                }
                let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
                let size = entry.size();
                room.file(&name, executable, WholeEntry { from: &mut entry, left: size })?;
            }
            _ => return Err(no_file(&name)),
        }
    }
    if any { Ok(()) } else { Err(NotInstalled::Unfit("it is an empty archive".to_owned())) }
}

/// What must not end before it is whole.
struct WholeEntry<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for WholeEntry<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut off"));
        }
        Ok(read)
    }
}

/// Unpacks a zip archive.
pub(super) fn zip(mut file: File, room: &mut Room) -> Result<(), NotInstalled> {
    let broken = |why: String| NotInstalled::Unfit(format!("it is no `.zip` that can be read: {}", one_line(&why)));
    // Before its table of contents is read into memory.
    room.fits(said_entries(&mut file).map_err(|error| broken(in_words(&error)))?)?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| broken(error.to_string()))?;
    room.fits(archive.len())?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| broken(error.to_string()))?;
        let name = entry.name_raw().to_vec();
        let mode = entry.unix_mode().unwrap_or(0);
        match mode & 0o170_000 {
            _ if entry.is_dir() => room.directory(&name)?,
            0 | 0o100_000 => room.file(&name, mode & 0o111 != 0, entry)?,
            _ => return Err(no_file(&name)),
        }
    }
    if archive.is_empty() { Err(NotInstalled::Unfit("it is an empty archive".to_owned())) } else { Ok(()) }
}

/// How many entries an archive says that it has. Of more than fit into its number it says the greatest.
fn said_entries(file: &mut File) -> io::Result<usize> {
    let length = file.metadata()?.len();
    let tail = length.min(END_LENGTH as u64 + u64::from(u16::MAX));
    file.seek(SeekFrom::Start(length - tail))?;
    let mut bytes = Vec::new();
    file.take(tail).read_to_end(&mut bytes)?;
    file.rewind()?;
    let ends = bytes.windows(END_LENGTH).filter(|window| window.starts_with(END));
    let said = ends.map(|end| usize::from(u16::from_le_bytes([end[10], end[11]])));
    // Whichever of them is taken for the end.
    said.max().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it does not end as one"))
}
