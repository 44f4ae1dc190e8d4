//! Which packages a plugin is built of besides itself: those it reaches by paths, inside its folder and outside.
//!
//! Manifests are read, nothing is asked of cargo.

use crate::{
    manifest::{self, References},
    paths,
    tree::{Hash, ReadBounds, SOURCES, Trees},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// What a plugin is built of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packages {
    /// Directories below the plugin's with manifests that matter, relative to it; not the plugin's own.
    pub(crate) inside: BTreeSet<PathBuf>,
    /// Those among them that are workspaces of their own.
    pub(crate) separate: BTreeSet<PathBuf>,
    /// Directories of packages elsewhere, and manifests of workspaces from which those inherit.
    pub(crate) outside: BTreeSet<PathBuf>,
    /// The packages' names, with where they lie.
    pub(crate) named: Vec<(String, PathBuf)>,
}

/// More packages than anybody means to build a plugin of.
const MOST: usize = 500;

/// Finds the packages of the plugin at `root`, whose manifest is this text.
pub(crate) fn find(trees: &mut Trees, root: &Path, bounds: ReadBounds, text: &str) -> Packages {
    let mut found = Packages::default();
    let own = manifest::references(text);
    let mut queue: Vec<PathBuf> = Vec::new();
    add_all(&mut queue, root, &own, &own);
    if own.is_workspace {
        // Its members are packages too, as far as cargo is concerned; which of them, its globs say.
        queue.extend(trees.look(root, bounds).packages().into_iter().map(|directory| root.join(directory)));
    }
    let mut seen = BTreeSet::from([root.to_owned()]);
    while let Some(directory) = queue.pop() {
        if seen.len() > MOST || !seen.insert(directory.clone()) {
            continue;
        }
        let inside = directory.strip_prefix(root).ok().map(Path::to_owned);
        let (text, physical) = match &inside {
            Some(relative) => (trees.look(root, bounds).text(&relative.join("Cargo.toml")), directory.clone()),
            None => {
                // What is not there yet is watched for by its name.
                let physical = directory.canonicalize().unwrap_or_else(|_| directory.clone());
                found.outside.insert(physical.clone());
                (trees.look(&physical, SOURCES).text(Path::new("Cargo.toml")), physical)
            }
        };
        let Some(references) = text.and_then(|text| Some(manifest::references(std::str::from_utf8(&text).ok()?)))
        else {
            continue;
        };
        found.named.extend(references.name.clone().map(|name| (name, physical.clone())));
        let mut shared = References::default();
        match inside {
            Some(relative) => {
                if references.is_workspace {
                    found.separate.insert(relative.clone());
                }
                found.inside.insert(relative);
                add_all(&mut queue, root, &References { paths: Vec::new(), ..references.clone() }, &own);
            }
            None if references.is_workspace => shared = references.clone(),
            None if !references.inherited.is_empty() => {
                if let Some((file, above)) = workspace_above(trees, &physical, &references) {
                    let at = file.parent().unwrap_or(&physical).to_owned();
                    found.outside.insert(file);
                    add_all(&mut queue, &at, &References { paths: Vec::new(), ..references.clone() }, &above);
                }
            }
            None => {}
        }
        add_all(&mut queue, &directory, &references, &shared);
    }
    found
}

/// Adds the packages that a manifest in `directory` names by path, and those it inherits from `workspace` there.
fn add_all(queue: &mut Vec<PathBuf>, directory: &Path, references: &References, workspace: &References) {
    let inherited = workspace.shared.iter().filter(|(name, ..)| references.inherited.contains(name));
    let all = references.paths.iter().map(|(_, path)| path).chain(inherited.map(|(_, _, path)| path));
    queue.extend(all.map(|path| paths::normal(&directory.join(path))));
}

/// The manifest of the workspace to which a package belongs.
fn workspace_above(trees: &mut Trees, package: &Path, references: &References) -> Option<(PathBuf, References)> {
    let named = references.workspace_at.as_ref().map(|(_, path)| paths::normal(&package.join(path)));
    let above = package.ancestors().skip(1).map(Path::to_owned);
    let candidates: Vec<PathBuf> = named.map_or_else(|| above.collect(), |named| vec![named]);
    candidates.into_iter().find_map(|directory| {
        let file = directory.join("Cargo.toml");
        let text = trees.look(&file, SOURCES).text(Path::new(""))?;
        let references = manifest::references(std::str::from_utf8(&text).ok()?);
        references.is_workspace.then_some((file, references))
    })
}

/// What each package is made of, by its name.
pub(crate) fn contents(trees: &mut Trees, root: &Path, bounds: ReadBounds, packages: &Packages) -> Vec<(String, Hash)> {
    let mut contents = Vec::new();
    for (name, at) in &packages.named {
        let hash = match at.strip_prefix(root) {
            Ok(relative) => trees.look(root, bounds).digest_below(relative),
            Err(_) => trees.look(at, SOURCES).seen().digest,
        };
        contents.push((name.clone(), hash));
    }
    contents
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(dir: &Path, name: &str, text: &str) {
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }

    fn found(dir: &Path, plugin: &str) -> Packages {
        let root = dir.canonicalize().unwrap().join(plugin);
        let text = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        find(&mut Trees::new(PathBuf::from("/nowhere")), &root, SOURCES, &text)
    }

    #[test]
    fn packages_are_followed_by_their_paths() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        write(
            dir.path(),
            "plugins/hello/Cargo.toml",
            "[package]\nname = \"hello\"\n[dependencies]\nhelper = { path = \"helper\" }\nshared = { path = \"../../shared\" }\n",
        );
        write(
            dir.path(),
            "plugins/hello/helper/Cargo.toml",
            "[package]\nname = \"helper\"\n[dependencies]\nhello = { path = \"..\" }\nfar = { path = \"../../../far\" }\n[workspace]\n",
        );
        write(dir.path(), "plugins/hello/examples/x/Cargo.toml", "[package]\nname = \"x\"\n");
        write(
            dir.path(),
            "shared/Cargo.toml",
            "[package]\nname = \"shared\"\nedition.workspace = true\n[dependencies]\nnear.workspace = true\n",
        );
        write(
            dir.path(),
            "Cargo.toml",
            "[workspace]\n[workspace.dependencies]\nnear = { path = \"near\" }\nother = { path = \"other\" }\n",
        );
        write(dir.path(), "near/Cargo.toml", "[package]\nname = \"near\"\n");
        let packages = found(dir.path(), "plugins/hello");
        assert_eq!(packages.inside, BTreeSet::from([PathBuf::from("helper")]));
        assert_eq!(packages.separate, BTreeSet::from([PathBuf::from("helper")]));
        assert_eq!(packages.outside, BTreeSet::from([at("Cargo.toml"), at("far"), at("near"), at("shared")]));
        let names: BTreeSet<&str> = packages.named.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["helper", "near", "shared"]));
    }

    #[test]
    fn members_of_the_plugins_own_workspace_belong_to_it() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "hello/Cargo.toml",
            "[package]\nname = \"hello\"\n[workspace]\nmembers = [\"crates/*\"]\n[workspace.dependencies]\nout = { path = \"../out\" }\n",
        );
        write(
            dir.path(),
            "hello/crates/a/Cargo.toml",
            "[package]\nname = \"a\"\n[dependencies]\nout.workspace = true\n",
        );
        let packages = found(dir.path(), "hello");
        assert_eq!(packages.inside, BTreeSet::from([PathBuf::from("crates/a")]));
        assert_eq!(packages.outside, BTreeSet::from([dir.path().canonicalize().unwrap().join("out")]));
    }
}
