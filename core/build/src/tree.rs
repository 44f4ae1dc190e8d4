//! A directory of sources, or a single file: its digest, and what was seen on the way. Asked again, it looks at stamps alone
//! until one of them differs, and then reads the files that changed.
//!
//! What must not live here: what the files mean. Links are followed; one that leads back to where it lies is not.

use crate::{
    names,
    stamp::Stamp,
    words::{in_words, shown},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// A sha-256.
pub(crate) type Hash = [u8; 32];

/// How much of a tree is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadBounds {
    /// Files and directories.
    pub(crate) count: usize,
    /// Bytes of all files together.
    pub(crate) bytes: u64,
    /// Bytes of one file.
    pub(crate) file: u64,
}

/// Enough for any sources; what is more is data, and a mistake.
pub(crate) const SOURCES: ReadBounds = ReadBounds { count: 20_000, bytes: 512 << 20, file: 64 << 20 };
/// What the loader takes.
pub(crate) const LIBRARY: ReadBounds = ReadBounds { count: 1, bytes: 1 << 30, file: 1 << 30 };

/// Of so large files the text is kept, where it may be asked for.
const TEXT: u64 = 1 << 20;

/// A tree as it was last seen.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    bounds: ReadBounds,
    items: Vec<Item>,
    seen: TreeView,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct TreeView {
    /// Whether there is anything.
    pub(crate) is_there: bool,
    /// Of all names and contents.
    pub(crate) digest: Hash,
    /// Rises with every change of a stamp, also one that leaves the digest as it is.
    pub(crate) edition: u64,
    /// Why it cannot be read whole, as a sentence without its subject: "has more than 20000 files …".
    pub(crate) problem: Option<String>,
    /// Where links lead out of it.
    pub(crate) elsewhere: Vec<PathBuf>,
}

#[derive(Debug)]
struct Item {
    path: PathBuf,
    /// None if there is nothing to be stamped: a link to nowhere.
    stamp: Option<Stamp>,
    settled: bool,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Directory,
    File {
        digest: Hash,
        text: Option<Arc<[u8]>>,
    },
    /// Something that has no content to read, told apart by a letter and some bytes.
    Other(u8, Vec<u8>),
}

impl Tree {
    /// A tree that was not looked at yet. `root` must be a physical path, so that a link to it is seen by whoever resolved it.
    pub(crate) fn new(root: PathBuf, bounds: ReadBounds) -> Self {
        Tree { root, bounds, items: Vec::new(), seen: TreeView::default() }
    }

    /// Looks at it. `skip` is a directory that is not part of any sources, wherever it lies.
    pub(crate) fn look(&mut self, skip: &Path) -> &TreeView {
        if self.items.is_empty() || !self.is_unchanged() {
            self.walk(skip);
        }
        &self.seen
    }

    /// What was last seen.
    pub(crate) fn seen(&self) -> &TreeView {
        &self.seen
    }

    fn is_unchanged(&self) -> bool {
        let stamp = |item: &Item| fs::metadata(&item.path).ok().map(|metadata| Stamp::of(&metadata));
        self.items.iter().all(|item| item.settled && stamp(item) == item.stamp)
    }

    fn walk(&mut self, skip: &Path) {
        let before = std::mem::take(&mut self.items);
        let stamps: Vec<_> = before.iter().map(|item| (item.path.clone(), item.stamp)).collect();
        let mut walk = Walk {
            root: &self.root,
            bounds: self.bounds,
            skip,
            now: SystemTime::now(),
            known: before.into_iter().map(|item| (item.path.clone(), item)).collect(),
            items: Vec::new(),
            bytes: 0,
            problem: None,
            over: false,
            elsewhere: Vec::new(),
            above: Vec::new(),
        };
        let root = self.root.clone();
        let is_there = walk.visit(root, false);
        let Walk { items, problem, elsewhere, .. } = walk;
        self.items = items;
        let changed = self.items.iter().map(|item| (&item.path, &item.stamp)).ne(stamps.iter().map(|(p, s)| (p, s)));
        self.seen = TreeView {
            is_there,
            digest: self.digest_below(Path::new("")),
            edition: self.seen.edition + u64::from(changed),
            problem,
            elsewhere,
        };
    }

