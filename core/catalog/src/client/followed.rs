//! A catalog that is followed, of whichever sort.

use super::{CatalogPlace, CatalogReader, DiscoveredReader, ListingReader, PackagePart, Synchronized, TrustedFiles};
use crate::{
    CatalogTrouble,
    documents::{PluginDocument, PluginVersion},
};
use jiff::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is followed under a URL.
#[derive(Debug)]
pub enum FollowedCatalog {
    /// A catalog that proves what it holds.
    Signed(Box<CatalogReader>),
    /// A list that nobody signed.
    Listed(ListingReader),
    /// What was discovered, which nobody signed either.
    Discovered(DiscoveredReader),
}

impl FollowedCatalog {
    /// Looks at what lies there now. A list has no root, and proves nothing.
    pub fn open(url: &str, root: &[u8], trusted: TrustedFiles, now: Timestamp) -> Result<Self, CatalogTrouble> {
        if ListingReader::is_named_by(url) {
            return ListingReader::open(url).map(FollowedCatalog::Listed);
        }
        let reader = CatalogReader::open(CatalogPlace::read(url)?, root, trusted, now)?;
        Ok(FollowedCatalog::Signed(Box::new(reader)))
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        match self {
            FollowedCatalog::Signed(reader) => reader.version(),
            FollowedCatalog::Listed(list) => list.version(),
            FollowedCatalog::Discovered(discovered) => discovered.version(),
        }
    }

    /// The version of what says that this is the newest.
    pub fn timestamp(&self) -> u64 {
        match self {
            FollowedCatalog::Signed(reader) => reader.timestamp(),
            // Nothing vouches for its being the newest but the clock.
            FollowedCatalog::Listed(_) | FollowedCatalog::Discovered(_) => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
            }
        }
    }

    /// What is new since the version that was known, if one was.
    pub fn since(&mut self, known: Option<u64>) -> Result<Synchronized, CatalogTrouble> {
        match self {
            FollowedCatalog::Signed(reader) => reader.since(known),
            FollowedCatalog::Listed(list) => Ok(list.since(known)),
            FollowedCatalog::Discovered(discovered) => Ok(discovered.since(known)),
        }
    }

    /// All that it says of a plugin.
    pub fn document(&mut self, name: &str) -> Result<PluginDocument, CatalogTrouble> {
        match self {
            FollowedCatalog::Signed(reader) => reader.document(name),
            FollowedCatalog::Listed(list) => list.document(name),
            FollowedCatalog::Discovered(discovered) => discovered.document(name),
        }
    }

    /// One file of a version.
    pub fn part(&self, name: &str, version: &PluginVersion, file: &str) -> Result<PackagePart, CatalogTrouble> {
        match self {
            FollowedCatalog::Signed(reader) => reader.part(name, version, file),
            FollowedCatalog::Listed(list) => list.part(name, version),
            FollowedCatalog::Discovered(discovered) => discovered.part(name, version),
        }
    }
}
