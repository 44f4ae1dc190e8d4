//! The `Cargo.lock` of a build: the author's, where there is one; else the build's own, which stays, so that versions do not change
//! from one build to the next.
//!
//! Single files have no lock file of their own. Those that are dropped together begin with the versions of one another: nothing has
//! to be resolved again, and what they depend on is compiled once.

use crate::{
    regular::own_text,
    snapshot::{EntrySnapshot, Recipe},
    whole::write_whole,
};
use camlock_policy::{Digest, Kind};
use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

/// What single files share is so old at most: later ones have newer versions.
const SHARED_FOR: Duration = Duration::from_secs(24 * 3600);

/// What single files share, below the directory of builds, and what stands there for the package itself.
const SHARED: &str = "single-files.lock";
const PLACEHOLDER: &str = "[[package]]\nname = \"camlock-single-file\"\n";

/// Makes the lock file in the shadow be the one to build with. `last` is the author's that was taken over last; gives the one that is
/// taken over now.
pub(crate) fn prepare(
    shadow: &Path,
    builds: &Path,
    snapshot: &EntrySnapshot,
    last: Option<&str>,
) -> io::Result<Option<String>> {
    let ours = shadow.join("Cargo.lock");
    if snapshot.entry.kind != Kind::Crate {
        if !ours.exists()
            && let Some(shared) = shared(builds)
        {
            write_whole(&ours, shared.replace(PLACEHOLDER, &package(snapshot)).as_bytes())?;
        }
        return Ok(None);
    }
    let authors = match fs::read(snapshot.root.join("Cargo.lock")) {
        Ok(authors) => authors,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // What came of the author's goes with it: it was deleted to be rid of what it says.
            if last.is_some() {
                remove(&ours)?;
            }
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let digest = Digest::of(&authors).hex();
    if last != Some(&*digest) || !ours.exists() {
        write_whole(&ours, &authors)?;
    }
    Ok(Some(digest))
}

/// Lets other single files begin with the versions of one that was built.
pub(crate) fn share(shadow: &Path, builds: &Path, snapshot: &EntrySnapshot, recipe: &Recipe) {
    // With front matter it may depend on more than others do.
    if snapshot.entry.kind != Kind::SingleFile || recipe.source.is_some() || shared(builds).is_some() {
        return;
    }
    let lock = own_text(&shadow.join("Cargo.lock"));
    let of_any = lock.replace(&package(snapshot), PLACEHOLDER);
    if of_any != lock {
        // Without it each is resolved by itself.
        let _ = write_whole(&builds.join(SHARED), of_any.as_bytes());
    }
}

fn shared(builds: &Path) -> Option<String> {
    let path = builds.join(SHARED);
    let age = SystemTime::now().duration_since(fs::symlink_metadata(&path).ok()?.modified().ok()?).ok()?;
    (age < SHARED_FOR).then(|| own_text(&path)).filter(|text| !text.is_empty())
}

fn package(snapshot: &EntrySnapshot) -> String {
    format!("[[package]]\nname = \"{}\"\n", snapshot.entry.name)
}

fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
