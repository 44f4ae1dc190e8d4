//! What a catalog says: a document of each plugin (`p/NAME.json`), a line of each for searching (`all.jsonl.zst`, `changes/N.jsonl.zst`),
//! advisories. All of them are targets of the catalog's signed metadata.

use crate::{
    CatalogTrouble,
    package::{FileRecord, LibraryRecord},
    trouble::shown,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All that a catalog says of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginDocument {
    /// Its name.
    pub name: String,
    /// Who makes it: a key of minisign. Nobody else's versions are taken under this name.
    pub publisher: Option<String>,
    /// What people call it, or empty.
    pub display_name: String,
    /// One line.
    pub description: String,
    /// As cargo lists them.
    pub authors: Vec<String>,
    /// An SPDX expression.
    pub license: String,
    /// What sort of plugin it is.
    pub category: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// A URL.
    pub repository: String,
    /// When it was first published.
    pub created_at: String,
    /// When it was last published.
    pub updated_at: String,
    /// What people think of it, from 1 to 5, where the catalog knows.
    pub rating: Option<f64>,
    /// How often it was fetched, where the catalog knows.
    pub downloads: Option<u64>,
    /// Its versions, the newest last.
    pub versions: Vec<PluginVersion>,
}

/// A version of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginVersion {
    /// The version.
    pub version: String,
    /// When it was published.
    pub published_at: String,
    /// Why nobody should install it any more, if that is so.
    pub yanked: Option<String>,
    /// `package.json`.
    pub package: Option<FileRecord>,
    /// Its signature.
    pub signature: Option<String>,
    /// Other plugins, with the versions that will do.
    pub dependencies: BTreeMap<String, String>,
    /// What it asks to be allowed.
    pub permissions: Vec<String>,
    /// The file with its sources, if they are in it.
    pub source: Option<String>,
    /// Its libraries, by target.
    pub libraries: BTreeMap<String, LibraryRecord>,
    /// Every file.
    pub files: BTreeMap<String, FileRecord>,
    /// Where its sources lie instead, of a catalog that has no packages.
    pub download_url: Option<String>,
    /// Why an operator's policy does not take it. No part of the document.
    #[serde(skip)]
    pub refused: Option<String>,
}

impl PluginVersion {
    /// What the version is; one that is none is never offered.
    pub fn semver(&self) -> Option<semver::Version> {
        self.version.parse().ok()
    }
}

impl PluginDocument {
    /// The newest version that was not taken back; of pre-releases only if there is nothing else.
    pub fn newest(&self) -> Option<&PluginVersion> {
        let offered = self.versions.iter().filter(|version| version.yanked.is_none());
        let known = offered.filter_map(|version| Some((version.semver()?, version)));
        known.max_by_key(|(number, _)| (number.pre.is_empty(), number.clone())).map(|(_, version)| version)
    }

    /// One version.
    pub fn version(&self, version: &str) -> Option<&PluginVersion> {
        self.versions.iter().find(|one| one.version == version)
    }

    /// The line of it.
    pub fn line(&self) -> ListingLine {
        let newest = self.newest();
        ListingLine {
            name: self.name.clone(),
            display_name: self.display_name.clone(),
            description: self.description.clone(),
            category: self.category.clone(),
            tags: self.tags.clone(),
            authors: self.authors.clone(),
            license: self.license.clone(),
            version: newest.map(|newest| newest.version.clone()).unwrap_or_default(),
            targets: newest.map(|newest| newest.libraries.keys().cloned().collect()).unwrap_or_default(),
            has_source: newest.is_some_and(|newest| newest.source.is_some() || newest.download_url.is_some()),
            created_at: self.created_at.clone(),
            updated_at: self.updated_at.clone(),
            rating: self.rating,
            downloads: self.downloads,
            gone: newest.is_none(),
        }
    }
}

