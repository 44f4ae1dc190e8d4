//! The sources in a package: packed so that the same files give the same bytes, and looked through before anybody unpacks them.

use crate::{
    CatalogTrouble,
    trouble::{of_file, shown},
};
use flate2::{Compression, GzBuilder, read::MultiGzDecoder};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Component, Path},
};
use tar::{Builder, EntryType, Header};

/// What sources may unpack to: what a server takes.
pub(super) const LARGEST: u64 = 512 << 20;
/// So many files and folders.
pub(super) const MOST: usize = 20_000;

/// Packs a crate's folder, but for what is hidden, `target`, and what editors leave. `lock` is the `Cargo.lock` to use if it has none.
pub(super) fn pack(root: &Path, stem: &str, lock: Option<&[u8]>) -> Result<Vec<u8>, CatalogTrouble> {
    let mut files = BTreeMap::new();
    gather(root, "", &mut files)?;
    if !files.contains_key("Cargo.lock") {
        let lock = lock.ok_or_else(|| {
            let root = root.display();
            CatalogTrouble::unfit(format!(
                "{root} has no Cargo.lock, so nobody could build the same again: `cargo generate-lockfile`"
            ))
        })?;
        files.insert("Cargo.lock".to_owned(), (lock.to_vec(), false));
    }
    packed(&files, stem)
}

/// Packs files so that the same give the same bytes.
pub(super) fn packed(files: &BTreeMap<String, (Vec<u8>, bool)>, stem: &str) -> Result<Vec<u8>, CatalogTrouble> {
    let packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut archive = Builder::new(packed);
    for (name, (bytes, runs)) in files {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(if *runs { 0o755 } else { 0o644 });
        header.set_mtime(1);
        let broken = |error| CatalogTrouble::unavailable(format!("{name} cannot be packed: {error}"));
        archive.append_data(&mut header, format!("{stem}/{name}"), &**bytes).map_err(broken)?;
    }
    let broken = |error| CatalogTrouble::unavailable(format!("the sources cannot be packed: {error}"));
    archive.into_inner().and_then(flate2::write::GzEncoder::finish).map_err(broken)
}

/// What is hidden, what editors leave, and what a build leaves at the top.
pub(super) fn is_left_out(parts: &[&str]) -> bool {
    parts.first() == Some(&"target") || parts.iter().any(|part| part.starts_with('.') || part.ends_with('~'))
}

fn gather(folder: &Path, before: &str, files: &mut BTreeMap<String, (Vec<u8>, bool)>) -> Result<(), CatalogTrouble> {
    let entries = fs::read_dir(folder).map_err(of_file("read", folder))?;
    for entry in entries {
        let entry = entry.map_err(of_file("read", folder))?;
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(CatalogTrouble::unfit(format!("the name of {} is not UTF-8", path.display())));
        };
        if is_left_out(&[name]) && (name != "target" || before.is_empty()) {
            continue;
        }
        let kind = entry.file_type().map_err(of_file("read", &path))?;
        let inside = format!("{before}{name}");
        if kind.is_dir() {
            gather(&path, &format!("{inside}/"), files)?;
        } else if kind.is_file() {
            let bytes = fs::read(&path).map_err(of_file("read", &path))?;
            let mode = entry.metadata().map_err(of_file("read", &path))?.permissions().mode();
            files.insert(inside, (bytes, mode & 0o100 != 0));
        } else {
            return Err(CatalogTrouble::unfit(format!(
                "{} is a link or a device, and packages hold only files and folders",
                path.display()
            )));
        }
        if files.len() > MOST {
            return Err(CatalogTrouble::unfit(format!(
                "there are more than {MOST} files: is `{before}` part of the plugin?"
            )));
        }
    }
    Ok(())
}

