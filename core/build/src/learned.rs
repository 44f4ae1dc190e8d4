//! What a build teaches of what a plugin is made of: files outside of all its packages, and environment variables.

use crate::{
    depinfo, environment,
    known::{BuildKnowledge, Included, hex},
    messages::missing_file,
    regular::own_text,
    snapshot::{EntrySnapshot, Recipe},
    tools::Tools,
    tree::{SOURCES, Tree},
};
use camlock_policy::Failure;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What the notes beside a library say.
pub(crate) fn from_success(
    snapshot: &EntrySnapshot,
    recipe: &Recipe,
    shadow: &Path,
    data: &Path,
    tools: &Tools,
    library: &Path,
) -> BuildKnowledge {
    let notes = own_text(&library.with_extension("d"));
    let known_by_themselves = known_places(snapshot, Some(recipe), data, tools);
    let files = depinfo::files(&notes).into_iter().filter_map(|file| shadow.join(file).canonicalize().ok());
    let included = files.filter(|file| !known_by_themselves.iter().any(|place| file.starts_with(place)));
    // Of the plugin's own crate only: what others read is theirs to say.
    let own = library.parent().unwrap_or(library).join("deps").join(own_notes(&snapshot.entry.name));
    BuildKnowledge {
        included: included.map(|file| (file, Included::Always)).collect(),
        variables: variables(&own_text(&own)),
        ..BuildKnowledge::default()
    }
}

/// What can be learned although nothing came of it. It counts once it changes, for then the outcome may be another one.
pub(crate) fn from_failure(
    known: &mut BuildKnowledge,
    snapshot: &EntrySnapshot,
    shadow: &Path,
    output: &Path,
    started: SystemTime,
    failure: &Failure,
) {
    let notes = output.join("deps").join(own_notes(&snapshot.entry.name));
    let is_new = fs::symlink_metadata(&notes).and_then(|notes| notes.modified()).is_ok_and(|at| at >= started);
    let notes = if is_new { own_text(&notes) } else { String::new() };
    let missing =
        failure.diagnostics.iter().filter_map(|diagnostic| missing_file(&diagnostic.message)).map(PathBuf::from);
    let known_by_themselves = known_places(snapshot, snapshot.recipe.as_ref(), Path::new("/nowhere"), &Tools::none());
    known.included.retain(|_, how| *how == Included::Always);
    for file in depinfo::files(&notes).into_iter().chain(missing) {
        let file = shadow.join(file);
        // A file that is not there yet lies where its directory really is.
        let directory = file.parent().and_then(|directory| directory.canonicalize().ok());
        let Some(file) = directory.and_then(|directory| Some(directory.join(file.file_name()?))) else { continue };
        let file = file.canonicalize().unwrap_or(file);
        if file.starts_with(shadow) || known_by_themselves.iter().any(|place| file.starts_with(place)) {
            continue;
        }
        let mut tree = Tree::new(file.clone(), SOURCES);
        let seen = tree.look(Path::new("/nowhere"));
        let now = seen.is_there.then(|| hex(&seen.digest));
        known.included.entry(file).or_insert(Included::Since(now));
    }
}

/// Places whose files need not be learned: the plugin and its packages are looked at anyway, the rest does not change.
fn known_places(snapshot: &EntrySnapshot, recipe: Option<&Recipe>, data: &Path, tools: &Tools) -> Vec<PathBuf> {
    let mut places = vec![snapshot.root.clone(), data.to_owned()];
    places.extend(tools.cargo_home().and_then(|home| home.canonicalize().ok()).map(|home| home.join("registry")));
    places.extend(tools.cargo_home().and_then(|home| home.canonicalize().ok()).map(|home| home.join("git")));
    places.extend(recipe.iter().flat_map(|recipe| recipe.packages.outside.iter().cloned()));
    places
}

/// Where rustc leaves its notes on the plugin's crate.
fn own_notes(plugin: &str) -> String {
    format!("{}.d", plugin.replace('-', "_"))
}

fn variables(notes: &str) -> BTreeSet<String> {
    let names = depinfo::variables(notes).filter(|name| !environment::is_made(name));
    names.map(str::to_owned).collect()
}
