//! A directory that is filled with what is not trusted: nothing gets out of it, nothing in it is a link, and it stays small.

use crate::{
    regular::{self, Links},
    whole::sync_directory,
    words::{in_words, shown},
};
use camlock_policy::NotInstalled;
use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io::{Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Component, Path, PathBuf},
};

/// How much may be put into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct InstallBounds {
    /// All files together.
    pub(super) bytes: u64,
    /// Files and directories.
    pub(super) entries: usize,
    /// Directories in one another.
    pub(super) depth: usize,
}

impl Default for InstallBounds {
    fn default() -> Self {
        InstallBounds { bytes: 512 << 20, entries: 20_000, depth: 32 }
    }
}

/// The longest path in it.
const LONGEST: usize = 1024;

/// The directory, and what it still has room for.
pub(super) struct Room {
    root: PathBuf,
    bounds: InstallBounds,
    bytes: u64,
    entries: usize,
    directories: HashSet<PathBuf>,
    files: Vec<PathBuf>,
}

impl Room {
    /// Makes the directory.
    pub(super) fn new(root: &Path, bounds: InstallBounds) -> Result<Self, NotInstalled> {
        fs::create_dir(root).map_err(|error| {
            NotInstalled::Failed(format!("{} cannot be made: {}", root.display(), in_words(&error)))
        })?;
        let directories = HashSet::from([PathBuf::new()]);
        Ok(Room { root: root.to_owned(), bounds, bytes: 0, entries: 0, directories, files: Vec::new() })
    }

    /// How many bytes still fit.
    pub(super) fn left(&self) -> u64 {
        self.bounds.bytes - self.bytes
    }

    /// Whether so many entries fit.
    pub(super) fn fits(&self, entries: usize) -> Result<(), NotInstalled> {
        if entries <= self.bounds.entries - self.entries {
            return Ok(());
        }
        let most = self.bounds.entries;
        Err(NotInstalled::TooLarge(format!("it has more than {most} files and directories: pack only the sources")))
    }

    /// A directory, with those that it is in.
    pub(super) fn directory(&mut self, name: &[u8]) -> Result<(), NotInstalled> {
        let path = self.inside(name)?;
        self.make(&path)
    }

    /// A file, with the directories that it is in.
    pub(super) fn file(&mut self, name: &[u8], executable: bool, mut content: impl Read) -> Result<(), NotInstalled> {
        let path = self.inside(name)?;
        let Some(parent) = path.parent() else {
            return Err(NotInstalled::Unfit("a file in it has no name".to_owned()));
        };
        self.make(parent)?;
        self.count()?;
        let mode = if executable { 0o755 } else { 0o644 };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(self.root.join(&path)).map_err(
            |error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => unfit(&path, "is in it twice"),
                _ => failed(&path, &error),
            },
        )?;
        self.files.push(path.clone());
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unfit(&path, &format!("cannot be read: {}", in_words(&error)))),
            };
            if read as u64 > self.left() {
                return Err(self.too_large());
            }
            self.bytes += read as u64;
            file.write_all(&buffer[..read]).map_err(|error| failed(&path, &error))?;
        }
    }

    /// A copy of a directory on this machine, without what builds and version control keep in it.
    pub(super) fn copy(&mut self, from: &Path) -> Result<(), NotInstalled> {
        let mut waiting = vec![PathBuf::new()];
        while let Some(below) = waiting.pop() {
            let unread = |error| unfit(&below, &format!("cannot be read: {}", in_words(&error)));
            for entry in fs::read_dir(from.join(&below)).map_err(unread)? {
                let entry = entry.map_err(unread)?;
                let name = entry.file_name();
                if matches!(name.as_bytes(), b"target" | b".git" | b".hg" | b".jj" | b".svn") {
                    continue;
                }
                let path = below.join(&name);
                let bytes = path.as_os_str().as_bytes();
                let sort = entry.file_type().map_err(unread)?;
                if sort.is_dir() {
                    self.directory(bytes)?;
                    waiting.push(path);
                } else if sort.is_file() {
                    // Should it have become something else since its folder was read.
                    let (file, metadata) = regular::open(&entry.path(), Links::Refuse).map_err(unread)?;
                    let executable = metadata.permissions().mode() & 0o111 != 0;
                    self.file(bytes, executable, file)?;
                } else {
                    return Err(no_file(bytes));
                }
            }
        }
        Ok(())
    }

    /// Has all of it outlive a power cut.
    pub(super) fn sync(&self) -> Result<(), NotInstalled> {
        for file in &self.files {
            let synced = fs::File::open(self.root.join(file)).and_then(|file| file.sync_all());
            synced.map_err(|error| failed(file, &error))?;
        }
        self.directories.iter().try_for_each(|directory| {
            sync_directory(&self.root.join(directory)).map_err(|error| failed(directory, &error))
        })
    }

    pub(super) fn too_large(&self) -> NotInstalled {
        let most = self.bounds.bytes;
        NotInstalled::TooLarge(format!("it becomes larger than the {most} bytes that are taken: pack only the sources"))
    }

    fn make(&mut self, path: &Path) -> Result<(), NotInstalled> {
        if self.directories.contains(path) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make(parent)?;
        }
        self.count()?;
        // What is there and no directory of ours is a file.
        fs::create_dir(self.root.join(path)).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotADirectory => {
                unfit(path, "is in it as a file and as a directory")
            }
            _ => failed(path, &error),
        })?;
        self.directories.insert(path.to_owned());
        Ok(())
    }

    fn count(&mut self) -> Result<(), NotInstalled> {
        self.fits(1)?;
        self.entries += 1;
        Ok(())
    }

    /// The path that a name stands for, below the directory.
    fn inside(&self, name: &[u8]) -> Result<PathBuf, NotInstalled> {
        let bad = |why: &str| {
            let told = shown(&String::from_utf8_lossy(name));
            NotInstalled::Unfit(format!("`{told}` in it is refused: {why}"))
        };
        let text = std::str::from_utf8(name).map_err(|_| bad("its name is not UTF-8"))?;
        if text.len() > LONGEST {
            return Err(bad("its path is too long"));
        }
        if text.chars().any(|character| character.is_control() || character == '\\') {
            return Err(bad("a path has no backslashes and no control characters"));
        }
        let mut path = PathBuf::new();
        for component in Path::new(text).components() {
            match component {
                Component::CurDir => {}
                Component::Normal(part) if part.len() <= 255 => path.push(part),
                Component::Normal(_) => return Err(bad("its name is too long")),
                _ => return Err(bad("its path leads out of the archive")),
            }
        }
        if path.components().count() > self.bounds.depth {
            return Err(bad("it lies too deep"));
        }
        Ok(path)
    }
}

/// What is neither a file nor a directory.
pub(super) fn no_file(name: &[u8]) -> NotInstalled {
    let told = shown(&String::from_utf8_lossy(name));
    NotInstalled::Unfit(format!("`{told}` in it is refused: links, devices and the like are not taken"))
}

fn unfit(path: &Path, why: &str) -> NotInstalled {
    NotInstalled::Unfit(format!("`{}` {why}", shown(&path.to_string_lossy())))
}

fn failed(path: &Path, error: &std::io::Error) -> NotInstalled {
    NotInstalled::Failed(format!("`{}` cannot be written: {}", shown(&path.to_string_lossy()), in_words(error)))
}
