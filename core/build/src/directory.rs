//! The plugins directory: which entries lie in it, and what each is made of.
//!
//! One look costs a few system calls for each file, as long as nothing has changed. What must not live here: building.

use crate::{
    fingerprint::FingerprintParts,
    known::{BuildKnowledge, hex},
    names,
    names::Promise,
    observed::{EntryContext, Observed},
    packages,
    scanner::{EntryScanner, included_name, is_learned, stem},
    snapshot::{EntrySnapshot, RestsOn},
    toolchain::Compiler,
    tree::{LIBRARY, SOURCES},
    words::{in_words, shown},
};
use camlock_policy::{Entry, Failure, Kind, Scan, Stage, manifest::check_name};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// Where entries lie, and what all of them have in common.
pub(crate) struct Directory {
    plugins: PathBuf,
    common: EntryContext,
    observed: Mutex<Observed>,
}

impl Directory {
    pub(crate) fn new(plugins: PathBuf, data: &Path, common: EntryContext) -> Self {
        let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
        Directory { plugins, common, observed: Mutex::new(Observed::new(data)) }
    }

    fn observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all entries.
    pub(crate) fn scan(&self) -> Scan {
        let mut observed = self.observed();
        observed.next_round();
        let listing = match observed.list(&self.plugins) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                observed.entries.clear();
                return Scan::default();
            }
            Err(error) => {
                let (path, why) = (self.plugins.display(), in_words(&error));
                let trouble = format!(
                    "the plugins directory {path} cannot be read: {why}; give the server's user leave to read it"
                );
                return Scan { trouble: Some(trouble), ..Scan::default() };
            }
        };
        let Ok(physical) = self.plugins.canonicalize() else { return Scan::default() };
        let (mut entries, mut ignored) = (Vec::new(), BTreeSet::new());
        for (name, file_type) in listing.iter() {
            match self.look(&mut observed, &physical, name, *file_type) {
                Some(snapshot) => entries.push(snapshot.entry.clone()),
                None if is_meant_as_plugin(name, &physical) => drop(ignored.insert(self.plugins.join(name))),
                None => {}
            }
        }
        let here: BTreeSet<&OsString> = listing.iter().map(|(name, _)| name).collect();
        observed.entries.retain(|name, remembered| here.contains(name) && remembered.snapshot.is_some());
        observed.trees.forget_old();
        Scan { entries, ignored, trouble: None }
    }

    /// Looks at one entry.
    pub(crate) fn snapshot(&self, path: &Path) -> Option<Arc<EntrySnapshot>> {
        let mut observed = self.observed();
        observed.next_round();
        self.look_again(&mut observed, path)
    }

    fn look_again(&self, observed: &mut Observed, path: &Path) -> Option<Arc<EntrySnapshot>> {
        let name = path.file_name()?;
        let physical = self.plugins.canonicalize().ok()?;
        let file_type = fs::symlink_metadata(self.plugins.join(name)).ok()?.file_type();
        self.look(observed, &physical, name, file_type)
    }

    /// What lies outside the plugins directory and matters to what was last seen in it.
    pub(crate) fn outside(&self) -> BTreeSet<PathBuf> {
        let physical = self.plugins.canonicalize().unwrap_or_else(|_| self.plugins.clone());
        let observed = self.observed();
        let snapshots = observed.entries.values().filter_map(|remembered| remembered.snapshot.as_ref());
        let all = snapshots.flat_map(|snapshot| snapshot.outside.iter());
        all.filter(|path| !path.starts_with(&physical)).cloned().collect()
    }

    pub(crate) fn known(&self, plugin: &str) -> BuildKnowledge {
        self.observed().known(&self.common.memory, plugin).1.clone()
    }

    /// Remembers what a build taught.
    pub(crate) fn learn(&self, plugin: &str, known: BuildKnowledge) -> io::Result<()> {
        let mut observed = self.observed();
        let (edition, before) = observed.known(&self.common.memory, plugin).clone();
        if before == known {
            return Ok(());
        }
        let kept = self.common.memory.keep(plugin, &known);
        observed.known.insert(plugin.to_owned(), (edition + 1, known));
        kept
    }

    /// The fingerprint of what came of a build, now that it has taught what it could: that of the sources as they are, if they are
    /// what they were before the build. Otherwise it is another one than the next look gives, so that it is built again.
    pub(crate) fn fingerprint_after(&self, before: &EntrySnapshot, started: SystemTime) -> camlock_policy::Fingerprint {
        let mut observed = self.observed();
        observed.next_round();
        let Some(after) = self.look_again(&mut observed, &before.entry.path) else {
            return before.fingerprint().clone();
        };
        let is_new = |name: &str| before.parts.get(name).is_none();
        let differs = before.parts.names().any(|name| {
            // A compiler that could not be asked before was installed by the build.
            let was_unknown =
                name == "compiler" && !matches!(before.rests_on.compiler, Some(Compiler::Known(_)) | None);
            // What earlier builds taught and this one did not is no part of it any more.
            let was_forgotten = is_learned(name) && after.parts.get(name).is_none();
            !was_unknown && !was_forgotten && before.parts.get(name) != after.parts.get(name)
        });
        // Of an included file nobody knew what it was before.
        let included = after.rests_on.trees.iter().skip(1).filter(|looked| {
            is_new(&included_name(&looked.root, &before.root)) && !before.rests_on.trees.contains(looked)
        });
        let included: Vec<_> = included.map(|looked| (looked.root.clone(), looked.bounds)).collect();
        let grew = included.iter().any(|(root, bounds)| observed.trees.look(root, *bounds).is_since(started));
        if differs || grew {
            return before.fingerprint().clone();
        }
        let touched = before.rests_on.trees.iter().any(|looked| {
            after.rests_on.trees.iter().any(|later| later.root == looked.root && later.edition != looked.edition)
        });
        let remembered =
            observed.entries.entry(before.entry.path.file_name().unwrap_or_default().to_owned()).or_default();
        // It may have been changed and changed back. But a build may also touch its own sources, every time.
        remembered.doubted = touched && !remembered.doubted;
        if remembered.doubted {
            return camlock_policy::Fingerprint(format!("{}-touched", after.fingerprint()));
        }
        after.fingerprint().clone()
    }

    /// The packages that an entry is built of besides itself, each with what it is made of.
    pub(crate) fn contents(&self, snapshot: &EntrySnapshot) -> BTreeMap<String, String> {
        let Some(recipe) = &snapshot.recipe else { return BTreeMap::new() };
        let mut observed = self.observed();
        let contents = packages::contents(&mut observed.trees, &snapshot.root, SOURCES, &recipe.packages);
        contents.into_iter().map(|(name, hash)| (name, hex(&hash))).collect()
    }

    fn look(
        &self,
        observed: &mut Observed,
        plugins: &Path,
        name: &OsStr,
        file_type: fs::FileType,
    ) -> Option<Arc<EntrySnapshot>> {
        let seen = self.see(observed, plugins, name, file_type);
        let remembered = observed.entries.entry(name.to_owned()).or_default();
        if let Some(snapshot) = &seen
            && snapshot.entry.problem.is_none()
            && remembered.name.as_ref() != Some(&snapshot.entry.name)
        {
            remembered.name = Some(snapshot.entry.name.clone());
        }
        remembered.snapshot.clone_from(&seen);
        seen
    }

    fn see(
        &self,
        observed: &mut Observed,
        plugins: &Path,
        name: &OsStr,
        file_type: fs::FileType,
    ) -> Option<Arc<EntrySnapshot>> {
        let promised = names::promise(name);
        if promised == Promise::Nothing {
            return None;
        }
        let path = self.plugins.join(name);
        let (root, file_type) = if file_type.is_symlink() {
            match path.canonicalize().and_then(|root| Ok((root.metadata()?.file_type(), root))) {
                Ok((file_type, root)) => (root, file_type),
                Err(error) => {
                    let called = observed.entries.get(name).and_then(|remembered| remembered.name.clone());
                    return Self::dangling(path, name, called, promised, &error);
                }
            }
        } else {
            (plugins.join(name), file_type)
        };
        let called = observed.entries.get(name).and_then(|remembered| remembered.name.clone());
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
        let remembered = observed.entries.get(name).and_then(|remembered| remembered.snapshot.clone());
        if let Some(before) = remembered
            && before.root == root
            && before.entry.kind == kind
            && self.rests_on(observed, &before, kind) == before.rests_on
        {
            return Some(before);
        }
        let scanner = EntryScanner { common: &self.common, observed, path, root, kind, bounds, called };
        let snapshot = scanner.scan(name);
        // One that was taken away while it was read is gone, and not broken.
        let is_gone = plugins.join(name).symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        (!is_gone).then(|| Arc::new(snapshot))
    }

    /// What a snapshot would rest on if it were taken now.
    fn rests_on(&self, observed: &mut Observed, before: &EntrySnapshot, kind: Kind) -> RestsOn {
        let looked = before.rests_on.trees.iter().map(|tree| observed.looked(&tree.root, tree.bounds)).collect();
        if kind == Kind::Prebuilt {
            return RestsOn { trees: looked, ..RestsOn::default() };
        }
        let surroundings = observed.places.of(&mut observed.trees, &self.common.tools, before.directory());
        let compiler = observed.compilers.for_directory(&self.common.tools, before.directory(), surroundings.toolchain);
        let known = observed.known(&self.common.memory, &before.entry.name).0;
        RestsOn { trees: looked, surroundings, compiler: Some(compiler), known }
    }

    fn dangling(
        path: PathBuf,
        name: &OsStr,
        called: Option<String>,
        promised: Promise,
        error: &io::Error,
    ) -> Option<Arc<EntrySnapshot>> {
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
    ) -> EntrySnapshot {
        let problem = Failure::new(Stage::Manifest, format!("`{}` {what}", shown(&name.to_string_lossy())));
        let mut parts = FingerprintParts::default();
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
        EntrySnapshot { entry, root, parts, outside: BTreeSet::new(), recipe: None, rests_on: RestsOn::default() }
    }
}

/// Whether somebody may take for a plugin what is none: a folder without a `Cargo.toml`.
fn is_meant_as_plugin(name: &OsStr, plugins: &Path) -> bool {
    names::promise(name) != Promise::Nothing && plugins.join(name).is_dir()
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
