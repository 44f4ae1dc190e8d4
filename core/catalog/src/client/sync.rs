//! Following a catalog: what is new since the last time, and documents and files of single plugins.

use super::{CatalogPlace, TrustedFiles, roots};
use crate::{
    CatalogTrouble,
    documents::{AdvisoryList, ListingLine, PluginDocument, PluginVersion, unpack_lines},
    package::{
        Attester, FileRecord, LARGEST_RECORD, PackageArchive, PackageRecord, PublisherKey, RECORD, ReadLibrary,
        SIGNATURE, check_attestations,
    },
    proofs,
    trouble::TroubleSort,
};
use camlock_policy::manifest::check_name;
use futures_util::FutureExt;
use jiff::Timestamp;
use sigstore_tuf::{Error, Repository, Updater, UpdaterConfig, transport::FetchFuture};
use std::{collections::BTreeMap, fmt, future::Future};

/// Lists that unpack to half a gigabyte are smaller than this.
const LARGEST_TARGET: u64 = 64 << 20;

/// A catalog whose metadata was proved to be the newest.
pub struct CatalogReader {
    place: CatalogPlace,
    updater: Updater,
    now: Timestamp,
}

impl fmt::Debug for CatalogReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CatalogReader").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What a catalog lists.
#[derive(Clone, Debug, PartialEq)]
pub enum SyncedLines {
    /// What was known is all.
    Unchanged,
    /// These lines are new or other than before.
    Changes(Vec<ListingLine>),
    /// These are all.
    All(Vec<ListingLine>),
}

/// What came of following a catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct Synchronized {
    /// Its version.
    pub version: u64,
    /// What it lists.
    pub lines: SyncedLines,
    /// What is wrong with what; none if that is as it was.
    pub advisories: Option<AdvisoryList>,
}

/// A catalog's files, as the updater asks for them.
struct CatalogFiles(CatalogPlace);

impl CatalogFiles {
    fn fetch(&self, path: String, most: u64) -> FetchFuture<'_> {
        let fetched = self.0.fetch(&path, most);
        let fetched = fetched.map_err(|trouble| match trouble.sort {
            TroubleSort::Unavailable => Error::transport(trouble.reason),
            _ => Error::Malformed(trouble.reason),
        });
        Box::pin(std::future::ready(fetched))
    }
}

impl Repository for CatalogFiles {
    fn fetch_metadata<'a>(&'a self, name: &'a str, most: u64) -> FetchFuture<'a> {
        Box::pin(async move {
            let fetched = self.fetch(format!("metadata/{name}"), most).await?;
            if let Some(bytes) = fetched.as_deref().filter(|_| roots::is_root(name)) {
                roots::check_ids(bytes).map_err(Error::Malformed)?;
            }
            Ok(fetched)
        })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, most: u64) -> FetchFuture<'a> {
        self.fetch(path.to_owned(), most)
    }
}

/// CatalogFiles are fetched on this thread: nothing is ever waited for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("files are fetched on this thread")
}

fn trouble_of(place: &CatalogPlace, error: &Error) -> CatalogTrouble {
    let reason = format!("{place}: {}", proofs::sentence(error));
    match error {
        Error::Transport { .. } | Error::Io { .. } => CatalogTrouble::unavailable(reason),
        Error::Expired { .. } => CatalogTrouble::unavailable(format!(
            "{reason}: nobody vouches for it being the newest any more, so nothing new is taken from it; what is installed is not \
             affected. Whoever keeps it runs `camlock catalog publish` again"
        )),
        Error::TargetNotFound(_) => CatalogTrouble::missing(reason),
        _ => CatalogTrouble::denied(reason),
    }
}

impl CatalogReader {
    /// The root that a catalog begins with, for whoever trusts it at first sight.
    pub fn first_root(place: &CatalogPlace) -> Result<Vec<u8>, CatalogTrouble> {
        let root = place.fetch("metadata/1.root.json", LARGEST_RECORD)?;
        root.ok_or_else(|| CatalogTrouble::missing(format!("{place} is no catalog: it has no metadata/1.root.json")))
    }

