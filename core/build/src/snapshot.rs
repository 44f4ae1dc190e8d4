//! An entry of the plugins directory as it was at one moment: all that a build of it needs to know.

use crate::{
    fingerprint::FingerprintParts,
    packages::Packages,
    surroundings::Surroundings,
    toolchain::Compiler,
    tree::{Hash, ReadBounds},
};
use camlock_policy::{Entry, Fingerprint};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// An entry as it was.
#[derive(Clone, Debug)]
pub(crate) struct EntrySnapshot {
    /// As core is told of it.
    pub(crate) entry: Entry,
    /// Where it lies, links resolved: a directory or a file.
    pub(crate) root: PathBuf,
    /// What its fingerprint is made of.
    pub(crate) parts: FingerprintParts,
    /// What lies outside the plugins directory and matters.
    pub(crate) outside: BTreeSet<PathBuf>,
    /// What cargo is to build, if that is known and cargo has to do with it.
    pub(crate) recipe: Option<Recipe>,
    /// What was looked at to come to all this.
    pub(crate) rests_on: RestsOn,
}

/// What cargo is to build.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// The manifest: the author's as it stands, or that of a single file.
    pub(crate) manifest: String,
    /// The source of a single file, if it is not taken as it is.
    pub(crate) source: Option<String>,
    /// The packages that it is built of.
    pub(crate) packages: Packages,
    /// What holds where it lies.
    pub(crate) surroundings: Surroundings,
    /// The compiler that builds it.
    pub(crate) compiler: Compiler,
}

/// With all of this unchanged, nothing has to be thought over again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RestsOn {
    /// Trees, the entry's own first.
    pub(crate) trees: Vec<Looked>,
    pub(crate) surroundings: Surroundings,
    pub(crate) compiler: Option<Compiler>,
    /// Which edition of what is known of it.
    pub(crate) known: u64,
}

/// A tree that was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    pub(crate) root: PathBuf,
    pub(crate) bounds: ReadBounds,
    pub(crate) digest: Hash,
    pub(crate) edition: u64,
    pub(crate) is_there: bool,
}

impl PartialEq for Looked {
    fn eq(&self, other: &Self) -> bool {
        (&self.root, self.digest, self.edition, self.is_there)
            == (&other.root, other.digest, other.edition, other.is_there)
    }
}

impl Eq for Looked {}

impl EntrySnapshot {
    pub(crate) fn fingerprint(&self) -> &Fingerprint {
        &self.entry.fingerprint
    }

    /// The directory in which cargo is started: where the author would.
    pub(crate) fn directory(&self) -> &Path {
        match self.entry.kind {
            camlock_policy::Kind::Crate => &self.root,
            _ => self.root.parent().unwrap_or(&self.root),
        }
    }
}
