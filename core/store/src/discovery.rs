//! What is kept of plugins in organisations' repositories. Servers that share a registry share it: by its revision one sees that another
//! has looked. What must not live here: what stands in the documents.

use crate::{
    Trouble,
    connection::{Value, number, places},
    database::Work,
    record::count,
    shared::StoreCore,
    words::{OptionalWords, Words},
};
use camlock_policy::{BoxFuture, DiscoveryRecord, DiscoveryRecords, RepositoryDocument, registry::Unavailable};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Nullable, Text},
};
use std::{collections::BTreeMap, time::Duration};

/// So many repositories are written by one statement.
const AT_ONCE: usize = 200;
/// An organisation may have thousands of them.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was discovered, in the registry.
#[derive(Clone)]
pub struct StoredDiscovery(pub(crate) StoreCore);

impl std::fmt::Debug for StoredDiscovery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("StoredDiscovery").field(&self.0.database).finish()
    }
}

#[derive(QueryableByName)]
struct OrganizationScanRow {
    #[diesel(sql_type = BigInt)]
    revision: i64,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    scan: String,
}

#[derive(QueryableByName)]
struct DiscoveredRepositoryRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    repository: String,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    plugin: Option<String>,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    version: Option<String>,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    document: String,
}

async fn scan_of(work: &mut Work, organization: &str) -> Result<Option<(u64, String)>, Trouble> {
    let scan = "SELECT revision, scan FROM discovery_scans WHERE organization = $1";
    let row = work.row::<OrganizationScanRow>(scan, vec![organization.into()]).await?;
    Ok(row.map(|row| (count(row.revision), row.scan)))
}

async fn repositories_of(work: &mut Work, organization: &str) -> Result<BTreeMap<String, RepositoryDocument>, Trouble> {
    let all = "SELECT repository, plugin, version, document FROM discovery_repositories WHERE organization = $1";
    let rows = work.rows::<DiscoveredRepositoryRow>(all, vec![organization.into()]).await?;
    let of = |row: DiscoveredRepositoryRow| {
        (row.repository, RepositoryDocument { plugin: row.plugin, version: row.version, document: row.document })
    };
    Ok(rows.into_iter().map(of).collect())
}

/// Raises the revision, above what is known too: what it is now. From then on nobody else writes to the organisation.
async fn raise(work: &mut Work, organization: &str, known: u64, scan: &str) -> Result<u64, Trouble> {
    let raise = format!(
        "INSERT INTO discovery_scans (organization, revision, scan) VALUES ($1, $2, $3) ON CONFLICT (organization) DO UPDATE SET \
         revision = CASE WHEN discovery_scans.revision >= excluded.revision THEN discovery_scans.revision + 1 \
         ELSE excluded.revision END, scan = excluded.scan, changed_at = {} RETURNING revision, scan",
        work.dialect().now()
    );
    let values = vec![organization.into(), number(known.saturating_add(1)).into(), scan.into()];
    let row = work.row::<OrganizationScanRow>(&raise, values).await?;
    Ok(row.map_or(0, |row| count(row.revision)))
}

/// Writes what has changed.
async fn put(
    work: &mut Work,
    organization: &str,
    repositories: &BTreeMap<String, RepositoryDocument>,
) -> Result<(), Trouble> {
    let before = repositories_of(work, organization).await?;
    for gone in before.keys().filter(|name| !repositories.contains_key(*name)) {
        let remove = "DELETE FROM discovery_repositories WHERE organization = $1 AND repository = $2";
        work.run(remove, vec![organization.into(), gone.into()]).await?;
    }
    let changed: Vec<_> = repositories.iter().filter(|(name, now)| before.get(*name) != Some(*now)).collect();
    for some in changed.chunks(AT_ONCE) {
        let put = format!(
            "INSERT INTO discovery_repositories (organization, repository, plugin, version, document) VALUES {} \
             ON CONFLICT (organization, repository) DO UPDATE SET plugin = excluded.plugin, version = excluded.version, \
             document = excluded.document, changed_at = {}",
            places(some.len(), 5),
            work.dialect().now()
        );
        let values = |(name, kept): &(&String, &RepositoryDocument)| -> [Value; 5] {
            let (plugin, version) = (kept.plugin.clone(), kept.version.clone());
            [organization.into(), (*name).into(), plugin.into(), version.into(), (&kept.document).into()]
        };
        work.run(&put, some.iter().flat_map(values).collect()).await?;
    }
    Ok(())
}

impl DiscoveryRecords for StoredDiscovery {
    fn load(&self, organization: String, known: u64) -> BoxFuture<Result<Option<DiscoveryRecord>, Unavailable>> {
        let database = self.0.database.clone();
        let load = async move {
            let mut work = database.read().await?;
            let (revision, scan) = scan_of(&mut work, &organization).await?.unwrap_or_default();
            let record = if revision == known {
                None
            } else {
                let repositories = repositories_of(&mut work, &organization).await?;
                Some(DiscoveryRecord { organization, revision, scan, repositories })
            };
            work.commit().await?;
            Ok(record)
        };
        self.0.database.within_time(PATIENCE, load)
    }

    fn save(&self, record: DiscoveryRecord) -> BoxFuture<Result<u64, Unavailable>> {
        let database = self.0.database.clone();
        let save = async move {
            let mut work = database.write().await?;
            let revision = raise(&mut work, &record.organization, record.revision, &record.scan).await?;
            put(&mut work, &record.organization, &record.repositories).await?;
            work.commit().await?;
            Ok(revision)
        };
        self.0.database.within_time(PATIENCE, save)
    }

    fn clear(&self, organization: String) -> BoxFuture<Result<(), Unavailable>> {
        let database = self.0.database.clone();
        let clear = async move {
            let mut work = database.write().await?;
            // The revision stays, and goes on: who knew something learns that it is gone.
            if scan_of(&mut work, &organization).await?.is_some() {
                raise(&mut work, &organization, 0, "").await?;
                put(&mut work, &organization, &BTreeMap::new()).await?;
            }
            work.commit().await
        };
        self.0.database.within_time(PATIENCE, clear)
    }
}