    /// Proves that what lies there now is the newest, beginning with a root that is trusted and what was proved before.
    pub fn open(
        place: CatalogPlace,
        root: &[u8],
        trusted: TrustedFiles,
        now: Timestamp,
    ) -> Result<Self, CatalogTrouble> {
        proofs::ready();
        let mut limits = UpdaterConfig::default();
        limits.target_max_length = LARGEST_TARGET;
        // A change of keys a month for twenty years.
        limits.max_root_rotations = 256;
        roots::check_ids(root).map_err(|why| CatalogTrouble::denied(format!("{place}: {why}")))?;
        let updater = Updater::new(CatalogFiles(place.clone()), root).map_err(|error| {
            CatalogTrouble::denied(format!("the root of {place} is none: {}", proofs::sentence(&error)))
        })?;
        let mut updater = updater.with_config(limits).with_store(trusted);
        at_once(updater.refresh(now)).map_err(|error| trouble_of(&place, &error))?;
        Ok(CatalogReader { place, updater, now })
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.updater.trusted().targets_role("targets").map_or(0, |targets| targets.version)
    }

    /// The version of what says that this is the newest.
    pub fn timestamp(&self) -> u64 {
        self.updater.trusted().timestamp().map_or(0, |timestamp| timestamp.version)
    }

    /// What is new since the version that was known, if one was.
    pub fn since(&mut self, known: Option<u64>) -> Result<Synchronized, CatalogTrouble> {
        let version = self.version();
        if known == Some(version) {
            return Ok(Synchronized { version, lines: SyncedLines::Unchanged, advisories: None });
        }
        let listed = |path: &str| {
            let targets = self.updater.trusted().targets_role("targets");
            targets.is_some_and(|targets| targets.target(path).is_some())
        };
        let step = |version: u64| format!("changes/{version}.jsonl.zst");
        let steps = known.filter(|known| *known < version).map(|known| known + 1..=version);
        let lines = match steps.filter(|steps| steps.clone().all(|version| listed(&step(version)))) {
            Some(steps) => {
                let mut changes = BTreeMap::new();
                for version in steps {
                    let lines = unpack_lines(&self.target(&step(version))?)?;
                    changes.extend(lines.into_iter().map(|line| (line.name.clone(), line)));
                }
                SyncedLines::Changes(changes.into_values().collect())
            }
            None => SyncedLines::All(unpack_lines(&self.target("all.jsonl.zst")?)?),
        };
        let advisories = AdvisoryList::read(&self.target("advisories.json")?)?;
        Ok(Synchronized { version, lines, advisories: Some(advisories) })
    }

    /// All that it says of a plugin.
    pub fn document(&mut self, name: &str) -> Result<PluginDocument, CatalogTrouble> {
        check_name(name).map_err(|invalid| CatalogTrouble::unfit(invalid.0))?;
        let path = format!("p/{name}.json");
        let bytes = self.target(&path)?;
        let document: PluginDocument = serde_json::from_slice(&bytes)
            .map_err(|error| CatalogTrouble::unfit(format!("{}: {path} is not understood: {error}", self.place)))?;
        if document.name != name {
            let (place, other) = (&self.place, &document.name);
            return Err(CatalogTrouble::denied(format!("{place}: {path} is the document of `{other}`")));
        }
        Ok(document)
    }

    fn target(&mut self, path: &str) -> Result<Vec<u8>, CatalogTrouble> {
        let now = self.now;
        at_once(self.updater.get_target(path, now)).map_err(|error| trouble_of(&self.place, &error))
    }

    /// One file of a version, proved by the version's record, and that by the signed document. Nothing else of it is fetched.
    pub fn part(&self, name: &str, version: &PluginVersion, file: &str) -> Result<PackagePart, CatalogTrouble> {
        let stem = format!("{name} {}", version.version);
        let fetch = |file: &str, most: u64| self.package_file(name, version, file, most);
        let (record_bytes, record) = self.record(name, version)?;
        let pinned = record.files.get(file).ok_or_else(|| {
            CatalogTrouble::denied(format!("{stem}: its document names {file}, and `{RECORD}` does not list it"))
        })?;
        let bytes = fetch(file, pinned.size)?;
        pinned.check(file, &bytes).map_err(|trouble| trouble.at(&stem))?;
        let signature = match &version.signature {
            Some(_) => {
                let text = String::from_utf8(fetch(SIGNATURE, LARGEST_RECORD)?);
                Some(text.map_err(|_| CatalogTrouble::unfit(format!("{stem}: its signature is not UTF-8")))?)
            }
            None => None,
        };
        Ok(PackagePart { record, record_bytes, signature, bytes })
    }

