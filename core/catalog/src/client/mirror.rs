//! A verbatim copy of a catalog, with all its signatures: for those who cannot reach the original, or do not want to depend on it.
//!
//! Everything is proved while it is copied, and whoever reads the mirror proves it again. The timestamp comes last: a mirror that is
//! broken off is the one that it was before.

use super::{CatalogPlace, CatalogReader, TrustedFiles};
use crate::{
    CatalogTrouble,
    documents::PluginDocument,
    keep::{read_bounded, write_whole},
    package::{FileRecord, LARGEST_FILE, LARGEST_RECORD, RECORD, SIGNATURE},
    publish::hashed,
};
use jiff::Timestamp;
use serde_json::Value;
use std::path::Path;

/// Metadata and lists are smaller than this.
const LARGEST: u64 = 64 << 20;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// The catalog's version.
    pub version: u64,
    /// So many files were fetched.
    pub fetched: u64,
    /// So many were there already.
    pub kept: u64,
}

struct Copying<'a> {
    place: &'a CatalogPlace,
    to: &'a Path,
    done: Mirrored,
}

impl Copying<'_> {
    /// A file that is known by its digest.
    fn pinned(&mut self, path: &str, pinned: &FileRecord) -> Result<Vec<u8>, CatalogTrouble> {
        let there = self.to.join(path);
        if let Ok(bytes) = read_bounded(&there, pinned.size)
            && pinned.check(path, &bytes).is_ok()
        {
            self.done.kept += 1;
            return Ok(bytes);
        }
        let bytes = self.fetch(path, pinned.size)?;
        pinned.check(path, &bytes)?;
        self.write(path, &bytes)?;
        Ok(bytes)
    }

    fn fetch(&self, path: &str, most: u64) -> Result<Vec<u8>, CatalogTrouble> {
        let bytes = self.place.fetch(path, most)?;
        bytes.ok_or_else(|| CatalogTrouble::missing(format!("{}: {path} is not there, and it is listed", self.place)))
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), CatalogTrouble> {
        self.done.fetched += 1;
        write_whole(&self.to.join(path), bytes)
    }

    /// The files that are listed below a key of signed metadata whose bytes are known to be right.
    fn listed(&self, metadata: &[u8], key: &str) -> Result<Vec<(String, u64, FileRecord)>, CatalogTrouble> {
        let metadata: Value = serde_json::from_slice(metadata).map_err(|error| {
            CatalogTrouble::unfit(format!("{}: its metadata is not understood: {error}", self.place))
        })?;
        let files = metadata["signed"][key].as_object().into_iter().flatten();
        let file = |(path, file): (&String, &Value)| {
            let sha256 = file["hashes"]["sha256"].as_str().unwrap_or_default().to_owned();
            let size = file["length"].as_u64().unwrap_or(LARGEST);
            (path.clone(), file["version"].as_u64().unwrap_or_default(), FileRecord { sha256, size })
        };
        Ok(files.map(file).collect())
    }
}

/// Copies a catalog into a directory, beginning with a root that is trusted. What lies there of an earlier copy is not fetched again.
pub fn mirror(place: &CatalogPlace, root: &[u8], to: &Path, now: Timestamp) -> Result<Mirrored, CatalogTrouble> {
    let trusted = TrustedFiles::default();
    let reader = CatalogReader::open(place.clone(), root, trusted.clone(), now)?;
    let files = trusted.files();
    let known = |name: &str| {
        let bytes = files.get(name).cloned();
        bytes.ok_or_else(|| CatalogTrouble::unavailable(format!("{place}: what was proved of {name} was not kept")))
    };
    let mut copying = Copying { place, to, done: Mirrored { version: reader.version(), ..Mirrored::default() } };
    let (timestamp, snapshot) = (known("timestamp.json")?, known("snapshot.json")?);
    // Packages and documents first, then what names them.
    let mut metadata = Vec::new();
    for (role, version, pinned) in copying.listed(&snapshot, "meta")? {
        let path = format!("metadata/{version}.{role}");
        let bytes = copying.pinned(&path, &pinned)?;
        for (target, _, pinned) in copying.listed(&bytes, "targets")? {
            let bytes = copying.pinned(&hashed(&target, &pinned.sha256), &pinned)?;
            if target.starts_with("p/") {
                packages(&mut copying, &bytes)?;
            }
        }
        metadata.push(path);
    }
    for version in 1.. {
        let path = format!("metadata/{version}.root.json");
        match place.fetch(&path, LARGEST_RECORD)? {
            Some(bytes) => copying.write(&path, &bytes)?,
            None => break,
        }
    }
    for (snapshot_name, version, _) in copying.listed(&timestamp, "meta")? {
        copying.write(&format!("metadata/{version}.{snapshot_name}"), &snapshot)?;
    }
    copying.write("metadata/timestamp.json", &timestamp)?;
    Ok(copying.done)
}

fn packages(copying: &mut Copying<'_>, document: &[u8]) -> Result<(), CatalogTrouble> {
    let document: PluginDocument = serde_json::from_slice(document)
        .map_err(|error| CatalogTrouble::unfit(format!("{}: a document is not understood: {error}", copying.place)))?;
    camlock_policy::manifest::check_name(&document.name).map_err(|invalid| CatalogTrouble::unfit(invalid.0))?;
    for version in &document.versions {
        let (Some(pinned), Some(number)) = (&version.package, version.semver()) else { continue };
        let folder = format!("packages/{}/{number}", document.name);
        copying.pinned(&format!("{folder}/{RECORD}"), pinned)?;
        for (file, pinned) in &version.files {
            crate::package::check_file_name(file)?;
            if pinned.size > LARGEST_FILE {
                return Err(CatalogTrouble::denied(format!("{folder}/{file} is larger than is taken")));
            }
            copying.pinned(&format!("{folder}/{file}"), pinned)?;
        }
        if version.signature.is_some() {
            // Whoever installs checks it.
            let path = format!("{folder}/{SIGNATURE}");
            let bytes = copying.fetch(&path, LARGEST_RECORD)?;
            copying.write(&path, &bytes)?;
        }
    }
    Ok(())
}
