//! Keeping a catalog by hand: a directory of static files, and the keys that sign them.
//!
//! What is there is read through its own signatures before anything is added, so what somebody changed on the file server is not
//! signed. Files come first and the timestamp last: whoever reads meanwhile, or after this was killed anywhere, sees the catalog
//! as it was.

mod keys;
mod metadata;
mod shelf;

/// For those who try what the holders of keys could do.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::keys::{KeeperKey, signed};
}

pub(crate) use self::{metadata::after, shelf::hashed};

use self::{
    keys::{KeeperKey, signed},
    metadata::{bin_name, bin_of},
    shelf::PublishedState,
};
use crate::{
    CatalogTrouble,
    documents::{AdvisoryList, ListingLine, PluginDocument, PluginVersion, pack_lines},
    keep::write_whole,
    package::{FileRecord, PackageArchive, PublisherKey, ReadLibrary},
    trouble::of_file,
};
use jiff::Timestamp;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// How a new catalog is made.
#[derive(Clone, Copy, Debug)]
pub struct NewCatalog {
    /// So many root keys.
    pub roots: usize,
    /// So many of them must sign a change of keys.
    pub threshold: usize,
    /// So many bins: a power of two, up to 4096. 16 do for some hundred plugins, 256 from 4,000 and 1,024 from 63,000.
    pub bins: u32,
}

impl Default for NewCatalog {
    fn default() -> Self {
        NewCatalog { roots: 3, threshold: 2, bins: 16 }
    }
}

/// For how long what is signed counts, in days.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Who may say what.
    pub root: u32,
    /// What is there.
    pub targets: u32,
    /// That this is the newest: publish again, with nothing new, before it ends.
    pub timestamp: u32,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Lifetimes { root: 730, targets: 365, timestamp: 30 }
    }
}

/// What is published at once.
#[derive(Debug, Default)]
pub struct Publication {
    /// New versions.
    pub packages: Vec<PackageArchive>,
    /// The keys of authors who are new to the catalog. Those of others are known to it.
    pub publishers: Vec<PublisherKey>,
    /// Take packages that nobody signed.
    pub unsigned: bool,
    /// Versions that nobody should install any more, and why: `NAME`, `VERSION`, why.
    pub yanked: Vec<(String, String, String)>,
    /// All advisories from now on.
    pub advisories: Option<AdvisoryList>,
    /// What is known of ratings and downloads: by plugin.
    pub figures: BTreeMap<String, (Option<f64>, Option<u64>)>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Publishing {
    /// The catalog's version now.
    pub version: u64,
    /// What is new: `NAME VERSION`.
    pub published: Vec<String>,
    /// Until when this is the newest, whoever looks.
    pub expires: String,
}

/// The most changes that are kept one by one: who has missed more fetches everything.
const KEPT_CHANGES: u64 = 100;

/// Who keeps a catalog.
#[derive(Debug)]
pub struct Keeper {
    directory: PathBuf,
    keys: Vec<KeeperKey>,
    lifetimes: Lifetimes,
    now: Timestamp,
    // Held: two who publish at once would overwrite one another's.
    _lock: fs::File,
}

impl Keeper {
    /// Makes a catalog where there is none, and its keys in a folder elsewhere: `root-1.key` and so on, which are to be taken offline,
    /// and `online.key`, which publishes.
    pub fn create(
        directory: &Path,
        keys: &Path,
        new: NewCatalog,
        lifetimes: Lifetimes,
    ) -> Result<Self, CatalogTrouble> {
        let NewCatalog { roots, threshold, bins } = new;
        if threshold == 0 || threshold > roots || roots > 32 {
            let why = format!(
                "{threshold} of {roots} root keys cannot be asked for: at least 1, at most all, no more than 32"
            );
            return Err(CatalogTrouble::unfit(why));
        }
        if !bins.is_power_of_two() || bins > 4096 {
            return Err(CatalogTrouble::unfit(format!("{bins} is no number of bins: a power of two, up to 4096")));
        }
        if shelf::metadata(directory).join("timestamp.json").exists() {
            return Err(CatalogTrouble::conflict(format!("{} is a catalog already", directory.display())));
        }
        fs::create_dir_all(keys).map_err(of_file("made", keys))?;
        if inside(keys, directory) {
            return Err(CatalogTrouble::unfit(format!(
                "the keys would lie in {}, which everybody reads: keep them elsewhere",
                directory.display()
            )));
        }
        let made: Vec<KeeperKey> = (1..=roots)
            .map(|number| KeeperKey::generate(&keys.join(format!("root-{number}.key"))))
            .collect::<Result<_, _>>()?;
        let online = KeeperKey::generate(&keys.join("online.key"))?;
        let keeper = Keeper::locked(directory, keys, lifetimes)?;
        let roots: Vec<&KeeperKey> = made.iter().collect();
        let root = metadata::root(1, &keeper.until(lifetimes.root), &roots, threshold, &online);
        write_whole(&shelf::metadata(directory).join("1.root.json"), &signed(&root, &roots)?)?;
        let empty = PublishedState::empty(bins);
        keeper.write(empty.clone(), &empty, &[])?;
        Ok(keeper)
    }

