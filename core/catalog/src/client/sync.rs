//! Following a catalog: what is new since the last time, and documents and files of single plugins.

use super::{CatalogPlace, TrustedFiles};
use crate::{
    CatalogTrouble,
    documents::{AdvisoryList, ListingLine, PluginDocument, PluginVersion, unpack_lines},
    package::{LARGEST_RECORD, PackageArchive, RECORD, SIGNATURE},
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
struct Files(CatalogPlace);

impl Files {
    fn fetch(&self, path: String, most: u64) -> FetchFuture<'_> {
        let fetched = self.0.fetch(&path, most);
        let fetched = fetched.map_err(|trouble| match trouble.sort {
            TroubleSort::Unavailable => Error::transport(trouble.reason),
            _ => Error::Malformed(trouble.reason),
        });
        Box::pin(std::future::ready(fetched))
    }
}

impl Repository for Files {
    fn fetch_metadata<'a>(&'a self, name: &'a str, most: u64) -> FetchFuture<'a> {
        self.fetch(format!("metadata/{name}"), most)
    }

    fn fetch_target<'a>(&'a self, path: &'a str, most: u64) -> FetchFuture<'a> {
        self.fetch(path.to_owned(), most)
    }
}

/// Files are fetched on this thread: nothing is ever waited for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("files are fetched on this thread")
}

fn told(place: &CatalogPlace, error: &Error) -> CatalogTrouble {
    let reason = format!("{place}: {}", proofs::told(error));
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
        let updater = Updater::new(Files(place.clone()), root).map_err(|error| {
            CatalogTrouble::denied(format!("the root of {place} is none: {}", proofs::told(&error)))
        })?;
        let mut updater = updater.with_config(limits).with_store(trusted);
        at_once(updater.refresh(now)).map_err(|error| told(&place, &error))?;
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
        at_once(self.updater.get_target(path, now)).map_err(|error| told(&self.place, &error))
    }

    /// A version's package with these of its files: each is what `package.json` says, and that is what the signed document says.
    pub fn package(&self, name: &str, version: &PluginVersion) -> Result<PackageArchive, CatalogTrouble> {
        let folder = format!("packages/{name}/{}", version.version);
        let stem = format!("{name} {}", version.version);
        let pinned = version
            .package
            .as_ref()
            .ok_or_else(|| CatalogTrouble::unfit(format!("{stem} has no package in this catalog")))?;
        let fetch = |file: &str, most: u64| {
            let path = format!("{folder}/{file}");
            let bytes = self.place.fetch(&path, most)?;
            bytes.ok_or_else(|| {
                CatalogTrouble::missing(format!("{}: {path} is not there, and its list says it is", self.place))
            })
        };
        let record = fetch(RECORD, LARGEST_RECORD)?;
        pinned.check(RECORD, &record).map_err(|trouble| trouble.at(&stem))?;
        let mut files = BTreeMap::new();
        for (file, pinned) in &version.files {
            crate::package::check_file_name(file)?;
            files.insert(file.clone(), fetch(file, pinned.size)?);
        }
        let signature = match &version.signature {
            Some(_) => {
                let text = String::from_utf8(fetch(SIGNATURE, LARGEST_RECORD)?);
                Some(text.map_err(|_| CatalogTrouble::unfit(format!("{stem}: its signature is not UTF-8")))?)
            }
            None => None,
        };
        let package = PackageArchive::of(record, signature, files).map_err(|trouble| trouble.at(&stem))?;
        if (package.record().name.as_str(), package.record().version.as_str()) != (name, version.version.as_str()) {
            return Err(CatalogTrouble::denied(format!("what lies there as {stem} is {}", package.record().stem())));
        }
        Ok(package)
    }
}
