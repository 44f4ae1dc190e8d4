//! Where what was discovered is kept beside the registry, and how it is written down. What must not live here: tables.

mod files;
mod memory;

pub use files::FileRecords;
pub use memory::MemoryRecords;

use crate::known::{KnownOrganization, KnownRepository, KnownScan};
use camlock_policy::{DiscoveryRecord, RepositoryDocument};

/// As it is kept.
pub(crate) fn record(known: &KnownOrganization) -> DiscoveryRecord {
    let document = |known: &KnownRepository| RepositoryDocument {
        plugin: known.plugin().map(|plugin| plugin.name.clone()),
        version: known.plugin().map(|plugin| plugin.version.clone()),
        document: serde_json::to_string(known).unwrap_or_default(),
    };
    DiscoveryRecord {
        organization: known.organization.clone(),
        revision: known.revision,
        scan: serde_json::to_string(&known.scan).unwrap_or_default(),
        repositories: known.repositories.iter().map(|(name, known)| (name.clone(), document(known))).collect(),
    }
}

/// As it is known. What cannot be read is not known: it is discovered anew.
pub(crate) fn known(record: DiscoveryRecord) -> KnownOrganization {
    let scan: KnownScan = serde_json::from_str(&record.scan).unwrap_or_default();
    let repositories = record.repositories.into_iter().filter_map(|(name, kept)| {
        let known: KnownRepository = serde_json::from_str(&kept.document).ok()?;
        Some((name, known))
    });
    KnownOrganization {
        organization: record.organization,
        revision: record.revision,
        scan,
        repositories: repositories.collect(),
    }
}
