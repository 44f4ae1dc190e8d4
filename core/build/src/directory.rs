//! The plugins directory: which entries lie in it, and what each is made of.
//!
//! One look costs a few system calls for each file, as long as nothing has changed. What must not live here: building.

use crate::{
    fingerprint::Parts,
    known::{Known, Memory, hex},
    names,
    names::Promise,
    packages,
    seer::{Seer, included_name, stem},
    snapshot::{Looked, RestsOn, Snapshot},
    stamp::Stamp,
    surroundings::Places,
    toolchain::{Compiler, Compilers},
    tools::Tools,
    tree::{Bounds, LIBRARY, SOURCES, Trees},
    words::{in_words, shown},
};
use camlock_policy::{Entry, Failure, Kind, Scan, Stage, manifest::check_name};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

/// Where entries lie, and what all of them have in common.
pub(crate) struct Directory {
    plugins: PathBuf,
    pub(crate) identify: Identify,
    pub(crate) tools: Tools,
    pub(crate) memory: Memory,
    /// The profile's name: it decides what comes of a build.
    pub(crate) profile: &'static str,
    state: Mutex<State>,
}

/// What is remembered from one look to the next.
pub(crate) struct State {
    pub(crate) trees: Trees,
    pub(crate) places: Places,
    pub(crate) compilers: Compilers,
    listing: Option<Listing>,
    entries: HashMap<OsString, Remembered>,
    known: HashMap<String, (u64, Known)>,
}

/// The names in the plugins directory.
#[derive(Clone)]
struct Listing {
    stamp: Stamp,
    settled: bool,
    names: Arc<Vec<(OsString, fs::FileType)>>,
}

#[derive(Default)]
struct Remembered {
    /// What it was last called: a manifest that is broken for a moment does not make another plugin of it.
    name: Option<String>,
    snapshot: Option<Arc<Snapshot>>,
    /// The last build's outcome was put in doubt because a file was touched meanwhile.
    doubted: bool,
}

impl Directory {
    pub(crate) fn new(
        plugins: PathBuf,
        data: &Path,
        profile: &'static str,
        tools: Tools,
        memory: Memory,
        identify: Identify,
    ) -> Self {
        let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
        let state = State {
            trees: Trees::new(data),
            places: Places::default(),
            compilers: Compilers::default(),
            listing: None,
            entries: HashMap::new(),
            known: HashMap::new(),
        };
        Directory { plugins, identify, tools, memory, profile, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all entries.
    pub(crate) fn scan(&self) -> Scan {
        let mut state = self.state();
        state.next_round();
        let listing = match state.list(&self.plugins) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                state.entries.clear();
                return Scan::default();
            }
            Err(error) => {
                let (path, why) = (self.plugins.display(), in_words(&error));
                let trouble = format!(
                    "the plugins directory {path} cannot be read: {why}; give the server's user leave to read it"
                );
                return Scan { entries: Vec::new(), trouble: Some(trouble) };
            }
        };
        let Ok(physical) = self.plugins.canonicalize() else { return Scan::default() };
        let mut entries = Vec::new();
        for (name, file_type) in listing.iter() {
            if let Some(snapshot) = self.look(&mut state, &physical, name, *file_type) {
                entries.push(snapshot.entry.clone());
            }
        }
        let here: BTreeSet<&OsString> = listing.iter().map(|(name, _)| name).collect();
        state.entries.retain(|name, remembered| here.contains(name) && remembered.snapshot.is_some());
        state.trees.forget_old();
        Scan { entries, trouble: None }
    }

    /// Looks at one entry.
    pub(crate) fn snapshot(&self, path: &Path) -> Option<Arc<Snapshot>> {
        let mut state = self.state();
        state.next_round();
        self.look_again(&mut state, path)
    }

    fn look_again(&self, state: &mut State, path: &Path) -> Option<Arc<Snapshot>> {
        let name = path.file_name()?;
        let physical = self.plugins.canonicalize().ok()?;
        let file_type = fs::symlink_metadata(self.plugins.join(name)).ok()?.file_type();
        self.look(state, &physical, name, file_type)
    }

    /// What lies outside the plugins directory and matters to what was last seen in it.
    pub(crate) fn outside(&self) -> BTreeSet<PathBuf> {
        let physical = self.plugins.canonicalize().unwrap_or_else(|_| self.plugins.clone());
        let state = self.state();
        let snapshots = state.entries.values().filter_map(|remembered| remembered.snapshot.as_ref());
        let all = snapshots.flat_map(|snapshot| snapshot.outside.iter());
        all.filter(|path| !path.starts_with(&physical)).cloned().collect()
    }

