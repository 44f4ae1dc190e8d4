//! The folder in which a plugin is really built: a manifest of ours, and links to everything of the author's beside it.
//!
//! Building in the author's own folder would write `Cargo.lock` there, and a workspace above would take the plugin for a
//! lost member. Copies of the sources would break `include_str!("../../x")` and put other paths into the compiler's messages.
//! A manifest alone, naming the sources elsewhere, would break what reads files below `CARGO_MANIFEST_DIR` (templates, SQL).
//! With links all of this works: the compiler's working directory is the shadow, so that messages say `src/lib.rs`; the
//! system follows `src/../../x` through the link to where the author means; and files below `CARGO_MANIFEST_DIR` are there.
//! One thing does not work: `concat!(env!("CARGO_MANIFEST_DIR"), "/../x")`, which is taken by its text.
//!
//! Cargo is started in the author's folder all the same, so that `.cargo/config.toml` and `rust-toolchain.toml` hold as they
//! do for the author.
//!
//! Directories with manifests that the build needs are real ones in the shadow, their manifests rewritten like the plugin's
//! own; links to them would make cargo take `../x` in them by its text as well.

use crate::{
    manifest, names,
    snapshot::{EntrySnapshot, Recipe},
    whole::write_whole,
};
use camlock_policy::Kind;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// What there is to be in a directory of the shadow.
enum ShadowEntry {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
}

/// Makes the shadow of an entry be as it should, touching only what differs: cargo builds anew whatever was touched.
pub(crate) fn cast(shadow: &Path, snapshot: &EntrySnapshot, recipe: &Recipe) -> io::Result<()> {
    begin(shadow)?;
    if snapshot.entry.kind != Kind::Crate {
        let name = snapshot.entry.path.file_name().unwrap_or_default().to_owned();
        let source = match &recipe.source {
            Some(source) => ShadowEntry::File(source.clone().into_bytes()),
            None => ShadowEntry::Link(snapshot.root.clone()),
        };
        let manifest = ShadowEntry::File(recipe.manifest.clone().into_bytes());
        return make(shadow, &BTreeMap::from([(name, source), ("Cargo.toml".into(), manifest)]), true);
    }
    let packages = &recipe.packages.inside;
    // Those with a manifest of ours in them or below.
    let real: BTreeSet<&Path> =
        packages.iter().flat_map(|package| package.ancestors()).chain([Path::new("")]).collect();
    let separate: Vec<String> = recipe.packages.separate.iter().map(|one| one.to_string_lossy().into_owned()).collect();
    for relative in &real {
        let original = snapshot.root.join(relative);
        let is_package = relative.as_os_str().is_empty() || packages.contains(*relative);
        let mut wanted = BTreeMap::new();
        for entry in fs::read_dir(&original)? {
            let name = entry?.file_name();
            let path = original.join(&name);
            let is_top = relative.as_os_str().is_empty();
            let is_output = name == "target" && original.join("Cargo.toml").exists() && path.is_dir();
            if is_output || names::is_temporary(&name) || names::is_nobodys(&name) || (is_top && name == "Cargo.lock") {
                continue;
            }
            let inner = relative.join(&name);
            let here = if real.contains(&*inner) {
                ShadowEntry::Directory
            } else if is_package && name == "Cargo.toml" {
                let text = if is_top { recipe.manifest.clone() } else { fs::read_to_string(&path)? };
                ShadowEntry::File(manifest::shadowed(&text, &original, &snapshot.root, &separate).into_bytes())
            } else {
                ShadowEntry::Link(path)
            };
            wanted.insert(name, here);
        }
        make(&shadow.join(relative), &wanted, relative.as_os_str().is_empty())?;
    }
    Ok(())
}

/// Makes the directory itself. What a build has put in its place is not followed: whatever is not wanted in it is removed.
fn begin(shadow: &Path) -> io::Result<()> {
    if shadow.symlink_metadata().is_ok_and(|there| !there.is_dir()) {
        fs::remove_file(shadow)?;
    }
    fs::create_dir_all(shadow)
}

/// Makes one directory be as wanted. The lock file, which cargo writes, stays.
fn make(directory: &Path, wanted: &BTreeMap<OsString, ShadowEntry>, is_top: bool) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if (is_top && name == "Cargo.lock") || wanted.contains_key(&name) {
            continue;
        }
        remove(&entry.path())?;
    }
    for (name, wanted) in wanted {
        let path = directory.join(name);
        let there = path.symlink_metadata().ok();
        match wanted {
            ShadowEntry::Directory => {
                if !there.as_ref().is_some_and(|there| there.is_dir()) {
                    remove(&path)?;
                    fs::create_dir(&path)?;
                }
            }
            ShadowEntry::File(content) => {
                let is_file = there.as_ref().is_some_and(|there| there.is_file());
                if !is_file || fs::read(&path).ok().as_ref() != Some(content) {
                    remove(&path)?;
                    write_whole(&path, content)?;
                }
            }
            ShadowEntry::Link(target) => {
                if fs::read_link(&path).ok().as_ref() != Some(target) {
                    remove(&path)?;
                    symlink(target, &path)?;
                }
            }
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_left_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (data, shadow) = (dir.path().join("data"), dir.path().join("data/builds/src/hello"));
        fs::create_dir_all(data.join("builds/src")).unwrap();
        fs::write(data.join("registry.db"), "kept").unwrap();
        for target in ["../..", "/nowhere/at/all"] {
            symlink(target, &shadow).unwrap();
            begin(&shadow).unwrap();
            make(&shadow, &BTreeMap::from([("src".into(), ShadowEntry::Directory)]), true).unwrap();
            assert!(shadow.symlink_metadata().unwrap().is_dir());
            assert_eq!(fs::read(data.join("registry.db")).unwrap(), b"kept");
            // The same within.
            fs::remove_dir(shadow.join("src")).unwrap();
            symlink(&data, shadow.join("src")).unwrap();
            make(&shadow, &BTreeMap::from([("src".into(), ShadowEntry::Directory)]), true).unwrap();
            assert!(shadow.join("src").symlink_metadata().unwrap().is_dir());
            assert!(data.join("registry.db").exists());
            fs::remove_dir_all(&shadow).unwrap();
        }
    }
}