    /// Opens one, with whatever keys lie there.
    pub fn open(directory: &Path, keys: &Path, lifetimes: Lifetimes) -> Result<Self, CatalogTrouble> {
        if !shelf::metadata(directory).join("timestamp.json").exists() {
            return Err(CatalogTrouble::missing(format!(
                "{} is no catalog: `camlock catalog init {0}` makes one",
                directory.display()
            )));
        }
        Keeper::locked(directory, keys, lifetimes)
    }

    fn locked(directory: &Path, keys: &Path, lifetimes: Lifetimes) -> Result<Self, CatalogTrouble> {
        fs::create_dir_all(directory).map_err(of_file("made", directory))?;
        let path = directory.join(".lock");
        let lock = fs::File::create(&path).map_err(of_file("written", &path))?;
        if lock.try_lock().is_err() {
            return Err(CatalogTrouble::unavailable(format!("somebody else is publishing in {}", directory.display())));
        }
        let keys = KeeperKey::all(keys)?;
        Ok(Keeper { directory: directory.to_owned(), keys, lifetimes, now: Timestamp::now(), _lock: lock })
    }

    /// As if it were another time: for tests of what has expired.
    #[cfg(test)]
    pub(crate) fn at(self, now: Timestamp) -> Self {
        Keeper { now, ..self }
    }

    fn until(&self, days: u32) -> String {
        after(self.now, days)
    }

    /// Publishes.
    pub fn publish(&self, publication: Publication, read: &ReadLibrary) -> Result<Publishing, CatalogTrouble> {
        let before = PublishedState::read(&self.directory)?;
        let mut after = before.clone();
        let mut published = Vec::new();
        let now = Timestamp::from_second(self.now.as_second()).unwrap_or(self.now).to_string();
        for package in &publication.packages {
            let record = package.record();
            let stem = record.stem();
            package.examine(read).map_err(|trouble| trouble.at(&stem))?;
            let document = after.documents.entry(record.name.clone()).or_default();
            add(document, package, &publication, &now).map_err(|trouble| trouble.at(&stem))?;
            published.push(format!("{} {}", record.name, record.version));
        }
        for (name, version, why) in &publication.yanked {
            let document = after.documents.get_mut(name);
            let found = document.and_then(|document| document.versions.iter_mut().find(|one| one.version == *version));
            let found = found
                .ok_or_else(|| CatalogTrouble::missing(format!("the catalog has no {name} {version} to take back")))?;
            found.yanked = Some(why.clone());
        }
        if let Some(advisories) = publication.advisories {
            after.advisories = advisories;
        }
        for (name, (rating, downloads)) in publication.figures {
            if let Some(document) = after.documents.get_mut(&name) {
                (document.rating, document.downloads) = (rating, downloads);
            }
        }
        let (version, expires) = self.write(after, &before, &publication.packages)?;
        Ok(Publishing { version, published, expires })
    }