    /// The digest of what lies below a directory of it.
    pub(crate) fn digest_below(&self, directory: &Path) -> Hash {
        let base = self.root.join(directory);
        let mut hasher = Sha256::new();
        for item in &self.items {
            let Ok(relative) = item.path.strip_prefix(&base) else { continue };
            let (tag, content): (u8, &[u8]) = match &item.what {
                What::Directory => continue,
                What::File { digest, .. } => (b'f', digest),
                What::Other(tag, content) => (*tag, content),
            };
            for part in [relative.as_os_str().as_bytes(), &[tag], content] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        hasher.finalize().into()
    }

    /// The text of a file, if it is one of those whose text is kept: any `Cargo.toml`, and the root if it is a file.
    pub(crate) fn text(&self, relative: &Path) -> Option<Arc<[u8]>> {
        let path = if relative.as_os_str().is_empty() { self.root.clone() } else { self.root.join(relative) };
        let item = self.items.iter().find(|item| item.path == path)?;
        match &item.what {
            What::File { text, .. } => text.clone(),
            _ => None,
        }
    }

    /// The directories, relative to the root, in which a `Cargo.toml` lies.
    pub(crate) fn packages(&self) -> Vec<PathBuf> {
        let manifests = self.items.iter().filter(|item| item.path.file_name() == Some(OsStr::new("Cargo.toml")));
        manifests.filter_map(|item| Some(item.path.parent()?.strip_prefix(&self.root).ok()?.to_owned())).collect()
    }

    /// Whether a part of it changed at this time or later.
    pub(crate) fn is_since(&self, time: SystemTime) -> bool {
        self.items.iter().any(|item| item.stamp.is_some_and(|stamp| stamp.is_since(time)))
    }
}

struct Walk<'a> {
    root: &'a Path,
    bounds: ReadBounds,
    skip: &'a Path,
    now: SystemTime,
    known: HashMap<PathBuf, Item>,
    items: Vec<Item>,
    bytes: u64,
    problem: Option<String>,
    /// A bound was passed, and the walk is over.
    over: bool,
    elsewhere: Vec<PathBuf>,
    /// The directories above, so that a loop ends.
    above: Vec<(u64, u64)>,
}

