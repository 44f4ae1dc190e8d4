//! What a catalog's directory holds, read through its own signatures.

use crate::{
    CatalogTrouble,
    documents::{AdvisoryList, PluginDocument},
    keep::read_bounded,
    package::FileRecord,
};
use serde_json::Value;
use sigstore_tuf::{Role, Root, Targets, TrustedMetadataSet};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const LARGEST: u64 = 64 << 20;

/// Where metadata lies.
pub(crate) fn metadata(directory: &Path) -> PathBuf {
    directory.join("metadata")
}

/// Where a target lies: its digest stands before its name.
pub(crate) fn hashed(path: &str, sha256: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/{sha256}.{name}"),
        None => format!("{sha256}.{path}"),
    }
}

/// What a catalog says, and how it said it.
#[derive(Clone, Debug)]
pub(crate) struct PublishedState {
    pub(crate) version: u64,
    pub(crate) bins: u32,
    pub(crate) documents: BTreeMap<String, PluginDocument>,
    pub(crate) advisories: AdvisoryList,
    /// Lists of changes until now.
    pub(crate) changes: BTreeMap<String, FileRecord>,
    /// The roles below the top.
    pub(crate) roles: BTreeMap<String, PublishedRole>,
    root: Option<Root>,
}

/// A role as it was signed last.
#[derive(Clone, Debug)]
pub(crate) struct PublishedRole {
    pub(crate) version: u64,
    pub(crate) file: FileRecord,
    pub(crate) files: BTreeMap<String, FileRecord>,
    pub(crate) expires: String,
}

impl PublishedState {
    pub(crate) fn empty(bins: u32) -> Self {
        PublishedState {
            version: 0,
            bins,
            documents: BTreeMap::new(),
            advisories: AdvisoryList::default(),
            changes: BTreeMap::new(),
            roles: BTreeMap::new(),
            root: None,
        }
    }

    /// The number of the newest root.
    pub(crate) fn newest_root(directory: &Path) -> Result<u64, CatalogTrouble> {
        let there = |version: u64| metadata(directory).join(format!("{version}.root.json")).exists();
        (1..)
            .take_while(|version| there(*version))
            .last()
            .ok_or_else(|| CatalogTrouble::unfit(format!("{} has no metadata/1.root.json", directory.display())))
    }

    /// The ids of the root keys, and how many must sign.
    pub(crate) fn root_keys(&self) -> (Vec<String>, usize) {
        let role = self.root.as_ref().and_then(|root| root.role("root"));
        role.map(|role| (role.keyids.to_vec(), role.threshold)).unwrap_or_default()
    }

    pub(crate) fn root_version(&self) -> u64 {
        self.root.as_ref().map_or(0, |root| root.version)
    }

    /// Reads a directory. That something has expired is no error: publishing mends it. The root alone is taken as it lies there.
    pub(crate) fn read(directory: &Path) -> Result<Self, CatalogTrouble> {
        crate::proofs::ready();
        let unsound = |error: sigstore_tuf::Error| {
            let place = directory.display();
            CatalogTrouble::denied(format!(
                "what lies in {place} is not what was published ({}): put back a copy, and look who may write there",
                crate::proofs::sentence(&error)
            ))
        };
        let folder = metadata(directory);
        let read = |name: &str| read_bounded(&folder.join(name), LARGEST);
        let mut trusted = TrustedMetadataSet::from_root(&read("1.root.json")?).map_err(unsound)?;
        for version in 2..=PublishedState::newest_root(directory)? {
            trusted.update_root(&read(&format!("{version}.root.json"))?).map_err(unsound)?;
        }
        // Whether it is fresh does not matter here: an hour before the end of each counts.
        let long_ago = jiff::Timestamp::UNIX_EPOCH;
        trusted.update_timestamp(&read("timestamp.json")?, long_ago).map_err(unsound)?;
        let pin = trusted.timestamp().and_then(|timestamp| timestamp.snapshot_meta()).map_or(0, |pin| pin.version);
        trusted.update_snapshot(&read(&format!("{pin}.snapshot.json"))?, long_ago).map_err(unsound)?;
        let roles: BTreeMap<String, u64> = trusted
            .snapshot()
            .map(|snapshot| {
                snapshot
                    .meta
                    .iter()
                    .map(|(name, pin)| (name.trim_end_matches(".json").to_owned(), pin.version))
                    .collect()
            })
            .unwrap_or_default();
        let version = roles.get("targets").copied().unwrap_or_default();
        trusted.update_targets(&read(&format!("{version}.targets.json"))?, long_ago).map_err(unsound)?;
        let mut state = PublishedState { version, ..PublishedState::empty(0) };
        let targets =
            trusted.targets_role("targets").cloned().ok_or_else(|| CatalogTrouble::unfit("it has no targets"))?;
        for (path, file) in files_of(&targets) {
            if path.starts_with("changes/") {
                state.changes.insert(path, file);
            } else if path == "advisories.json" {
                state.advisories = AdvisoryList::read(&target(directory, &path, &file)?)?;
            }
        }
        for (role, version) in roles.iter().filter(|(role, _)| role.starts_with("bin-")) {
            let bytes = read(&format!("{version}.{role}.json"))?;
            trusted.update_delegated_targets(&bytes, role, "targets", long_ago).map_err(unsound)?;
            let Some(bin) = trusted.targets_role(role) else { continue };
            let files = files_of(bin);
            for (path, file) in &files {
                let document: PluginDocument = serde_json::from_slice(&target(directory, path, file)?)
                    .map_err(|error| CatalogTrouble::unfit(format!("{path} is not understood: {error}")))?;
                state.documents.insert(document.name.clone(), document);
            }
            let expires = bin.expires().to_string();
            let published = PublishedRole { version: *version, file: FileRecord::of(&bytes), files, expires };
            state.roles.insert(role.clone(), published);
            state.bins += 1;
        }
        state.root = Some(trusted.root().clone());
        Ok(state)
    }
}

fn files_of(targets: &Targets) -> BTreeMap<String, FileRecord> {
    let of = |(path, file): (&String, &sigstore_tuf::TargetFile)| {
        let sha256 = file.hashes.get("sha256").cloned().unwrap_or_default();
        (path.clone(), FileRecord { sha256, size: file.length })
    };
    targets.targets.iter().map(of).collect()
}

fn target(directory: &Path, path: &str, file: &FileRecord) -> Result<Vec<u8>, CatalogTrouble> {
    let bytes = read_bounded(&directory.join(hashed(path, &file.sha256)), LARGEST)?;
    file.check(path, &bytes)?;
    Ok(bytes)
}

/// The id of the key that publishes, as the newest root says.
pub(crate) fn online_key(directory: &Path, root: u64) -> Result<String, CatalogTrouble> {
    let bytes = read_bounded(&metadata(directory).join(format!("{root}.root.json")), LARGEST)?;
    let root: Value = serde_json::from_slice(&bytes)
        .map_err(|error| CatalogTrouble::unfit(format!("{root}.root.json is not understood: {error}")))?;
    let id = root["signed"]["roles"]["targets"]["keyids"][0].as_str().map(str::to_owned);
    id.ok_or_else(|| CatalogTrouble::unfit("the newest root names no key that publishes"))
}
