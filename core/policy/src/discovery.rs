//! The ports of discovery: through which operators see and start it, and where what was discovered is kept. What must not live
//! here: forges, manifests, and what stands in the documents that are kept.

use crate::{BoxFuture, registry::Unavailable};
use camlock_api::{DiscoveredPlugin, DiscoveredPlugins, HintOutcome, ScanOutcome};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// A scan that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanOrder {
    /// Another organisation than the one that is set.
    pub organization: Option<String>,
    /// Also if what is known is not too old.
    pub force: bool,
    /// What is known of the organisation is forgotten before.
    pub clear: bool,
}

/// Somebody says that a repository has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryHint {
    /// Whose it is.
    pub owner: String,
    /// Its name.
    pub name: String,
}

/// Why nothing was discovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDiscovered {
    /// What sort of reason it is.
    pub kind: NotDiscoveredKind,
    /// In words.
    pub reason: String,
    /// When it may be tried again.
    pub again: Option<Duration>,
}

/// What sort of reason it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDiscoveredKind {
    /// What was asked for cannot be.
    Invalid,
    /// There is no such organisation.
    Missing,
    /// The forge did not answer as it must.
    Forge,
    /// The forge lets nobody ask any more for now.
    Limited,
}

impl fmt::Display for NotDiscovered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

/// What was discovered, as something to install from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveredSources {
    /// Whose repositories they are.
    pub organization: String,
    /// By name. What cannot be installed is so for what it is, wherever it is asked for.
    pub plugins: Vec<DiscoveredPlugin>,
    /// Names among them that may stand in the place of others.
    pub overriding: BTreeSet<String>,
}

/// Discovery, for operators, webhooks, and those who install.
pub trait Discovery: Send + Sync {
    /// All that was discovered. The first time it is asked for, it is discovered.
    fn discovered(&self) -> BoxFuture<Result<DiscoveredPlugins, NotDiscovered>>;
    /// Has an organisation looked at. It goes on if nobody waits for it any more.
    fn scan(&self, order: ScanOrder) -> BoxFuture<Result<ScanOutcome, NotDiscovered>>;
    /// Has one repository looked at, however often it is said only now and then.
    fn hint(&self, hint: RepositoryHint) -> BoxFuture<Result<HintOutcome, NotDiscovered>>;
    /// What there is to install from. `look`: if nothing is known yet it is discovered, and from then on it is kept fresh.
    fn sources(&self, look: bool) -> BoxFuture<Result<DiscoveredSources, NotDiscovered>>;
    /// The sources of one as they lie in its repository at its release: a `.tar.gz` of so many bytes at most.
    fn archive(&self, plugin: DiscoveredPlugin, most: u64) -> BoxFuture<Result<Vec<u8>, NotDiscovered>>;
    /// Whether this is the secret that webhooks show.
    fn is_secret(&self, shown: &[u8]) -> bool;
    /// Whether a body is signed with that secret: `sha256=` and 64 digits.
    fn is_signed(&self, signature: &[u8], body: &[u8]) -> bool;
}

/// What is kept of an organisation. The documents mean something to discovery alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveryRecord {
    /// Whose repositories they are.
    pub organization: String,
    /// Raised by whoever keeps it, whenever it is changed.
    pub revision: u64,
    /// About the last scan, in JSON.
    pub scan: String,
    /// By the repository's name.
    pub repositories: BTreeMap<String, RepositoryDocument>,
}

/// What is kept of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryDocument {
    /// The name of the plugin in it, if there is one.
    pub plugin: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// All of it, in JSON.
    pub document: String,
}

/// Where what was discovered is kept.
pub trait DiscoveryRecords: Send + Sync {
    /// What is kept of an organisation, unless it is still at this revision; nothing is at 0.
    fn load(&self, organization: String, known: u64) -> BoxFuture<Result<Option<DiscoveryRecord>, Unavailable>>;
    /// Keeps this in the place of all that was kept of the organisation: its new revision.
    fn save(&self, record: DiscoveryRecord) -> BoxFuture<Result<u64, Unavailable>>;
    /// Keeps nothing of it.
    fn clear(&self, organization: String) -> BoxFuture<Result<(), Unavailable>>;
}
