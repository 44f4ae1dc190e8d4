//! Making a package of a plugin's folder and of its libraries.

use super::{
    ATTESTATIONS, AuthorKey, FileRecord, LARGEST_ATTESTATIONS, LibraryRecord, PackageArchive, PackageRecord,
    ReadLibrary, examine, sbom, source,
};
use crate::{CatalogTrouble, trouble::of_file};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What a package is made of.
#[derive(Debug)]
pub struct PackageParts<'a> {
    /// The crate's folder. Without it the package has no sources, and no README and icon.
    pub folder: Option<PathBuf>,
    /// The `Cargo.lock` that the library was built with, for a folder that has none.
    pub lock: Option<Vec<u8>>,
    /// The libraries, one for each target: the bytes of each.
    pub libraries: Vec<Vec<u8>>,
    /// Attestations of them, or of the sources.
    pub attestations: Option<Vec<u8>>,
    /// Who signs it.
    pub key: Option<&'a AuthorKey>,
}

/// The largest icon and README.
const LARGEST_EXTRA: u64 = 1 << 20;

/// Makes it. What it says comes from the first library.
pub fn make(parts: PackageParts<'_>, read: &ReadLibrary) -> Result<PackageArchive, CatalogTrouble> {
    let PackageParts { folder, lock, libraries, attestations, key } = parts;
    let first = libraries.first().ok_or_else(|| CatalogTrouble::unfit("a package needs a library"))?;
    let facts = read(first).map_err(CatalogTrouble::unfit)?;
    let manifest = &facts.manifest;
    let (name, version) = (manifest.name.clone(), manifest.version.clone());
    let stem = format!("{name}-{version}");
    let mut files = BTreeMap::new();
    let mut records = BTreeMap::new();
    for bytes in &libraries {
        let facts = read(bytes).map_err(CatalogTrouble::unfit)?;
        if (&facts.manifest.name, &facts.manifest.version) != (&name, &version) {
            let (other, its) = (&facts.manifest.name, &facts.manifest.version);
            return Err(CatalogTrouble::unfit(format!("one library is `{name}` {version}, another `{other}` {its}")));
        }
        let (target, glibc) = examine(bytes)?;
        let file = format!("{stem}-{target}.so");
        let record = LibraryRecord {
            file: file.clone(),
            contract: facts.contract,
            requires: facts.requires,
            glibc,
            sdk: facts.sdk,
            rustc: facts.rustc,
        };
        if records.insert(target.clone(), record).is_some() {
            return Err(CatalogTrouble::unfit(format!("two libraries are for {target}")));
        }
        files.insert(file, bytes.clone());
    }
    if let Some(schema) = &facts.config_schema {
        files.insert("config.schema.json".to_owned(), schema.clone().into_bytes());
    }
    let mut source_file = None;
    if let Some(folder) = &folder {
        let file = format!("{stem}.tar.gz");
        files.insert(file.clone(), source::pack(folder, &stem, lock.as_deref())?);
        source_file = Some(file);
        extras(folder, &mut files)?;
    }
    if let Some(attestations) = attestations {
        if attestations.len() as u64 > LARGEST_ATTESTATIONS {
            return Err(CatalogTrouble::unfit(format!("the attestations have more than {LARGEST_ATTESTATIONS} bytes")));
        }
        files.insert(ATTESTATIONS.to_owned(), attestations);
    }
    let lock = folder.as_ref().and_then(|folder| fs::read(folder.join("Cargo.lock")).ok()).or(lock);
    if let Some(lock) = lock {
        let lock = String::from_utf8(lock).map_err(|_| CatalogTrouble::unfit("Cargo.lock is not UTF-8"))?;
        files.insert("sbom.cdx.json".to_owned(), sbom::of_lock(&lock, (&name, &version), &manifest.license)?);
    }
    let record = PackageRecord {
        format: 1,
        name,
        version,
        display_name: String::new(),
        description: manifest.description.clone(),
        authors: manifest.authors.clone(),
        license: manifest.license.clone(),
        category: manifest.camlock.category.map(|category| category.word().to_owned()).unwrap_or_default(),
        tags: manifest.keywords.clone(),
        repository: manifest.repository.clone(),
        permissions: manifest.camlock.permissions.clone(),
        dependencies: manifest.camlock.dependencies.clone(),
        source: source_file,
        libraries: records,
        files: files.iter().map(|(name, bytes)| (name.clone(), FileRecord::of(bytes))).collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&record).unwrap_or_default();
    bytes.push(b'\n');
    let signature = key.map(|key| key.sign(&bytes, &format!("camlock package {stem}"))).transpose()?;
    let package = PackageArchive::of(bytes, signature, files)?;
    // Whoever takes it in does the same: it must not fail there first.
    package.examine(read)?;
    Ok(package)
}

/// README and icon, where there are any.
fn extras(folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), CatalogTrouble> {
    for name in ["README.md", "icon.svg", "icon.png"] {
        let path = folder.join(name);
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if !about.is_file() || about.len() > LARGEST_EXTRA {
            return Err(CatalogTrouble::unfit(format!(
                "{} is no file of at most {LARGEST_EXTRA} bytes",
                path.display()
            )));
        }
        files.insert(name.to_owned(), fs::read(&path).map_err(of_file("read", &path))?);
    }
    Ok(())
}