    /// From now on other keys count: a new one that publishes, and new root keys too if so many are asked for. Enough of the root
    /// keys until now must lie in the folder.
    pub fn rotate(&self, keys: &Path, roots: Option<(usize, usize)>) -> Result<u64, CatalogTrouble> {
        let state = PublishedState::read(&self.directory)?;
        let (ids, threshold) = state.root_keys();
        let old: Vec<&KeeperKey> = self.keys.iter().filter(|key| ids.contains(&key.id())).collect();
        if old.len() < threshold {
            return Err(CatalogTrouble::denied(format!(
                "{threshold} root keys must sign a change of keys, and {} of them lie in {}: bring them together first",
                old.len(),
                keys.display()
            )));
        }
        // Before any key is made: one that is left over would stand in the way of the next attempt.
        match roots {
            Some((count, threshold)) if threshold < 1 || threshold > count => {
                return Err(CatalogTrouble::unfit(format!("{threshold} of {count} root keys cannot be asked for")));
            }
            None if old.len() != ids.len() => {
                return Err(CatalogTrouble::denied(
                    "all root keys are needed to keep them as they are: those that are lost are replaced with `--roots`",
                ));
            }
            _ => {}
        }
        let version = state.root_version() + 1;
        let online = KeeperKey::generate(&keys.join(format!("online-{version}.key")))?;
        let made: Vec<KeeperKey> = match roots {
            Some((count, _)) => (1..=count)
                .map(|number| KeeperKey::generate(&keys.join(format!("root-{version}-{number}.key"))))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let (new, threshold): (Vec<&KeeperKey>, usize) = match roots {
            Some((_, threshold)) => (made.iter().collect(), threshold),
            None => (old.clone(), threshold),
        };
        let root = metadata::root(version, &self.until(self.lifetimes.root), &new, threshold, &online);
        let mut signers = old;
        for key in new {
            if !signers.iter().any(|signer| signer.id() == key.id()) {
                signers.push(key);
            }
        }
        write_whole(&shelf::metadata(&self.directory).join(format!("{version}.root.json")), &signed(&root, &signers)?)?;
        // All that the old key said is said again by the new one.
        let keeper = Keeper { keys: vec![online], directory: self.directory.clone(), now: self.now, ..self.twin()? };
        let mut all = state.clone();
        all.roles.clear();
        keeper.write_with(state, &all, &[], version)?;
        Ok(version)
    }

    fn twin(&self) -> Result<Self, CatalogTrouble> {
        let lock = self._lock.try_clone().map_err(of_file("locked", &self.directory))?;
        Ok(Keeper {
            directory: self.directory.clone(),
            keys: Vec::new(),
            lifetimes: self.lifetimes,
            now: self.now,
            _lock: lock,
        })
    }

    fn write(
        &self,
        after: PublishedState,
        before: &PublishedState,
        packages: &[PackageArchive],
    ) -> Result<(u64, String), CatalogTrouble> {
        let root = PublishedState::newest_root(&self.directory)?;
        self.write_with(after, before, packages, root)
    }

    /// Writes what changed. Of roles that `before` has and that are as they were, nothing is signed again.
    fn write_with(
        &self,
        after: PublishedState,
        before: &PublishedState,
        packages: &[PackageArchive],
        root: u64,
    ) -> Result<(u64, String), CatalogTrouble> {
        let online = shelf::online_key(&self.directory, root)?;
        let key = self.keys.iter().find(|key| key.id() == online).ok_or_else(|| {
            CatalogTrouble::denied(
                "the key that publishes does not lie there: it is called online.key, or online-N.key after a change",
            )
        })?;
        for package in packages {
            self.write_package(package)?;
        }
        let version = after.version + 1;
        let mut roles = BTreeMap::new();
        let fresh = self.until(self.lifetimes.targets / 3);
        let expires = self.until(self.lifetimes.targets);
        // The bins.
        let mut bins: BTreeMap<u32, BTreeMap<String, FileRecord>> =
            (0..after.bins).map(|bin| (bin, BTreeMap::new())).collect();
        for (name, document) in &after.documents {
            let bytes = pretty(document);
            let path = format!("p/{name}.json");
            let file = self.write_target(&path, &bytes)?;
            bins.entry(bin_of(&path, after.bins)).or_default().insert(path, file);
        }
        for (bin, files) in &bins {
            let name = bin_name(*bin);
            let was = before.roles.get(&name).filter(|was| was.files == *files && was.expires > fresh);
            let pin = match was {
                Some(was) => (was.version, was.file.clone()),
                None => {
                    let version = after.roles.get(&name).map_or(1, |was| was.version + 1);
                    let bytes = signed(&metadata::targets(version, &expires, files, None), &[key])?;
                    (version, self.write_role(&name, version, &bytes)?)
                }
            };
            roles.insert(name, pin);
        }
        // What all of them are in a line, and what is other than before.
        let mut files = BTreeMap::new();
        let lines: BTreeMap<&String, ListingLine> =
            after.documents.iter().map(|(name, document)| (name, document.line())).collect();
        files.insert("all.jsonl.zst".to_owned(), self.write_target("all.jsonl.zst", &pack_lines(lines.values())?)?);
        let changed = lines
            .iter()
            .filter(|(name, line)| before.documents.get(**name).map(PluginDocument::line).as_ref() != Some(*line));
        let changes = format!("changes/{version}.jsonl.zst");
        let file = self.write_target(&changes, &pack_lines(changed.map(|(_, line)| line))?)?;
        files.insert(changes, file);
        for (path, file) in &after.changes {
            let kept =
                path.trim_start_matches("changes/").split('.').next().and_then(|number| number.parse::<u64>().ok());
            if kept.is_some_and(|number| number + KEPT_CHANGES > version) {
                files.insert(path.clone(), file.clone());
            }
        }
        files.insert("advisories.json".to_owned(), self.write_target("advisories.json", &pretty(&after.advisories))?);
        let targets = metadata::targets(version, &expires, &files, Some((after.bins, key)));
        let bytes = signed(&targets, &[key])?;
        roles.insert("targets".to_owned(), (version, self.write_role("targets", version, &bytes)?));
        let snapshot = signed(&metadata::snapshot(version, &expires, &roles), &[key])?;
        let file = self.write_role("snapshot", version, &snapshot)?;
        // Only now it is seen.
        let expires = self.until(self.lifetimes.timestamp);
        let timestamp = signed(&metadata::timestamp(version, &expires, (version, &file)), &[key])?;
        write_whole(&shelf::metadata(&self.directory).join("timestamp.json"), &timestamp)?;
        Ok((version, expires))
    }

    fn write_role(&self, role: &str, version: u64, bytes: &[u8]) -> Result<FileRecord, CatalogTrouble> {
        write_whole(&shelf::metadata(&self.directory).join(format!("{version}.{role}.json")), bytes)?;
        Ok(FileRecord::of(bytes))
    }

    /// A target lies where its digest says: no version of it takes the place of another.
    fn write_target(&self, path: &str, bytes: &[u8]) -> Result<FileRecord, CatalogTrouble> {
        let file = FileRecord::of(bytes);
        let at = self.directory.join(shelf::hashed(path, &file.sha256));
        if !at.exists() {
            write_whole(&at, bytes)?;
        }
        Ok(file)
    }

    fn write_package(&self, package: &PackageArchive) -> Result<(), CatalogTrouble> {
        let record = package.record();
        let folder = self.directory.join("packages").join(&record.name).join(&record.version);
        for (name, bytes) in package.files() {
            write_whole(&folder.join(name), bytes)?;
        }
        if let Some(signature) = package.signature() {
            write_whole(&folder.join(crate::package::SIGNATURE), signature.as_bytes())?;
        }
        write_whole(&folder.join(crate::package::RECORD), package.record_bytes())
    }
}

fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn inside(path: &Path, folder: &Path) -> bool {
    match (path.canonicalize(), folder.canonicalize()) {
        (Ok(path), Ok(folder)) => path.starts_with(folder),
        _ => false,
    }
}

/// Adds a version. The first bytes of a version are its only ones, and the first publisher of a name its only one.
fn add(
    document: &mut PluginDocument,
    package: &PackageArchive,
    publication: &Publication,
    now: &str,
) -> Result<(), CatalogTrouble> {
    let record = package.record();
    let known = document.publisher.as_deref().map(PublisherKey::read).transpose()?;
    let signer = match (&known, package.signature()) {
        (Some(key), _) => {
            package.verify(key).map_err(|trouble| {
                CatalogTrouble::denied(format!("{trouble}; `{}` belongs to the publisher {key}", record.name))
            })?;
            known
        }
        (None, Some(_)) if document.versions.is_empty() => {
            let key = publication.publishers.iter().find(|key| package.verify(key).is_ok());
            Some(key.cloned().ok_or_else(|| {
                CatalogTrouble::denied("its author is new to this catalog: name the author's key with `--publisher`")
            })?)
        }
        (None, _) if publication.unsigned => None,
        (None, _) => {
            return Err(CatalogTrouble::denied(
                "nobody signed it: `camlock package --sign KEY`, or publish with `--unsigned`",
            ));
        }
    };
    if let Some(there) = document.version(&record.version) {
        if there.package.as_ref() == Some(&package.digest()) {
            return Ok(());
        }
        return Err(CatalogTrouble::conflict(
            "the catalog has this version with other bytes, and what was published stays as it is: raise the version",
        ));
    }
    if document.versions.is_empty() {
        document.created_at = now.to_owned();
    }
    document.name.clone_from(&record.name);
    document.publisher = signer.map(|key| key.to_string());
    document.updated_at = now.to_owned();
    document.versions.push(PluginVersion {
        version: record.version.clone(),
        published_at: now.to_owned(),
        yanked: None,
        package: Some(package.digest()),
        signature: package.signature().map(str::to_owned),
        dependencies: record.dependencies.clone(),
        permissions: record.permissions.clone(),
        source: record.source.clone(),
        libraries: record.libraries.clone(),
        files: record.files.clone(),
        download_url: None,
        refused: None,
    });
    document.versions.sort_by_key(PluginVersion::semver);
    // What people read is that of the newest.
    if document.newest().is_none_or(|newest| newest.version == record.version) {
        document.display_name.clone_from(&record.display_name);
        document.description.clone_from(&record.description);
        document.authors.clone_from(&record.authors);
        document.license.clone_from(&record.license);
        document.category.clone_from(&record.category);
        document.tags.clone_from(&record.tags);
        document.repository.clone_from(&record.repository);
    }
    Ok(())
}
