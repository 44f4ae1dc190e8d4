//! A catalog of the tests' own, with its keeper and somebody who follows it.

use super::*;
use crate::{
    CatalogTrouble,
    package::{
        AuthorKey, ReadLibrary, generate_author_key,
        tests::{facts, plain},
    },
    publish::{Keeper, Lifetimes, NewCatalog, Publication, Publishing},
};
use jiff::Timestamp;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A catalog, its keeper's keys, an author, and somebody who follows it.
pub(crate) struct CatalogSite {
    pub(super) dir: tempfile::TempDir,
    pub(crate) author: AuthorKey,
    pub(super) trusted: TrustedFiles,
}

/// Packages whose library says it is whatever they are.
pub(super) fn reading(packages: &[crate::package::PackageArchive]) -> ReadLibrary {
    // All have the same bytes: what is read next is what is published next.
    let queue: std::sync::Mutex<Vec<_>> =
        packages.iter().rev().map(|one| facts(&one.record().name, &one.record().version)).collect::<Vec<_>>().into();
    Arc::new(move |_| Ok(queue.lock().unwrap().pop().expect("each is read once")))
}

impl CatalogSite {
    pub(crate) fn new() -> Self {
        CatalogSite::of(NewCatalog::default())
    }

    pub(super) fn of(new: NewCatalog) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Keeper::create(&dir.path().join("catalog"), &dir.path().join("keys"), new, Lifetimes::default()).unwrap();
        let author = generate_author_key(&dir.path().join("author"), None).unwrap();
        CatalogSite { dir, author, trusted: TrustedFiles::default() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("catalog")
    }

    pub(super) fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    pub(crate) fn keeper(&self) -> Keeper {
        Keeper::open(&self.path(), &self.keys(), Lifetimes::default()).unwrap()
    }

    pub(crate) fn publish(&self, what: &[(&str, &str)]) -> Result<Publishing, CatalogTrouble> {
        self.publish_by(&self.keeper(), what)
    }

    pub(super) fn publish_by(&self, keeper: &Keeper, what: &[(&str, &str)]) -> Result<Publishing, CatalogTrouble> {
        let packages: Vec<_> =
            what.iter().map(|(name, version)| plain(facts(name, version), Some(&self.author))).collect();
        let read = reading(&packages);
        keeper.publish(
            Publication { packages, publishers: vec![self.author.publisher()], ..Publication::default() },
            &read,
        )
    }

    pub(super) fn place(&self) -> CatalogPlace {
        CatalogPlace::Folder(self.path())
    }

    pub(super) fn root(&self) -> Vec<u8> {
        // Whoever follows it got this one long ago.
        let kept = self.dir.path().join("first.root.json");
        if !kept.exists() {
            fs::write(&kept, CatalogReader::first_root(&self.place()).unwrap()).unwrap();
        }
        fs::read(kept).unwrap()
    }

    pub(super) fn open(&self) -> Result<CatalogReader, CatalogTrouble> {
        self.open_at(Timestamp::now())
    }

    pub(super) fn open_at(&self, now: Timestamp) -> Result<CatalogReader, CatalogTrouble> {
        CatalogReader::open(self.place(), &self.root(), self.trusted.clone(), now)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join("metadata").join(name)
    }

    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let path = self.file(name);
        let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
    }

    /// The only file below a folder whose name ends so.
    pub(super) fn only(&self, folder: &str, end: &str) -> PathBuf {
        let mut found: Vec<PathBuf> =
            fs::read_dir(self.path().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.to_string_lossy().ends_with(end));
        assert_eq!(found.len(), 1, "{folder} {end}: {found:?}");
        found.pop().unwrap()
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

pub(super) fn names(lines: &SyncedLines) -> Vec<String> {
    match lines {
        SyncedLines::Unchanged => Vec::new(),
        SyncedLines::All(lines) | SyncedLines::Changes(lines) => {
            lines.iter().map(|line| format!("{} {}", line.name, line.version)).collect()
        }
    }
}
