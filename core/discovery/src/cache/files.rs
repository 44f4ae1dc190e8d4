//! A file for each organisation. It is written beside its place and moved there: whoever reads it reads a whole one.

use crate::trouble::CacheError;
use camlock_policy::{BoxFuture, DiscoveryRecord, DiscoveryRecords, RepositoryDocument, registry::Unavailable};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Keeps what was discovered in a directory.
#[derive(Clone, Debug)]
pub struct FileRecords(PathBuf);

impl FileRecords {
    /// In this directory. It is made when there is something to keep.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        FileRecords(directory.into())
    }

    fn file(&self, organization: &str) -> PathBuf {
        // Names of organisations have nothing else; whatever is there, it is one name.
        let fits = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
        self.0.join(format!("{}.json", organization.to_ascii_lowercase().chars().map(fits).collect::<String>()))
    }
}

#[derive(Serialize, Deserialize)]
struct KeptFile {
    organization: String,
    revision: u64,
    scan: String,
    repositories: BTreeMap<String, (Option<String>, Option<String>, String)>,
}

impl DiscoveryRecords for FileRecords {
    fn load(&self, organization: String, known: u64) -> BoxFuture<Result<Option<DiscoveryRecord>, Unavailable>> {
        let file = self.file(&organization);
        blocking(move || match read(&file)? {
            Some(kept) if kept.organization == organization && kept.revision != known => Ok(Some(kept)),
            _ => Ok(None),
        })
    }

    fn save(&self, record: DiscoveryRecord) -> BoxFuture<Result<u64, Unavailable>> {
        let file = self.file(&record.organization);
        blocking(move || {
            let before = read(&file).ok().flatten().map_or(0, |kept| kept.revision);
            let revision = before.max(record.revision) + 1;
            write(&file, record, revision)?;
            Ok(revision)
        })
    }

    fn clear(&self, organization: String) -> BoxFuture<Result<(), Unavailable>> {
        let file = self.file(&organization);
        blocking(move || match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }
}

/// A file that cannot be understood is as good as none.
fn read(file: &Path) -> io::Result<Option<DiscoveryRecord>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(KeptFile { organization, revision, scan, repositories }) = serde_json::from_slice(&bytes) else {
        return Ok(None);
    };
    let repositories = repositories
        .into_iter()
        .map(|(name, (plugin, version, document))| (name, RepositoryDocument { plugin, version, document }));
    Ok(Some(DiscoveryRecord { organization, revision, scan, repositories: repositories.collect() }))
}

fn write(file: &Path, record: DiscoveryRecord, revision: u64) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let repositories = record.repositories.into_iter();
    let kept = KeptFile {
        organization: record.organization,
        revision,
        scan: record.scan,
        repositories: repositories.map(|(name, kept)| (name, (kept.plugin, kept.version, kept.document))).collect(),
    };
    let mut beside = tempfile::NamedTempFile::new_in(directory)?;
    beside.write_all(&serde_json::to_vec(&kept)?)?;
    beside.persist(file)?;
    Ok(())
}

fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> BoxFuture<Result<T, Unavailable>> {
    Box::pin(async move {
        let done = tokio::task::spawn_blocking(act).await;
        let done = done.map_err(|error| error.to_string()).and_then(|done| done.map_err(|error| error.to_string()));
        done.map_err(|told| Unavailable(CacheError(told).to_string()))
    })
}