impl Walk<'_> {
    /// Looks at one path and all below it. Gives whether there is anything.
    fn visit(&mut self, path: PathBuf, is_link: bool) -> bool {
        let target = is_link.then(|| fs::read_link(&path).unwrap_or_default().into_os_string().as_bytes().to_vec());
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound && target.is_none() => return false,
            Err(error) => {
                match target {
                    // A link to nowhere, or in a ring, is what it says, and a file that cannot be reached a problem.
                    Some(target) if error.kind() != io::ErrorKind::PermissionDenied => {
                        self.push(path, None, true, What::Other(b'n', target));
                    }
                    _ => self.unreadable(path, None, &error),
                }
                return true;
            }
        };
        let stamp = Stamp::of(&metadata);
        if is_link && let Ok(physical) = path.canonicalize() {
            if physical == self.skip {
                return true;
            }
            if !physical.starts_with(self.root) {
                self.elsewhere.push(physical);
            }
        }
        if metadata.is_dir() {
            if self.above.contains(&stamp.identity()) {
                self.push(path, Some(stamp), true, What::Other(b'l', target.unwrap_or_default()));
            } else {
                self.directory(path, stamp);
            }
        } else if metadata.is_file() {
            self.file(path, stamp);
        } else {
            self.push(path, Some(stamp), true, What::Other(b'o', Vec::new()));
        }
        true
    }

    fn directory(&mut self, path: PathBuf, stamp: Stamp) {
        let listed = fs::read_dir(&path).and_then(|all| {
            all.map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))))
                .collect::<Result<Vec<_>, _>>()
        });
        let mut names = match listed {
            Ok(names) => names,
            Err(error) => return self.unreadable(path, Some(stamp), &error),
        };
        names.sort_by(|(one, _), (other, _)| one.cmp(other));
        let has_manifest = names.iter().any(|(name, _)| name == "Cargo.toml");
        self.push(path.clone(), Some(stamp), stamp.is_settled(self.now), What::Directory);
        self.above.push(stamp.identity());
        for (name, file_type) in names {
            let child = path.join(&name);
            let is_output = name == "target" && (has_manifest || child.join("CACHEDIR.TAG").exists()) && child.is_dir();
            if self.over || is_output || names::is_temporary(&name) || names::is_nobodys(&name) || child == self.skip {
                continue;
            }
            self.visit(child, file_type.is_symlink());
        }
        self.above.pop();
    }

    fn file(&mut self, path: PathBuf, stamp: Stamp) {
        self.bytes += stamp.length;
        if stamp.length > self.bounds.file {
            let (size, bound) = (stamp.length >> 20, self.bounds.file >> 20);
            let subject = self.file_words(&path, "is", "has a file of", &format!("{size} MiB"));
            let advice = if path == self.root { "" } else { ": keep data outside the plugin's folder" };
            self.tell(format!("{subject}, more than the {bound} MiB that are read{advice}"));
            return self.push(path, Some(stamp), true, What::Other(b'x', stamp.length.to_le_bytes().to_vec()));
        }
        if self.bytes > self.bounds.bytes {
            self.push(path, Some(stamp), true, What::Other(b'x', stamp.length.to_le_bytes().to_vec()));
            self.tell(format!(
                "has more than {} MiB of files, most of them in `{}`: keep data outside the plugin's folder",
                self.bounds.bytes >> 20,
                self.largest()
            ));
            self.over = true;
            return;
        }
        if let Some(known) = self.known.remove(&path).filter(|known| known.settled && known.stamp == Some(stamp)) {
            return self.push(path, known.stamp, true, known.what);
        }
        match self.read(&path) {
            Ok((stamp, settled, what)) => self.push(path, Some(stamp), settled, what),
            Err(error) => self.unreadable(path, Some(stamp), &error),
        }
    }

    fn read(&self, path: &Path) -> io::Result<(Stamp, bool, What)> {
        // Should it have become a pipe: opening one would wait for somebody to write into it.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut file = File::options().read(true).custom_flags(nonblocking).open(path)?;
        let before = Stamp::of(&file.metadata()?);
        let keeps_text =
            before.length <= TEXT && (path == self.root || path.file_name() == Some(OsStr::new("Cargo.toml")));
        let (mut hasher, mut text) = (Sha256::new(), Vec::new());
        let mut chunk = vec![0; usize::try_from(before.length.clamp(1, 1 << 16)).unwrap_or(1 << 16)];
        let mut left = self.bounds.file;
        while left > 0 {
            let count = match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hasher.update(&chunk[..count]);
            if keeps_text {
                text.extend_from_slice(&chunk[..count]);
            }
            left = left.saturating_sub(count as u64);
        }
        let after = Stamp::of(&file.metadata()?);
        let settled = before == after && after.is_settled(self.now);
        let text = keeps_text.then(|| Arc::from(text));
        Ok((after, settled, What::File { digest: hasher.finalize().into(), text }))
    }

    fn push(&mut self, path: PathBuf, stamp: Option<Stamp>, settled: bool, what: What) {
        self.items.push(Item { path, stamp, settled, what });
        if self.items.len() > self.bounds.count && !self.over {
            self.tell(format!(
                "has more than {} files, most of them in `{}`: keep data outside the plugin's folder",
                self.bounds.count,
                self.largest()
            ));
            self.over = true;
        }
    }

    fn unreadable(&mut self, path: PathBuf, stamp: Option<Stamp>, error: &io::Error) {
        let subject = self.file_words(&path, "cannot be read by", "has a file that cannot be read by", "the server");
        self.tell(format!("{subject}: {}; give the server's user leave to read it", in_words(error)));
        // Leave to read it may come without its stamp changing, from a directory above: it is tried every time.
        self.push(path, stamp, false, What::Other(b'u', Vec::new()));
    }

    fn tell(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    /// A sentence's beginning about the root itself, or about a file in it, which is named.
    fn file_words(&self, path: &Path, root: &str, file: &str, rest: &str) -> String {
        match path.strip_prefix(self.root) {
            Ok(name) if path != self.root => format!("{file} {rest}, `{}`", shown(&name.to_string_lossy())),
            _ => format!("{root} {rest}"),
        }
    }

    /// Which part of the top holds the most.
    fn largest(&self) -> String {
        let mut shares = BTreeMap::<&OsStr, (u64, usize)>::new();
        for item in &self.items {
            let Some(top) = item.path.strip_prefix(self.root).ok().and_then(|relative| relative.iter().next()) else {
                continue;
            };
            let share = shares.entry(top).or_default();
            share.0 += item.stamp.map_or(0, |stamp| stamp.length);
            share.1 += 1;
        }
        let by_count = self.items.len() > self.bounds.count;
        let largest = shares.iter().max_by_key(|(_, (bytes, count))| if by_count { *count as u64 } else { *bytes });
        largest.map_or_else(|| ".".to_owned(), |(top, _)| shown(&top.to_string_lossy()))
    }
}

/// All trees that entries are made of, each looked at once in a round.
#[derive(Debug)]
pub(crate) struct Trees {
    trees: HashMap<PathBuf, (u64, Tree)>,
    round: u64,
    skip: PathBuf,
}

impl Trees {
    pub(crate) fn new(skip: PathBuf) -> Self {
        Trees { trees: HashMap::new(), round: 1, skip }
    }

    /// From now on everything is looked at again when it is asked for.
    pub(crate) fn next_round(&mut self) {
        self.round += 1;
    }

    /// Forgets what nobody asked for in the last rounds.
    pub(crate) fn forget_old(&mut self) {
        let oldest = self.round.saturating_sub(8);
        self.trees.retain(|_, (round, _)| *round >= oldest);
    }

    /// The tree at a physical path, looked at in this round.
    pub(crate) fn look(&mut self, root: &Path, bounds: ReadBounds) -> &Tree {
        if !self.trees.contains_key(root) {
            self.trees.insert(root.to_owned(), (0, Tree::new(root.to_owned(), bounds)));
        }
        let Some((round, tree)) = self.trees.get_mut(root) else { unreachable!("it was put there") };
        if *round != self.round {
            *round = self.round;
            tree.look(&self.skip);
        }
        tree
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
