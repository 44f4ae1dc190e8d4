//! What the policy needs of the world: the directory and its builds, artifacts, loading. Implemented by other crates, and by fakes.
//!
//! What must not live here: anything that decides.

use crate::{
    BoxFuture, ConfigSchema, Digest, Failure, Granted, Isolation, Loaded, Manifest, MigrationFile, ProcessLimits,
    Sealer, TableTerms, TablesNotReady, TablesReady,
    routes::{Routed, Target},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// What sort of entry a plugin comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// `NAME/Cargo.toml`.
    Crate,
    /// `NAME.rs`.
    SingleFile,
    /// `NAME.so`.
    Prebuilt,
    /// Compiled into the server.
    BuiltIn,
}

/// What an entry is made of, as a fingerprint: with an equal fingerprint there is nothing to build.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// Of what is not there: no entry has it.
    pub const NOTHING: Fingerprint = Fingerprint(String::new());
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An entry of the plugins directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The plugin's name: its package's. Where that cannot be read, what the entry is called, whatever that is.
    pub name: String,
    /// Where it lies, as a path below the plugins directory (links are not resolved).
    pub path: PathBuf,
    /// From what sort of entry it comes.
    pub kind: Kind,
    /// What it is made of.
    pub fingerprint: Fingerprint,
    /// What its manifest claims, as far as that can be read before anything is built.
    pub claims: Vec<String>,
    /// Why no plugin can come of it, if that is known before anything is built.
    pub problem: Option<Failure>,
}

/// What lies in the plugins directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Its entries, by path.
    pub entries: Vec<Entry>,
    /// Folders that somebody may take for plugins, and of which none can come: they have no `Cargo.toml`.
    pub ignored: BTreeSet<PathBuf>,
    /// Why the directory could not be read (what is known of its entries then stays as it was), in one sentence.
    pub trouble: Option<String>,
}

/// What came of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The library. It may be replaced by the next build: it is copied before anything else is done with it.
    pub candidate: PathBuf,
    /// What it was built from. An edit during the build shows in that the next scan gives another fingerprint.
    pub fingerprint: Fingerprint,
}

/// How far a build has come, for people: "Compiling serde", 12 of 80.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BuildProgress {
    /// What is being done.
    pub doing: String,
    /// How many units are done.
    pub done: usize,
    /// How many there are, if that is known.
    pub total: Option<usize>,
    /// Nothing is being done yet: others come first.
    pub is_queued: bool,
}

impl fmt::Display for BuildProgress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.done, self.total) {
            (done, Some(total)) => write!(formatter, "{} ({done} of {total})", self.doing),
            (0, None) => formatter.write_str(&self.doing),
            (done, None) => write!(formatter, "{} ({done} done)", self.doing),
        }
    }
}

/// Which build comes before which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuildPriority {
    /// An edit of what serves.
    Serving,
    /// Somebody asked for it, and waits.
    Asked,
    /// All else.
    Rest,
}

/// Where builds tell how far they are.
pub type Progress = Arc<dyn Fn(BuildProgress) + Send + Sync>;

/// The plugins directory, and what makes libraries of its entries.
pub trait Sources: Send + Sync {
    /// Looks at the directory. Blocking; with nothing changed it costs a few system calls for each file.
    fn scan(&self) -> Scan;

    /// Builds an entry; a prebuilt one is its own outcome. Dropping the future ends the build with all its processes.
    fn build(&self, entry: &Entry, priority: BuildPriority, progress: Progress) -> BoxFuture<Result<Built, Failure>>;

    /// Moves an entry out of the plugins directory, to where it can be had back from: where that is. Blocking.
    fn remove(&self, entry: &Entry) -> Result<PathBuf, Failure>;

    /// Files and directories outside the plugins directory that entries are made of (path dependencies, included files).
    fn outside(&self) -> BTreeSet<PathBuf>;
}

/// An artifact that was kept: what it was built from, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The plugin that it was built for.
    pub name: String,
    /// The version of its package.
    pub version: String,
    /// What it was built from.
    pub fingerprint: Fingerprint,
    /// The hash of its bytes.
    pub digest: Digest,
    /// When it was recorded.
    pub at: SystemTime,
}