    fn record(&self, name: &str, version: &PluginVersion) -> Result<(Vec<u8>, PackageRecord), CatalogTrouble> {
        let stem = format!("{name} {}", version.version);
        let pinned = version
            .package
            .as_ref()
            .ok_or_else(|| CatalogTrouble::unfit(format!("{stem} has no package in this catalog")))?;
        let bytes = self.package_file(name, version, RECORD, LARGEST_RECORD)?;
        pinned.check(RECORD, &bytes).map_err(|trouble| trouble.at(&stem))?;
        let record = PackageRecord::read(&bytes).map_err(|trouble| trouble.at(&stem))?;
        if (record.name.as_str(), record.version.as_str()) != (name, version.version.as_str()) {
            return Err(CatalogTrouble::denied(format!("what lies there as {stem} is {}", record.stem())));
        }
        Ok((bytes, record))
    }

    fn package_file(
        &self,
        name: &str,
        version: &PluginVersion,
        file: &str,
        most: u64,
    ) -> Result<Vec<u8>, CatalogTrouble> {
        if file != RECORD && file != SIGNATURE {
            crate::package::check_file_name(file)?;
        }
        // A version is a folder here: one that is none could lead elsewhere.
        let plain = version.semver().is_some_and(|number| number.to_string() == version.version);
        let path = format!("packages/{name}/{}/{file}", version.version);
        let bytes = if plain { self.place.fetch(&path, most)? } else { None };
        bytes.ok_or_else(|| {
            CatalogTrouble::missing(format!("{}: {path} is not there, and its list says it is", self.place))
        })
    }

    /// A version's package whole: each file is what `package.json` says, and that is what the signed document says.
    pub fn package(&self, name: &str, version: &PluginVersion) -> Result<PackageArchive, CatalogTrouble> {
        let stem = format!("{name} {}", version.version);
        let (record_bytes, record) = self.record(name, version)?;
        let mut files = BTreeMap::new();
        for (file, pinned) in &record.files {
            files.insert(file.clone(), self.package_file(name, version, file, pinned.size)?);
        }
        let signature = match &version.signature {
            Some(_) => {
                let text = String::from_utf8(self.package_file(name, version, SIGNATURE, LARGEST_RECORD)?);
                Some(text.map_err(|_| CatalogTrouble::unfit(format!("{stem}: its signature is not UTF-8")))?)
            }
            None => None,
        };
        PackageArchive::of(record_bytes, signature, files).map_err(|trouble| trouble.at(&stem))
    }
}

/// One file of a package, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagePart {
    record: PackageRecord,
    record_bytes: Vec<u8>,
    signature: Option<String>,
    bytes: Vec<u8>,
}

impl PackagePart {
    /// Sources that nobody packaged: what they are known by says only which bytes they are.
    pub(super) fn of_sources(
        (name, version): (&str, &str),
        file: &str,
        bytes: Vec<u8>,
    ) -> Result<Self, CatalogTrouble> {
        let files = BTreeMap::from([(file.to_owned(), FileRecord::of(&bytes))]);
        let record = PackageRecord::of_sources((name, version), file, files);
        let record_bytes = serde_json::to_vec(&record).unwrap_or_default();
        Ok(PackagePart { record, record_bytes, signature: None, bytes })
    }

    /// What the package is.
    pub fn record(&self) -> &PackageRecord {
        &self.record
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the package is known by: the digest of its record.
    pub fn digest(&self) -> String {
        FileRecord::of(&self.record_bytes).sha256
    }

    /// Whether somebody signed it.
    pub fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// Whether this key signed it.
    pub fn verify(&self, key: &PublisherKey) -> Result<(), CatalogTrouble> {
        let signature = self.signature.as_deref();
        let signature =
            signature.ok_or_else(|| CatalogTrouble::denied(format!("{} is not signed", self.record.stem())))?;
        key.verify(&self.record_bytes, signature)
    }

    /// Whether one of these has attested this file, as another part of the package says.
    pub(crate) fn check_attested(&self, attestations: &PackagePart, by: &[Attester]) -> Result<(), CatalogTrouble> {
        check_attestations(&attestations.bytes, &self.bytes, by)
    }

    /// Holds what the record says of its library for a target against the library itself, if the file is that one.
    pub fn examine(&self, target: &str, read: &ReadLibrary) -> Result<(), CatalogTrouble> {
        let facts = read(&self.bytes).map_err(|why| CatalogTrouble::unfit(format!("{}: {why}", self.record.stem())))?;
        self.record.check_library(target, &self.bytes, &facts)
    }

    /// The same for the file with the sources.
    pub fn examine_source(&self) -> Result<(), CatalogTrouble> {
        // What was packaged lies as packages have it; others pack as they like.
        let folder = (!self.record.libraries.is_empty()).then(|| self.record.stem());
        crate::package::check_source(&self.bytes, (&self.record.name, &self.record.version), folder.as_deref())
    }
}