    pub(crate) fn known(&self, plugin: &str) -> Known {
        self.state().known(&self.memory, plugin).1.clone()
    }

    /// Remembers what a build taught.
    pub(crate) fn learn(&self, plugin: &str, known: Known) -> io::Result<()> {
        let mut state = self.state();
        let (edition, before) = state.known(&self.memory, plugin).clone();
        if before == known {
            return Ok(());
        }
        let kept = self.memory.keep(plugin, &known);
        state.known.insert(plugin.to_owned(), (edition + 1, known));
        kept
    }

    /// The fingerprint of what came of a build, now that it has taught what it could: that of the sources as they are, if they are
    /// what they were before the build. Otherwise it is another one than the next look gives, so that it is built again.
    pub(crate) fn mark_after(&self, before: &Snapshot, started: SystemTime) -> camlock_policy::Fingerprint {
        let mut state = self.state();
        state.next_round();
        let Some(after) = self.look_again(&mut state, &before.entry.path) else { return before.fingerprint().clone() };
        let is_new = |name: &str| before.parts.get(name).is_none();
        let differs = before.parts.names().any(|name| {
            // A compiler that could not be asked before was installed by the build.
            let was_unknown =
                name == "compiler" && !matches!(before.rests_on.compiler, Some(Compiler::Known(_)) | None);
            !was_unknown && before.parts.get(name) != after.parts.get(name)
        });
        // Of an included file nobody knew what it was before.
        let included = after.rests_on.trees.iter().skip(1).filter(|looked| {
            is_new(&included_name(&looked.root, &before.root)) && !before.rests_on.trees.contains(looked)
        });
        let included: Vec<_> = included.map(|looked| (looked.root.clone(), looked.bounds)).collect();
        let grew = included.iter().any(|(root, bounds)| state.trees.look(root, *bounds).is_since(started));
        if differs || grew {
            return before.fingerprint().clone();
        }
        let touched = before.rests_on.trees.iter().any(|looked| {
            after.rests_on.trees.iter().any(|later| later.root == looked.root && later.edition != looked.edition)
        });
        let remembered = state.entries.entry(before.entry.path.file_name().unwrap_or_default().to_owned()).or_default();
        // It may have been changed and changed back. But a build may also touch its own sources, every time.
        remembered.doubted = touched && !remembered.doubted;
        if remembered.doubted {
            return camlock_policy::Fingerprint(format!("{}-touched", after.fingerprint()));
        }
        after.fingerprint().clone()
    }

    /// The packages that an entry is built of besides itself, each with what it is made of.
    pub(crate) fn contents(&self, snapshot: &Snapshot) -> BTreeMap<String, String> {
        let Some(recipe) = &snapshot.recipe else { return BTreeMap::new() };
        let mut state = self.state();
        let contents = packages::contents(&mut state.trees, &snapshot.root, SOURCES, &recipe.packages);
        contents.into_iter().map(|(name, hash)| (name, hex(&hash))).collect()
    }

    fn look(&self, state: &mut State, plugins: &Path, name: &OsStr, file_type: fs::FileType) -> Option<Arc<Snapshot>> {
        let seen = self.see(state, plugins, name, file_type);
        let remembered = state.entries.entry(name.to_owned()).or_default();
        if let Some(snapshot) = &seen
            && snapshot.entry.problem.is_none()
            && remembered.name.as_ref() != Some(&snapshot.entry.name)
        {
            remembered.name = Some(snapshot.entry.name.clone());
        }
        remembered.snapshot.clone_from(&seen);
        seen
    }

