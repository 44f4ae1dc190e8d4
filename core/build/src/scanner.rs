//! One entry of the plugins directory, looked at anew: what it is called, what is wrong with it, what it is made of.

use crate::{
    fingerprint::FingerprintParts,
    known::{Included, hex},
    manifest,
    observed::{EntryContext, Identified, Observed},
    packages::{self, Packages},
    paths, sdk, single,
    snapshot::{EntrySnapshot, Recipe, RestsOn},
    toolchain::Compiler,
    tree::{ReadBounds, SOURCES},
    words::shown,
};
use camlock_policy::{
    Entry, Failure, Kind, Stage,
    manifest::{camlock, check_name},
};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// One entry being looked at anew.
pub(crate) struct EntryScanner<'a> {
    pub(crate) common: &'a EntryContext,
    pub(crate) observed: &'a mut Observed,
    pub(crate) path: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) bounds: ReadBounds,
    /// What it was called before.
    pub(crate) called: Option<String>,
}

impl EntryScanner<'_> {
    pub(crate) fn scan(mut self, name: &OsStr) -> EntrySnapshot {
        let (seen, text) = {
            let tree = self.observed.trees.look(&self.root, self.bounds);
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
        let mut claims = Vec::new();
        let (own_name, made) = match self.kind {
            Kind::Prebuilt if problem.is_some() => (None, Err(None)),
            Kind::Prebuilt => self.prebuilt(&mut claims),
            _ => self.recipe(name, text.as_deref()),
        };
        let outside_name = if name.to_str().is_none() { None } else { own_name.or(self.called.take()) };
        let called = outside_name.unwrap_or_else(|| stem(name, self.kind));
        let (recipe, found) = match made {
            Ok(recipe) => (recipe, None),
            Err(failure) => (None, failure),
        };
        if let Some(recipe) = &recipe {
            // It was read before: what is wrong with it has been found.
            claims = camlock(recipe.manifest.as_bytes()).map(|camlock| camlock.routes).unwrap_or_default();
        }
        problem = problem.or(found);
        let mut parts = FingerprintParts::default();
        parts.add_hash("sources", &seen.digest);
        let mut rests_on = RestsOn { trees: vec![self.observed.looked(&self.root, self.bounds)], ..RestsOn::default() };
        let mut outside: BTreeSet<PathBuf> = seen.elsewhere.iter().cloned().collect();
        outside.insert(self.root.clone());
        if self.kind != Kind::Prebuilt {
            self.add_sources(&called, recipe.as_ref(), &mut parts, &mut rests_on, &mut outside, &mut problem);
        }
        let entry =
            Entry { name: called, path: self.path, kind: self.kind, fingerprint: parts.fingerprint(), claims, problem };
        EntrySnapshot { entry, root: self.root, parts, outside, recipe, rests_on }
    }

    /// What a library says its name is, and what it claims.
    fn prebuilt(&self, claims: &mut Vec<String>) -> (Option<String>, Result<Option<Recipe>, Option<Failure>>) {
        match (self.common.identify)(&self.root) {
            Ok(Identified { name, claims: theirs }) => {
                *claims = theirs;
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
            if let Some(mut wrong) = package.wrong {
                let is_there = |name: &str| self.root.join(name).exists();
                if wrong.sentence == manifest::NO_CDYLIB && is_there("src/main.rs") && !is_there("src/lib.rs") {
                    manifest::NO_LIBRARY.clone_into(&mut wrong.sentence);
                }
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
            Kind::Crate => packages::find(&mut self.observed.trees, &self.root, self.bounds, &manifest),
            // All its paths are absolute.
            _ => packages::find(&mut self.observed.trees, Path::new("/nowhere"), self.bounds, &manifest),
        };
        let directory = if self.kind == Kind::Crate { &*self.root } else { self.root.parent().unwrap_or(&self.root) };
        let tools = &self.common.tools;
        let surroundings = self.observed.places.of(&mut self.observed.trees, tools, directory);
        let compiler = self.observed.compilers.for_directory(tools, directory, surroundings.toolchain);
        (called, Ok(Some(Recipe { manifest, source, packages, surroundings, compiler })))
    }

    /// Adds what decides a build besides the entry's own tree.
    fn add_sources(
        &mut self,
        called: &str,
        recipe: Option<&Recipe>,
        parts: &mut FingerprintParts,
        rests_on: &mut RestsOn,
        outside: &mut BTreeSet<PathBuf>,
        problem: &mut Option<Failure>,
    ) {
        let (edition, known) = self.observed.known(&self.common.memory, called).clone();
        let directory = if self.kind == Kind::Crate { &*self.root } else { self.root.parent().unwrap_or(&self.root) };
        let tools = &self.common.tools;
        rests_on.known = edition;
        rests_on.surroundings = self.observed.places.of(&mut self.observed.trees, tools, directory);
        let compiler = self.observed.compilers.for_directory(tools, directory, rests_on.surroundings.toolchain);
        parts.add("builder", "1");
        parts.add("kind", format!("{:?}", self.kind));
        parts.add("profile", self.common.profile);
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
            match self.common.tools.variable(variable) {
                Some(value) => parts.add(format!("variable {variable}"), value.as_encoded_bytes()),
                None => parts.add(format!("no variable {variable}"), ""),
            }
        }
        let none = Packages::default();
        for package in &recipe.map_or(&none, |recipe| &recipe.packages).outside {
            let looked = self.observed.looked(package, SOURCES);
            let at = paths::relative(package, &self.root);
            parts.add_hash(format!("package {}", at.display()), &looked.digest);
            rests_on.trees.push(looked);
            let seen = self.observed.trees.look(package, SOURCES).seen();
            outside.extend(seen.elsewhere.iter().cloned());
            if let Some(sentence) = &seen.problem {
                let reason = format!("`{}`, of which it is built, {sentence}", shown(&package.to_string_lossy()));
                problem.get_or_insert_with(|| Failure::new(Stage::Manifest, reason));
            }
            outside.insert(package.clone());
        }
        for (file, how) in &known.included {
            let looked = self.observed.looked(file, SOURCES);
            let now = looked.is_there.then(|| hex(&looked.digest));
            if *how == Included::Always || *how != Included::Since(now.clone()) {
                parts.add(included_name(file, &self.root), now.unwrap_or_default());
            }
            rests_on.trees.push(looked);
            outside.insert(file.clone());
        }
    }
}

pub(crate) fn included_name(file: &Path, root: &Path) -> String {
    format!("included {}", paths::relative(file, root).display())
}

/// Whether a part of a fingerprint is there only because an earlier build taught it.
pub(crate) fn is_learned(name: &str) -> bool {
    ["included ", "variable ", "no variable "].iter().any(|prefix| name.starts_with(prefix))
}

/// What an entry is called as long as nothing better is known.
pub(crate) fn stem(name: &OsStr, kind: Kind) -> String {
    let stem = if kind == Kind::Crate { Some(name) } else { Path::new(name).file_stem() };
    stem.unwrap_or(name).to_string_lossy().into_owned()
}
