//! What one look at the plugins directory leaves for the next, and what all its entries have in common.
//!
//! What must not live here: what an entry is made of.

use crate::{
    known::{BuildKnowledge, KnowledgeStore},
    snapshot::{EntrySnapshot, Looked},
    stamp::Stamp,
    surroundings::SurroundingsCache,
    toolchain::Compilers,
    tools::Tools,
    tree::{ReadBounds, Trees},
};
use camlock_policy::{Failure, manifest::check_name};
use std::{
    collections::HashMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// What a prebuilt library says of itself, as far as the directory's order needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The plugin's name.
    pub name: String,
    /// The paths that it claims.
    pub claims: Vec<String>,
}

/// Reads a prebuilt library, without running it.
pub type Identify = Arc<dyn Fn(&Path) -> Result<Identified, Failure> + Send + Sync>;

/// What all entries have in common.
pub(crate) struct EntryContext {
    pub(crate) identify: Identify,
    pub(crate) tools: Tools,
    pub(crate) memory: KnowledgeStore,
    /// The profile's name: it decides what comes of a build.
    pub(crate) profile: &'static str,
}

/// What is remembered from one look to the next.
pub(crate) struct Observed {
    pub(crate) trees: Trees,
    pub(crate) places: SurroundingsCache,
    pub(crate) compilers: Compilers,
    listing: Option<Listing>,
    pub(crate) entries: HashMap<OsString, Remembered>,
    pub(crate) known: HashMap<String, (u64, BuildKnowledge)>,
}

/// The names in the plugins directory.
#[derive(Clone)]
struct Listing {
    stamp: Stamp,
    settled: bool,
    names: Arc<Vec<(OsString, fs::FileType)>>,
}

#[derive(Default)]
pub(crate) struct Remembered {
    /// What it was last called: a manifest that is broken for a moment does not make another plugin of it.
    pub(crate) name: Option<String>,
    pub(crate) snapshot: Option<Arc<EntrySnapshot>>,
    /// The last build's outcome was put in doubt because a file was touched meanwhile.
    pub(crate) doubted: bool,
}

impl Observed {
    /// Nothing. `skip` is a directory that is part of no sources, wherever it lies.
    pub(crate) fn new(skip: PathBuf) -> Self {
        Observed {
            trees: Trees::new(skip),
            places: SurroundingsCache::default(),
            compilers: Compilers::default(),
            listing: None,
            entries: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// From now on everything is looked at again when it is asked for.
    pub(crate) fn next_round(&mut self) {
        self.trees.next_round();
        self.places.next_round();
        self.compilers.next_round();
    }

    /// The names in the plugins directory, read again only if it changed.
    pub(crate) fn list(&mut self, plugins: &Path) -> io::Result<Arc<Vec<(OsString, fs::FileType)>>> {
        let stamp = Stamp::of(&fs::metadata(plugins)?);
        if let Some(listing) = self.listing.as_ref().filter(|listing| listing.settled && listing.stamp == stamp) {
            return Ok(Arc::clone(&listing.names));
        }
        let now = SystemTime::now();
        let mut names = Vec::new();
        for entry in fs::read_dir(plugins)? {
            let entry = entry?;
            names.push((entry.file_name(), entry.file_type()?));
        }
        names.sort_by(|(one, _), (other, _)| one.cmp(other));
        let names = Arc::new(names);
        self.listing = Some(Listing { stamp, settled: stamp.is_settled(now), names: Arc::clone(&names) });
        Ok(names)
    }

    pub(crate) fn looked(&mut self, root: &Path, bounds: ReadBounds) -> Looked {
        let seen = self.trees.look(root, bounds).seen();
        Looked { root: root.to_owned(), bounds, digest: seen.digest, edition: seen.edition, is_there: seen.is_there }
    }

    pub(crate) fn known(&mut self, memory: &KnowledgeStore, plugin: &str) -> &(u64, BuildKnowledge) {
        if !self.known.contains_key(plugin) {
            // Whatever a name is called, only a good one is a file's name.
            let known = if check_name(plugin).is_ok() { memory.of(plugin) } else { BuildKnowledge::default() };
            self.known.insert(plugin.to_owned(), (1, known));
        }
        &self.known[plugin]
    }
}