/// What is known of kept artifacts. It outlives the process; two processes may use it at once.
pub trait Shelf: Send + Sync {
    /// The artifact that was built from this, if its bytes are still there.
    fn find(&self, name: &str, fingerprint: &Fingerprint) -> Option<Digest>;
    /// Puts an artifact on record, so that `find` and `history` know it.
    fn record(&self, kept: &Kept) -> Result<(), Failure>;
    /// A plugin's artifacts, the newest first.
    fn history(&self, name: &str) -> Vec<Kept>;
    /// Removes what is neither among a plugin's newest, as many as `keep` says for its name, nor in use by this or another
    /// process.
    fn sweep(&self, keep: &dyn Fn(&str) -> usize, in_use: &BTreeSet<Digest>);
}

/// Artifacts that may be loaded.
pub trait Loading: Send + Sync {
    /// Takes a copy of a library, verifies it, and has it ready.
    fn prepare(&self, candidate: &Path) -> BoxFuture<Result<Arc<dyn Candidate>, Failure>>;
    /// The same for an artifact that was kept.
    fn recall(&self, digest: Digest) -> BoxFuture<Result<Arc<dyn Candidate>, Failure>>;
}

/// A verified artifact, or a plugin that is compiled in.
pub trait Candidate: Send + Sync {
    /// What it says of itself.
    fn manifest(&self) -> &Manifest;
    /// Its bytes; none for a plugin that is compiled in.
    fn digest(&self) -> Option<Digest>;
    /// Where its bytes are, if they are in a file.
    fn path(&self) -> Option<&Path> {
        None
    }
    /// What its configuration must be like; none: it is not told.
    fn schema(&self) -> Option<Arc<dyn ConfigSchema>> {
        None
    }
    /// What makes its tables.
    fn migrations(&self) -> &[MigrationFile] {
        &[]
    }
    /// Why it will not leave the process once it is loaded, if that is known.
    fn stays(&self) -> Option<&str>;
    /// Makes an instance. Its failure's stage is `Load`.
    fn load(&self, start: GenerationStart) -> BoxFuture<Result<Loaded, Failure>>;
}

/// What a generation begins with.
#[derive(Clone, Debug)]
pub struct GenerationStart {
    /// Its number.
    pub generation: u64,
    /// Its configuration, a JSON object.
    pub config: Arc<str>,
    /// What it may.
    pub granted: Granted,
    /// Where its code is to run.
    pub isolation: Isolation,
    /// The bounds of its process, if it is to have one of its own.
    pub limits: ProcessLimits,
}

/// One that is granted nothing.
impl<C: Into<Arc<str>>> From<(u64, C)> for GenerationStart {
    fn from((generation, config): (u64, C)) -> Self {
        let (config, granted) = (config.into(), Granted::default());
        let limits = ProcessLimits::default();
        GenerationStart { generation, config, granted, isolation: Isolation::None, limits }
    }
}

/// What plugins keep beside their entries.
pub trait Keepings: Send + Sync {
    /// Removes all of it, of a plugin that is gone. Once more changes nothing. Else why not, in one sentence.
    fn purge(&self, plugin: &str) -> BoxFuture<Result<(), String>>;

    /// Brings a plugin's own tables to what a version with these migrations needs to start, and leaves alone what an earlier one
    /// needs, on these terms.
    fn make_tables_ready(
        &self,
        plugin: &str,
        files: Vec<MigrationFile>,
        terms: TableTerms,
    ) -> BoxFuture<Result<TablesReady, TablesNotReady>>;

    /// Takes away from its tables what only versions before this one needed: the files that have run for that.
    fn contract_tables(&self, plugin: &str, files: Vec<MigrationFile>) -> BoxFuture<Result<Vec<String>, Failure>>;

    /// What seals the secrets of their configurations.
    fn sealer(&self) -> Arc<dyn Sealer>;
}

/// Where requests are dispatched.
pub trait Publish: Send + Sync {
    /// From now on requests are answered by these, and by no others. Requests that have begun are not disturbed. The table
    /// that is replaced is dropped as soon as no request is being looked up in it.
    fn publish(&self, plugins: Vec<Routed<Target>>);
}