/// Looks through packed sources without unpacking them to anywhere: nothing is doubled, linked or endless, and what `Cargo.toml` says is
/// what is said of them. All lies in this folder, and has a lock file; none: it lies as others pack, at the top or in one folder there.
pub(crate) fn check(packed: &[u8], (name, version): (&str, &str), folder: Option<&str>) -> Result<(), CatalogTrouble> {
    // One byte more shows that there are more.
    let unpacked = MultiGzDecoder::new(packed).take(LARGEST + 1);
    let mut archive = tar::Archive::new(unpacked);
    let broken = |error| CatalogTrouble::unfit(format!("the sources are no whole `.tar.gz`: {error}"));
    let mut seen = BTreeMap::new();
    let (mut whole, mut manifest, mut lock) = (0_u64, None, false);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let raw = entry.path_bytes().into_owned();
        let told = shown(&String::from_utf8_lossy(&raw));
        let unfit = |why: &str| Err(CatalogTrouble::unfit(format!("the sources hold `{told}`, {why}")));
        let Ok(path) = std::str::from_utf8(&raw) else { return unfit("a name that is not UTF-8") };
        // `git archive` begins with what it says of all of them.
        if folder.is_none() && entry.header().entry_type() == EntryType::XGlobalHeader {
            continue;
        }
        if !matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Directory) {
            return unfit("which is neither a file nor a folder: links, devices and sparse files are not taken");
        }
        let path = if folder.is_none() { path.strip_prefix("./").unwrap_or(path) } else { path };
        if path.is_empty() {
            continue;
        }
        let mut parts = Path::new(path).components();
        if let Some(folder) = folder
            && parts.next() != Some(Component::Normal(folder.as_ref()))
        {
            return unfit(&format!("which does not lie in the folder `{folder}`"));
        }
        if path.contains('\\') || !parts.all(|part| matches!(part, Component::Normal(_))) {
            return unfit("a path that leads out of its folder");
        }
        let path = path.trim_end_matches('/');
        if let Some(other) = seen.insert(path.to_lowercase(), path.to_owned()) {
            let why =
                if other == path { "there twice" } else { "which differs from another only in upper and lower case" };
            return unfit(why);
        }
        if seen.len() > MOST {
            return Err(CatalogTrouble::unfit(format!("the sources hold more than {MOST} files")));
        }
        whole = whole.saturating_add(entry.size());
        if whole > LARGEST {
            return Err(CatalogTrouble::unfit(format!("the sources unpack to more than {LARGEST} bytes")));
        }
        let is_there = |file: &str| match (folder, path.rsplit_once('/')) {
            (Some(folder), Some((inside, last))) => inside == folder && last == file,
            (None, Some((inside, last))) => manifest.is_none() && !inside.contains('/') && last == file,
            (_, None) => folder.is_none() && path == file,
        };
        lock |= is_there("Cargo.lock");
        if is_there("Cargo.toml") {
            let mut text = String::new();
            entry.by_ref().take(1 << 20).read_to_string(&mut text).map_err(broken)?;
            manifest = Some(text);
        }
    }
    if !lock && folder.is_some() {
        return Err(CatalogTrouble::unfit("the sources have no Cargo.lock"));
    }
    let manifest = manifest.ok_or_else(|| CatalogTrouble::unfit("the sources have no Cargo.toml"))?;
    let manifest: toml::Table = manifest
        .parse()
        .map_err(|error| CatalogTrouble::unfit(format!("the sources' Cargo.toml is not understood: {error}")))?;
    let said = |key: &str| manifest.get("package")?.get(key)?.as_str().map(str::to_owned);
    // A version that a workspace above would give cannot be read here; cargo will say so.
    match (said("name").as_deref(), said("version").as_deref()) {
        (Some(n), Some(v)) if (n, v) == (name, version) => Ok(()),
        (n, v) => Err(CatalogTrouble::denied(format!(
            "the sources are those of `{}` {}, and the package says `{name}` {version}",
            shown(n.unwrap_or("?")),
            shown(v.unwrap_or("?"))
        ))),
    }
}
