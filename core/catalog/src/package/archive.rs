//! A package as one file: a tar of flat names, read with distrust, written so that the same files give the same bytes.

use super::{
    FileRecord, LARGEST_FILE, LARGEST_PACKAGE, LARGEST_RECORD, MOST_FILES, PackageRecord, PublisherKey, RECORD,
    ReadLibrary, SIGNATURE, manifest::check_file_name, source,
};
use crate::{
    CatalogTrouble,
    trouble::{of_file, shown},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    path::Path,
};
use tar::{Builder, EntryType, Header};

/// A package whose files are those that its record lists, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageArchive {
    record: PackageRecord,
    record_bytes: Vec<u8>,
    signature: Option<String>,
    files: BTreeMap<String, Vec<u8>>,
}

impl PackageArchive {
    /// Of parts: whatever the record does not list, or lists otherwise, is an error.
    pub fn of(
        record_bytes: Vec<u8>,
        signature: Option<String>,
        files: BTreeMap<String, Vec<u8>>,
    ) -> Result<Self, CatalogTrouble> {
        let record = PackageRecord::read(&record_bytes)?;
        if let Some(undeclared) = files.keys().find(|name| !record.files.contains_key(*name)) {
            return Err(CatalogTrouble::denied(format!(
                "the package holds {}, which `{RECORD}` does not list: it was added after the package was made",
                shown(undeclared)
            )));
        }
        for (name, file) in &record.files {
            let bytes = files.get(name).ok_or_else(|| {
                CatalogTrouble::unfit(format!("`{RECORD}` lists {name}, and the package does not hold it"))
            })?;
            file.check(name, bytes)?;
        }
        Ok(PackageArchive { record, record_bytes, signature, files })
    }

    /// Reads one.
    pub fn open(path: &Path) -> Result<Self, CatalogTrouble> {
        let file = fs::File::open(path).map_err(of_file("read", path))?;
        let about = file.metadata().map_err(of_file("read", path))?;
        if !about.is_file() || about.len() > LARGEST_PACKAGE {
            let why = format!("it is no regular file of at most {LARGEST_PACKAGE} bytes");
            return Err(CatalogTrouble::unfit(why).at(path.display()));
        }
        PackageArchive::read(file).map_err(|trouble| trouble.at(path.display()))
    }

    /// The same, from anywhere.
    pub fn read(from: impl Read) -> Result<Self, CatalogTrouble> {
        let broken = |error| CatalogTrouble::unfit(format!("it is no whole package: {error}"));
        let mut archive = tar::Archive::new(from.take(LARGEST_PACKAGE + (1 << 20)));
        let (mut record, mut signature, mut files) = (None, None, BTreeMap::new());
        let (mut seen, mut whole) = (BTreeSet::new(), 0_u64);
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let path = entry.path_bytes().into_owned();
            let Ok(name) = String::from_utf8(path) else {
                return Err(CatalogTrouble::unfit("it holds a file whose name is not UTF-8"));
            };
            let told = shown(&name);
            if entry.header().entry_type() != EntryType::Regular {
                return Err(CatalogTrouble::unfit(format!(
                    "it holds `{told}`, which is no plain file: folders, links, devices and sparse files are not taken"
                )));
            }
            if name != RECORD && name != SIGNATURE {
                check_file_name(&name)?;
            }
            if !seen.insert(name.to_lowercase()) {
                return Err(CatalogTrouble::unfit(format!(
                    "it holds `{told}` twice, or another one that differs only in upper and lower case"
                )));
            }
            if seen.len() > MOST_FILES + 2 {
                return Err(CatalogTrouble::unfit(format!("it holds more than {MOST_FILES} files")));
            }
            let most = if name == RECORD || name == SIGNATURE { LARGEST_RECORD } else { LARGEST_FILE };
            whole = whole.saturating_add(entry.size());
            if entry.size() > most || whole > LARGEST_PACKAGE {
                return Err(CatalogTrouble::unfit(format!("`{told}` has {} bytes, more than are taken", entry.size())));
            }
            // No room is made for what the header claims: it may not come.
            let mut bytes = Vec::new();
            entry.by_ref().take(most).read_to_end(&mut bytes).map_err(broken)?;
            match &*name {
                RECORD => record = Some(bytes),
                SIGNATURE => {
                    let text = String::from_utf8(bytes);
                    signature = Some(text.map_err(|_| CatalogTrouble::unfit(format!("`{SIGNATURE}` is not UTF-8")))?);
                }
                _ => drop(files.insert(name, bytes)),
            }
        }
        let record =
            record.ok_or_else(|| CatalogTrouble::unfit(format!("it holds no `{RECORD}`: it is no package")))?;
        PackageArchive::of(record, signature, files)
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        let mut put = |name: &str, bytes: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(0);
            let put = archive.append_data(&mut header, name, bytes);
            put.expect("memory takes it, and names are short");
        };
        put(RECORD, &self.record_bytes);
        if let Some(signature) = &self.signature {
            put(SIGNATURE, signature.as_bytes());
        }
        self.files.iter().for_each(|(name, bytes)| put(name, bytes));
        archive.into_inner().expect("memory takes it")
    }

    /// What it is.
    pub fn record(&self) -> &PackageRecord {
        &self.record
    }

    /// The bytes of `package.json`.
    pub(crate) fn record_bytes(&self) -> &[u8] {
        &self.record_bytes
    }

    /// The author's signature of them.
    pub(crate) fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }

    /// Its files, but for the record and the signature.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// Whether this key signed it.
    pub fn verify(&self, key: &PublisherKey) -> Result<(), CatalogTrouble> {
        let signature = self.signature.as_deref().ok_or_else(|| {
            let stem = self.record.stem();
            CatalogTrouble::denied(format!(
                "{stem} is not signed: its author makes it with `camlock package --sign KEY`"
            ))
        })?;
        key.verify(&self.record_bytes, signature)
    }

    /// Holds what it says of its sources and libraries against these themselves.
    pub fn examine(&self, read: &ReadLibrary) -> Result<(), CatalogTrouble> {
        let record = &self.record;
        for (target, library) in &record.libraries {
            let bytes = &self.files[&library.file];
            let facts = read(bytes).map_err(|why| CatalogTrouble::unfit(format!("{}: {why}", library.file)))?;
            record.check_library(target, bytes, &facts)?;
        }
        match &record.source {
            Some(file) => source::check(&self.files[file], (&record.name, &record.version), Some(&record.stem())),
            None => Ok(()),
        }
    }

    /// What `package.json` is known by.
    pub fn digest(&self) -> FileRecord {
        FileRecord::of(&self.record_bytes)
    }
}