    fn see(&self, state: &mut State, plugins: &Path, name: &OsStr, file_type: fs::FileType) -> Option<Arc<Snapshot>> {
        let promised = names::promise(name);
        if promised == Promise::Nothing {
            return None;
        }
        let path = self.plugins.join(name);
        let (root, file_type) = if file_type.is_symlink() {
            match path.canonicalize().and_then(|root| Ok((root.metadata()?.file_type(), root))) {
                Ok((file_type, root)) => (root, file_type),
                Err(error) => {
                    let called = state.entries.get(name).and_then(|remembered| remembered.name.clone());
                    return Self::dangling(path, name, called, promised, &error);
                }
            }
        } else {
            (plugins.join(name), file_type)
        };
        let called = state.entries.get(name).and_then(|remembered| remembered.name.clone());
        let kind = match promised {
            _ if file_type.is_dir() => match root.join("Cargo.toml").symlink_metadata() {
                Ok(_) => Kind::Crate,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let what =
                        "cannot be read by the server: permission denied; give the server's user leave to read it";
                    return Some(Arc::new(Self::unusable(path, root, name, called, Kind::Crate, what)));
                }
                Err(_) => return None,
            },
            Promise::File(kind) if file_type.is_file() => kind,
            Promise::File(kind) => {
                let what = "is neither a file nor a directory; remove it, or give it another name";
                return Some(Arc::new(Self::unusable(path, root, name, called, kind, what)));
            }
            Promise::Directory | Promise::Nothing => return None,
        };
        let bounds = if kind == Kind::Prebuilt { LIBRARY } else { SOURCES };
        let remembered = state.entries.get(name).and_then(|remembered| remembered.snapshot.clone());
        if let Some(before) = remembered
            && before.root == root
            && before.entry.kind == kind
            && self.rests_on(state, &before, kind) == before.rests_on
        {
            return Some(before);
        }
        let seer = Seer { directory: self, state, path, root, kind, bounds, called };
        Some(Arc::new(seer.see(name)))
    }

    /// What a snapshot would rest on if it were taken now.
    fn rests_on(&self, state: &mut State, before: &Snapshot, kind: Kind) -> RestsOn {
        let looked = before.rests_on.trees.iter().map(|tree| state.looked(&tree.root, tree.bounds)).collect();
        if kind == Kind::Prebuilt {
            return RestsOn { trees: looked, ..RestsOn::default() };
        }
        let surroundings = state.places.of(&mut state.trees, &self.tools, before.directory());
        let compiler = state.compilers.for_directory(&self.tools, before.directory(), surroundings.toolchain);
        let known = state.known(&self.memory, &before.entry.name).0;
        RestsOn { trees: looked, surroundings, compiler: Some(compiler), known }
    }

    fn dangling(
        path: PathBuf,
        name: &OsStr,
        called: Option<String>,
        promised: Promise,
        error: &io::Error,
    ) -> Option<Arc<Snapshot>> {
        let kind = match promised {
            Promise::File(kind) => kind,
            _ if called.is_some() || name.to_str().is_some_and(|name| check_name(name).is_ok()) => Kind::Crate,
            _ => return None,
        };
        let target = fs::read_link(&path).unwrap_or_default();
        let why = in_words(error);
        let what = format!("is a link to `{}`, which cannot be followed: {why}", shown(&target.to_string_lossy()));
        Some(Arc::new(Self::unusable(path.clone(), path, name, called, kind, &what)))
    }

    /// An entry of which nothing is known but that no plugin can come of it.
    fn unusable(
        path: PathBuf,
        root: PathBuf,
        name: &OsStr,
        called: Option<String>,
        kind: Kind,
        what: &str,
    ) -> Snapshot {
        let problem = Failure::new(Stage::Manifest, format!("`{}` {what}", shown(&name.to_string_lossy())));
        let mut parts = Parts::default();
        parts.add("problem", &problem.reason);
        let called = called.unwrap_or_else(|| stem(name, kind));
        let entry = Entry {
            name: called,
            path,
            kind,
            fingerprint: parts.fingerprint(),
            claims: Vec::new(),
            problem: Some(problem),
        };
        Snapshot { entry, root, parts, outside: BTreeSet::new(), recipe: None, rests_on: RestsOn::default() }
    }
}

impl State {
    fn next_round(&mut self) {
        self.trees.next_round();
        self.places.next_round();
        self.compilers.next_round();
    }

    /// The names in the plugins directory, read again only if it changed.
    fn list(&mut self, plugins: &Path) -> io::Result<Arc<Vec<(OsString, fs::FileType)>>> {
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

    pub(crate) fn looked(&mut self, root: &Path, bounds: Bounds) -> Looked {
        let seen = self.trees.look(root, bounds).seen();
        Looked { root: root.to_owned(), bounds, digest: seen.digest, edition: seen.edition, is_there: seen.is_there }
    }

    pub(crate) fn known(&mut self, memory: &Memory, plugin: &str) -> &(u64, Known) {
        if !self.known.contains_key(plugin) {
            // Whatever a name is called, only a good one is a file's name.
            let known = if check_name(plugin).is_ok() { memory.of(plugin) } else { Known::default() };
            self.known.insert(plugin.to_owned(), (1, known));
        }
        &self.known[plugin]
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