/// What is searched: a plugin in a line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListingLine {
    /// Its name.
    pub name: String,
    /// What people call it, or empty.
    pub display_name: String,
    /// One line.
    pub description: String,
    /// What sort of plugin it is.
    pub category: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// As cargo lists them.
    pub authors: Vec<String>,
    /// An SPDX expression.
    pub license: String,
    /// The newest version.
    pub version: String,
    /// What that has libraries for.
    pub targets: Vec<String>,
    /// Whether that can be compiled.
    pub has_source: bool,
    /// When it was first published.
    pub created_at: String,
    /// When it was last published.
    pub updated_at: String,
    /// From 1 to 5, where the catalog knows.
    pub rating: Option<f64>,
    /// Where the catalog knows.
    pub downloads: Option<u64>,
    /// It has no version any more that may be installed.
    pub gone: bool,
}

/// `advisories.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvisoryList {
    /// The newest last.
    #[serde(default)]
    pub advisories: Vec<PluginAdvisory>,
}

/// What is wrong with versions of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginAdvisory {
    /// What it is called: `CAM-2026-0001`.
    pub id: String,
    /// The plugin.
    pub plugin: String,
    /// Which versions, as a range of cargo's.
    pub versions: String,
    /// `low`, `medium`, `high` or `critical`.
    #[serde(default)]
    pub severity: String,
    /// One line: what is wrong.
    pub title: String,
    /// What to do, or empty.
    #[serde(default)]
    pub remedy: String,
    /// A URL, or empty.
    #[serde(default)]
    pub url: String,
}

impl PluginAdvisory {
    /// Whether it is about this version. One that cannot be understood is about all: silence would be worse.
    pub fn concerns(&self, plugin: &str, version: &semver::Version) -> bool {
        let covers = |range: semver::VersionReq| range.matches(version) || range.matches(&without_pre(version));
        self.plugin == plugin && self.versions.parse::<semver::VersionReq>().map_or(true, covers)
    }

    fn check(&self) -> Result<(), CatalogTrouble> {
        let id = shown(&self.id);
        if self.id.is_empty() || self.title.is_empty() {
            return Err(CatalogTrouble::unfit(format!("the advisory `{id}` has no id or no title")));
        }
        camlock_policy::manifest::check_name(&self.plugin)
            .map_err(|invalid| CatalogTrouble::unfit(format!("the advisory `{id}`: {}", invalid.0)))?;
        let range = self.versions.parse::<semver::VersionReq>();
        range.map(drop).map_err(|error| CatalogTrouble::unfit(format!("the advisory `{id}`: `versions`: {error}")))
    }
}

/// A pre-release is concerned by what concerns the release.
fn without_pre(version: &semver::Version) -> semver::Version {
    semver::Version::new(version.major, version.minor, version.patch)
}

impl AdvisoryList {
    /// Reads it, as those who publish it must write it.
    pub fn read(bytes: &[u8]) -> Result<Self, CatalogTrouble> {
        let list: AdvisoryList = serde_json::from_slice(bytes)
            .map_err(|error| CatalogTrouble::unfit(format!("the advisories are not understood: {error}")))?;
        list.advisories.iter().try_for_each(PluginAdvisory::check)?;
        Ok(list)
    }
}

/// The most that a list of plugins may unpack to.
const LARGEST_LISTING: u64 = 512 << 20;

/// Packs lines.
pub(crate) fn pack_lines<'a>(lines: impl IntoIterator<Item = &'a ListingLine>) -> Result<Vec<u8>, CatalogTrouble> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line).unwrap_or_default();
        text.push(b'\n');
    }
    zstd::bulk::compress(&text, 9).map_err(|error| CatalogTrouble::unavailable(format!("it cannot be packed: {error}")))
}

/// Unpacks them.
pub(crate) fn unpack_lines(packed: &[u8]) -> Result<Vec<ListingLine>, CatalogTrouble> {
    use std::io::{BufRead, BufReader, Read};
    let broken = |error| CatalogTrouble::unfit(format!("the list of plugins is broken: {error}"));
    let unpacked = zstd::stream::read::Decoder::new(packed).map_err(broken)?.take(LARGEST_LISTING);
    let mut lines = Vec::new();
    for line in BufReader::new(unpacked).split(b'\n') {
        let line = line.map_err(broken)?;
        let line = serde_json::from_slice(&line).map_err(|error| {
            CatalogTrouble::unfit(format!("line {} of the list is not understood: {error}", lines.len() + 1))
        })?;
        lines.push(line);
    }
    Ok(lines)
}
