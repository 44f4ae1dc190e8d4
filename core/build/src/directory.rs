//! The plugins directory: which entries lie in it, and what each is made of.
//!
//! One look costs a few system calls for each file, as long as nothing has changed. What must not live here: building.

use crate::{
    known::{Included, Known, Memory, hex},
    manifest,
    mark::Parts,
    names,
    names::Promise,
    packages::{self, Packages},
    paths, sdk, single,
    snapshot::{Looked, Recipe, RestsOn, Snapshot},
    stamp::Stamp,
    surroundings::Places,
    toolchain::{Compiler, Compilers},
    tools::Tools,
    tree::{Bounds, LIBRARY, SOURCES, Trees},
    words::{in_words, shown},
};
use camlock_core::{Entry, Failure, Kind, Scan, Stage, manifest::check_name};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// Reads a prebuilt library's name, without running it.
pub type Identify = Arc<dyn Fn(&Path) -> Result<String, Failure> + Send + Sync>;

/// Where entries lie, and what all of them have in common.
pub(crate) struct Directory {
    plugins: PathBuf,
    identify: Identify,
    tools: Tools,
    memory: Memory,
    /// The profile's name: it decides what comes of a build.
    profile: &'static str,
    state: Mutex<State>,
}

/// What is remembered from one look to the next.
struct State {
    trees: Trees,
    places: Places,
    compilers: Compilers,
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

