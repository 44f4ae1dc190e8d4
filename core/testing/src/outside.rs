//! Crates that build as if they lived anywhere else: the shipped plugins, and applications that become plugins.
//!
//! Each is copied to a folder of its own and built by real cargo, with this repository's SDK in the place of the registry's. All
//! share a target directory, and begin with the versions that the fixtures are locked to, so that little is built twice.

use crate::fixtures::{repository, run_cargo};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A crate in a folder of its own.
#[derive(Debug)]
pub struct Outside {
    name: String,
    dir: PathBuf,
    /// What was put there; all else is of an earlier run.
    files: BTreeSet<PathBuf>,
}

impl Outside {
    /// A crate without files. Two at a time must not have one name.
    pub fn new(name: &str) -> Self {
        let dir = repository().join("target/outside").join(name);
        Outside { name: name.to_owned(), dir, files: BTreeSet::new() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds all files of a folder, in place of those with the same names; what builds leave there is left out.
    #[must_use]
    pub fn with_folder(mut self, folder: &Path) -> Self {
        for file in files_of(folder) {
            let contents = fs::read(folder.join(&file)).expect("it can be read");
            self = self.with_file(file, contents);
        }
        self
    }

    /// Adds a file. One that is as it was is not touched, so that cargo sees no change.
    #[must_use]
    pub fn with_file(mut self, path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> Self {
        let (path, contents) = (path.as_ref(), contents.as_ref());
        let place = self.dir.join(path);
        if fs::read(&place).is_ok_and(|there| there == contents) {
            self.files.insert(path.to_owned());
            return self;
        }
        fs::create_dir_all(place.parent().expect("it lies in the folder")).expect("a folder");
        fs::write(place, contents).expect("it can be written");
        self.files.insert(path.to_owned());
        self
    }

    /// Builds library and programs, and returns the folder where they are.
    pub fn build(self) -> PathBuf {
        for file in files_of(&self.dir) {
            if !self.files.contains(&file) {
                fs::remove_file(self.dir.join(file)).expect("it can be removed");
            }
        }
        let root = repository();
        let lock = self.dir.join("Cargo.lock");
        if !lock.exists() {
            fs::copy(root.join("core/loader/fixtures/Cargo.lock"), lock).expect("it can be copied");
        }
        let target = root.join("target/plugins");
        let sdk = format!("patch.crates-io.camlock-plugin.path={:?}", root.join("plugin-api"));
        let testkit = format!("patch.crates-io.camlock-testkit.path={:?}", root.join("plugin-api/testkit"));
        let target_dir = target.to_str().expect("a plain path");
        let quick = "profile.dev.debug=0";
        run_cargo(
            &self.dir,
            &["build", "--target-dir", target_dir, "--config", quick, "--config", &sdk, "--config", &testkit],
        );
        target.join("debug")
    }

    /// Builds, and returns the library.
    pub fn library(self) -> PathBuf {
        let file = format!("lib{}.so", self.name.replace('-', "_"));
        self.build().join(file)
    }
}

/// The files of a crate, by their paths in its folder.
pub fn files_of(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder.join(&inner)) else { continue };
        for entry in entries {
            let entry = entry.expect("an entry");
            let path = inner.join(entry.file_name());
            let name = entry.file_name();
            match entry.file_type().expect("a type") {
                kind if kind.is_dir() && name != "target" => folders.push(path),
                kind if kind.is_file() && name != "Cargo.lock" => drop(files.insert(path)),
                _ => {}
            }
        }
    }
    files
}
