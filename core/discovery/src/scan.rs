//! A scan: all repositories looked at, and what is known of them brought up to date. One that fails never stops it.
//!
//! What must not live here: when a scan is made.

use crate::{
    forge::{Forge, KnownAlready, PageSeen},
    known::{Assembled, KnownOrganization, KnownRepository, KnownScan, RepositoryVerdict, assemble},
    trouble::{DiscoveryError, ForgeError},
};
use camlock_api::DiscoveryStatistics;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Instant, SystemTime},
};

/// What is kept of another program or setting is not believed.
pub(crate) fn made_with(manifests: &[String], api: &str) -> String {
    format!("1 {} {api} {}", env!("CARGO_PKG_VERSION"), manifests.join(" "))
}

/// Looks at everything. An error means that nothing is known but what was known before.
pub(crate) async fn scan(
    forge: &Forge,
    before: &KnownOrganization,
    made_with: &str,
    here: &BTreeSet<String>,
) -> Result<(KnownOrganization, Assembled), ForgeError> {
    let (began, now) = (Instant::now(), SystemTime::now());
    let (calls, not_modified) = forge.counts();
    let nothing = (BTreeMap::new(), Vec::<PageSeen>::new());
    let believed = before.scan.made_with == made_with;
    let (repositories, pages) =
        if believed { (&before.repositories, &before.scan.pages) } else { (&nothing.0, &nothing.1) };
    let seen = forge.all(&before.organization, KnownAlready { repositories, pages }).await?;
    let mut incomplete = None;
    let mut learned = BTreeMap::new();
    for seen in seen.repositories {
        if let Err(error @ ForgeError::RateLimit { .. }) = &seen.release {
            incomplete = Some(format!("not all repositories could be looked at: {error}"));
        }
        let known = KnownRepository::learn(repositories.get(&seen.name), seen, now);
        learned.insert(known.name.clone(), known);
    }
    let assembled = assemble(&learned, here);
    let versions = |known: &BTreeMap<String, KnownRepository>| -> BTreeSet<(String, String)> {
        let plugins = known.values().filter_map(KnownRepository::plugin);
        plugins.map(|plugin| (plugin.name.clone(), plugin.version.clone())).collect()
    };
    let had = versions(&before.repositories);
    let is_new = |name: &str, version: &str| !had.contains(&(name.to_owned(), version.to_owned()));
    let judged = |known: &&KnownRepository| {
        matches!(known.verdict, RepositoryVerdict::Invalid(_) | RepositoryVerdict::Plugin(_))
    };
    let statistics = DiscoveryStatistics {
        repositories_scanned: learned.len() as u64,
        manifests_scanned: learned.values().filter(judged).count() as u64,
        plugins_registered: assembled.plugins.len() as u64,
        plugins_updated: assembled.plugins.iter().filter(|new| is_new(&new.name, &new.version)).count() as u64,
        plugins_failed: assembled.failed.len() as u64,
        duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        calls: forge.counts().0 - calls,
        not_modified: forge.counts().1 - not_modified,
    };
    let scan =
        KnownScan { made_with: made_with.to_owned(), at: Some(now.into()), statistics, incomplete, pages: seen.pages };
    tell(&before.repositories, &learned, &scan);
    let organization = before.organization.clone();
    Ok((KnownOrganization { organization, revision: before.revision, scan, repositories: learned }, assembled))
}

/// Logs what came of it. What is wrong with a repository is told once, until something else is.
fn tell(before: &BTreeMap<String, KnownRepository>, learned: &BTreeMap<String, KnownRepository>, scan: &KnownScan) {
    for known in learned.values() {
        let told_before = before.get(&known.name).and_then(KnownRepository::error);
        if let Some(error) = known.error().filter(|error| Some(error) != told_before.as_ref()) {
            tell_of(&format!("{}/{}", known.owner, known.name), &error);
        }
    }
    let DiscoveryStatistics { plugins_registered, plugins_failed, duration_ms, calls, .. } = scan.statistics;
    tracing::info!(
        component = "plugin-discovery",
        plugins_registered,
        plugins_failed,
        duration_ms,
        calls,
        "plugin discovery completed"
    );
}

/// Logs one error, by its sort.
pub(crate) fn tell_of(repository: &str, error: &DiscoveryError) {
    let component = "plugin-discovery";
    match error {
        DiscoveryError::Manifest(invalid) => {
            tracing::warn!(component, repository, error = %invalid, "invalid plugin manifest");
        }
        DiscoveryError::Forge(ForgeError::RateLimit { again, .. }) => {
            tracing::error!(component, repository, %error, retry_after = again.as_secs(), "the forge cannot be asked");
        }
        DiscoveryError::Forge(_) => tracing::error!(component, repository, %error, "the forge cannot be asked"),
        DiscoveryError::Cache(_) => tracing::error!(component, repository, %error, "what was discovered is not kept"),
    }
}