    /// The mark of what came of a build, now that it has taught what it could: that of the sources as they are, if they are
    /// what they were before the build. Otherwise it is another one than the next look gives, so that it is built again.
    pub(crate) fn mark_after(&self, before: &Snapshot, started: SystemTime) -> camlock_core::Mark {
        let mut state = self.state();
        state.next_round();
        let Some(after) = self.look_again(&mut state, &before.entry.path) else { return before.mark().clone() };
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
            return before.mark().clone();
        }
        let touched = before.rests_on.trees.iter().any(|looked| {
            after.rests_on.trees.iter().any(|later| later.root == looked.root && later.edition != looked.edition)
        });
        let remembered = state.entries.entry(before.entry.path.file_name().unwrap_or_default().to_owned()).or_default();
        // It may have been changed and changed back. But a build may also touch its own sources, every time.
        remembered.doubted = touched && !remembered.doubted;
        if remembered.doubted {
            return camlock_core::Mark(format!("{}-touched", after.mark()));
        }
        after.mark().clone()
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
                Err(error) => return Self::dangling(path, name, promised, &error),
            }
        } else {
            (plugins.join(name), file_type)
        };
        let kind = match promised {
            _ if file_type.is_dir() => root.join("Cargo.toml").symlink_metadata().is_ok().then_some(Kind::Crate)?,
            Promise::File(kind) if file_type.is_file() => kind,
            Promise::File(kind) => {
                let what = "is neither a file nor a directory; remove it, or give it another name";
                return Some(Arc::new(Self::unusable(path, root, name, kind, what)));
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
        let called = state.entries.get(name).and_then(|remembered| remembered.name.clone());
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

    fn dangling(path: PathBuf, name: &OsStr, promised: Promise, error: &io::Error) -> Option<Arc<Snapshot>> {
        let kind = match promised {
            Promise::File(kind) => kind,
            _ if name.to_str().is_some_and(|name| check_name(name).is_ok()) => Kind::Crate,
            _ => return None,
        };
        let target = fs::read_link(&path).unwrap_or_default();
        let why = in_words(error);
        let what = format!("is a link to `{}`, which cannot be followed: {why}", shown(&target.to_string_lossy()));
        Some(Arc::new(Self::unusable(path.clone(), path, name, kind, &what)))
    }

    /// An entry of which nothing is known but that no plugin can come of it.
    fn unusable(path: PathBuf, root: PathBuf, name: &OsStr, kind: Kind, what: &str) -> Snapshot {
        let problem = Failure::new(Stage::Manifest, format!("`{}` {what}", shown(&name.to_string_lossy())));
        let mut parts = Parts::default();
        parts.add("problem", &problem.reason);
        let entry = Entry { name: stem(name, kind), path, kind, mark: parts.mark(), problem: Some(problem) };
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

    fn looked(&mut self, root: &Path, bounds: Bounds) -> Looked {
        let seen = self.trees.look(root, bounds).seen();
        Looked { root: root.to_owned(), bounds, digest: seen.digest, edition: seen.edition, is_there: seen.is_there }
    }

    fn known(&mut self, memory: &Memory, plugin: &str) -> &(u64, Known) {
        if !self.known.contains_key(plugin) {
            // Whatever a name is called, only a good one is a file's name.
            let known = if check_name(plugin).is_ok() { memory.of(plugin) } else { Known::default() };
            self.known.insert(plugin.to_owned(), (1, known));
        }
        &self.known[plugin]
    }
}

/// One entry being looked at anew.
struct Seer<'a> {
    directory: &'a Directory,
    state: &'a mut State,
    path: PathBuf,
    root: PathBuf,
    kind: Kind,
    bounds: Bounds,
    /// What it was called before.
    called: Option<String>,
}

impl Seer<'_> {
    fn see(mut self, name: &OsStr) -> Snapshot {
        let (seen, text) = {
            let tree = self.state.trees.look(&self.root, self.bounds);
            let inside = if self.kind == Kind::Crate { "Cargo.toml" } else { "" };
            (tree.seen().clone(), tree.text(Path::new(inside)))
        };
        let shown_name = shown(&name.to_string_lossy());
        let mut problem =
            seen.problem.as_ref().map(|problem| Failure::new(Stage::Manifest, format!("`{shown_name}` {problem}")));
        if name.to_str().is_none() {
            let reason = format!("`{shown_name}` has a name that is not UTF-8; give it another one");
            problem.get_or_insert_with(|| Failure::new(Stage::Manifest, reason));
        }
        let (own_name, made) = match self.kind {
            Kind::Prebuilt if problem.is_some() => (None, Err(None)),
            Kind::Prebuilt => self.prebuilt(),
            _ => self.recipe(name, text.as_deref()),
        };
        let outside_name = if name.to_str().is_none() { None } else { own_name.or(self.called.take()) };
        let called = outside_name.unwrap_or_else(|| stem(name, self.kind));
        let (recipe, found) = match made {
            Ok(recipe) => (recipe, None),
            Err(failure) => (None, failure),
        };
        problem = problem.or(found);
        let mut parts = Parts::default();
        parts.add_hash("sources", &seen.digest);
        let mut rests_on = RestsOn { trees: vec![self.state.looked(&self.root, self.bounds)], ..RestsOn::default() };
        let mut outside: BTreeSet<PathBuf> = seen.elsewhere.iter().cloned().collect();
        outside.insert(self.root.clone());
        if self.kind != Kind::Prebuilt {
            self.add_sources(&called, recipe.as_ref(), &mut parts, &mut rests_on, &mut outside, &mut problem);
        }
        let entry = Entry { name: called, path: self.path, kind: self.kind, mark: parts.mark(), problem };
        Snapshot { entry, root: self.root, parts, outside, recipe, rests_on }
    }

    /// What a library says its name is.
    fn prebuilt(&self) -> (Option<String>, Result<Option<Recipe>, Option<Failure>>) {
        match (self.directory.identify)(&self.root) {
            Ok(name) => {
                let checked = check_name(&name).map_err(|invalid| Some(Failure::new(Stage::Manifest, invalid.0)));
                (Some(name), checked.map(|()| None))
            }
            Err(failure) => (None, Err(Some(failure))),
        }
    }

    /// What is to be built, and what it is called.
    fn recipe(
        &mut self,
        name: &OsStr,
        text: Option<&[u8]>,
    ) -> (Option<String>, Result<Option<Recipe>, Option<Failure>>) {
        let file = if self.kind == Kind::Crate { "Cargo.toml".into() } else { name.to_string_lossy() };
        let Some(text) = text else {
            let failure = Failure::new(Stage::Manifest, format!("{file}: it is larger than 1 MiB, or cannot be read"));
            return (None, Err(Some(failure)));
        };
        let (called, manifest, source) = if self.kind == Kind::Crate {
            let package = manifest::read(text);
            if let Some(wrong) = package.wrong {
                return (package.name, Err(Some(wrong.in_file(&file))));
            }
            (package.name, String::from_utf8_lossy(text).into_owned(), None)
        } else {
            let directory = self.root.parent().unwrap_or(&self.root);
            let called = stem(name, self.kind);
            match single::read(&called, text, directory) {
                Ok(single) => (Some(called), single.manifest, single.source),
                Err(wrong) => return (Some(called), Err(Some(wrong.in_file(&file)))),
            }
        };
        let packages = match self.kind {
            Kind::Crate => packages::find(&mut self.state.trees, &self.root, self.bounds, &manifest),
            // All its paths are absolute.
            _ => packages::find(&mut self.state.trees, Path::new("/nowhere"), self.bounds, &manifest),
        };
        let directory = if self.kind == Kind::Crate { &*self.root } else { self.root.parent().unwrap_or(&self.root) };
        let tools = &self.directory.tools;
        let surroundings = self.state.places.of(&mut self.state.trees, tools, directory);
        let compiler = self.state.compilers.for_directory(tools, directory, surroundings.toolchain);
        (called, Ok(Some(Recipe { manifest, source, packages, surroundings, compiler })))
    }

    /// Adds what decides a build besides the entry's own tree.
    fn add_sources(
        &mut self,
        called: &str,
        recipe: Option<&Recipe>,
        parts: &mut Parts,
        rests_on: &mut RestsOn,
        outside: &mut BTreeSet<PathBuf>,
        problem: &mut Option<Failure>,
    ) {
        let (edition, known) = self.state.known(&self.directory.memory, called).clone();
        let directory = if self.kind == Kind::Crate { &*self.root } else { self.root.parent().unwrap_or(&self.root) };
        let tools = &self.directory.tools;
        rests_on.known = edition;
        rests_on.surroundings = self.state.places.of(&mut self.state.trees, tools, directory);
        let compiler = self.state.compilers.for_directory(tools, directory, rests_on.surroundings.toolchain);
        parts.add("builder", "1");
        parts.add("kind", format!("{:?}", self.kind));
        parts.add("profile", self.directory.profile);
        parts.add("sdk", sdk::digest());
        parts.add_hash("config", &rests_on.surroundings.config);
        if let Some(toolchain) = &rests_on.surroundings.toolchain {
            parts.add_hash("toolchain", toolchain);
        }
        parts.add(
            "compiler",
            match &compiler {
                Compiler::Known(version) => version,
                Compiler::Silent(_) => "unknown",
                // What was built while there was one can still be served.
                Compiler::Missing => known.compiler.as_deref().unwrap_or("missing"),
            },
        );
        rests_on.compiler = Some(compiler);
        for variable in &known.variables {
            match self.directory.tools.variable(variable) {
                Some(value) => parts.add(format!("variable {variable}"), value.as_encoded_bytes()),
                None => parts.add(format!("no variable {variable}"), ""),
            }
        }
        let none = Packages::default();
        for package in &recipe.map_or(&none, |recipe| &recipe.packages).outside {
            let looked = self.state.looked(package, SOURCES);
            let at = paths::relative(package, &self.root);
            parts.add_hash(format!("package {}", at.display()), &looked.digest);
            rests_on.trees.push(looked);
            let seen = self.state.trees.look(package, SOURCES).seen();
            outside.extend(seen.elsewhere.iter().cloned());
            if let Some(sentence) = &seen.problem {
                let reason = format!("`{}`, of which it is built, {sentence}", shown(&package.to_string_lossy()));
                problem.get_or_insert_with(|| Failure::new(Stage::Manifest, reason));
            }
            outside.insert(package.clone());
        }
        for (file, how) in &known.included {
            let looked = self.state.looked(file, SOURCES);
            let now = looked.is_there.then(|| hex(&looked.digest));
            if *how == Included::Always || *how != Included::Since(now.clone()) {
                parts.add(included_name(file, &self.root), now.unwrap_or_default());
            }
            rests_on.trees.push(looked);
            outside.insert(file.clone());
        }
    }
}

fn included_name(file: &Path, root: &Path) -> String {
    format!("included {}", paths::relative(file, root).display())
}

/// What an entry is called as long as nothing better is known.
fn stem(name: &OsStr, kind: Kind) -> String {
    let stem = if kind == Kind::Crate { Some(name) } else { Path::new(name).file_stem() };
    stem.unwrap_or(name).to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
