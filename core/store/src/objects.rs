//! Artifacts in an object store: a directory that servers share, or a bucket.
//!
//! An object is called by the sha-256 of its bytes, so it is the same for everybody, and is never changed. What must not live
//! here: which artifacts there are, and what they were built from; that is on record in the registry.

mod exchange;
#[cfg(test)]
mod tests;

pub use exchange::SharedExchange;

use crate::causes::{chain, in_words, innermost};
use camlock_policy::Digest;
use futures_util::StreamExt;
use object_store::{Error, GetResult, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as Key};
use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::io::AsyncWriteExt;
use url::Url;

/// Something cannot be done with an object store, and why: one sentence, with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ObjectTrouble(pub String);

/// An object store.
#[derive(Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// Below this all objects lie.
    prefix: Key,
    /// Where it is a directory.
    directory: Option<PathBuf>,
    /// What people see of it.
    shown: String,
}

/// What is being done, for sentences.
#[derive(Clone, Copy)]
enum Doing {
    Storing,
    Fetching,
    Deleting,
}

impl Objects {
    /// The store at `file:///a/directory` or `s3://bucket/prefix`. How to get at a bucket is told by settings with the names that
    /// AWS's tools use (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …); others are passed over. Nothing is asked of
    /// the store yet: it need not be there.
    pub fn open(url: &str, settings: impl IntoIterator<Item = (String, String)>) -> Result<Self, ObjectTrouble> {
        let wanted = "write `file:///a/directory` or `s3://bucket/prefix`";
        let parsed = Url::parse(url).map_err(|_| ObjectTrouble(format!("artifacts.url is no URL: {wanted}")))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            let why =
                "artifacts.url must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead";
            return Err(ObjectTrouble(why.to_owned()));
        }
        match parsed.scheme() {
            "file" => {
                directory(&parsed).ok_or_else(|| ObjectTrouble(format!("artifacts.url names no directory: {wanted}")))
            }
            "s3" => bucket(&parsed, settings.into_iter()),
            other => Err(ObjectTrouble(format!("artifacts.url begins with `{other}:`, which is not known: {wanted}"))),
        }
    }

    /// Puts an artifact there; if it is there already, the same once more.
    pub async fn put(&self, digest: Digest, file: &Path) -> Result<(), ObjectTrouble> {
        let path = file.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let bytes = fs::read(&path).map_err(|error| in_words(&error))?;
            if Digest::of(&bytes) == digest { Ok(bytes) } else { Err("its bytes are not what they were".to_owned()) }
        });
        let read = read.await.expect("it does not panic");
        let bytes = read.map_err(|why| {
            ObjectTrouble(format!("the artifact {digest} at {} is not shared: {why}", file.display()))
        })?;
        // A missing directory would be made: were it a share that is not mounted, below it.
        self.reachable(Doing::Storing, digest)?;
        let put = self.store.put(&self.key(digest), bytes.into()).await;
        put.map(drop).map_err(|error| self.trouble(Doing::Storing, digest, &error))
    }

    /// Copies an artifact into a directory, as a file with its digest for a name; none if it is not there. Its bytes are what the
    /// digest says.
    pub async fn get(&self, digest: Digest, into: &Path) -> Result<Option<PathBuf>, ObjectTrouble> {
        self.reachable(Doing::Fetching, digest)?;
        let got = match self.store.get(&self.key(digest)).await {
            Err(Error::NotFound { source, .. }) if !says(&*source, "NoSuchBucket") => return Ok(None),
            got => got.map_err(|error| self.trouble(Doing::Fetching, digest, &error))?,
        };
        let local = |error: io::Error| {
            let (place, why) = (into.display(), in_words(&error));
            ObjectTrouble(format!(
                "the artifact {digest} cannot be written to {place}: {why}; make room there, or mend its rights"
            ))
        };
        tokio::fs::create_dir_all(into).await.map_err(local)?;
        let temporary = tempfile::Builder::new().prefix(".fetched-").tempfile_in(into).map_err(local)?;
        let mut file = tokio::fs::File::from_std(temporary.reopen().map_err(local)?);
        if self.copy(digest, got, &mut file, local).await? != digest {
            return Err(ObjectTrouble(format!(
                "{} holds other bytes for the artifact {digest} than its name says: delete {} there, and reload the plugin on \
                 a server that has it",
                self.shown,
                self.key(digest)
            )));
        }
        let path = into.join(format!("{}.so", digest.hex()));
        temporary.persist(&path).map_err(|error| local(error.error))?;
        Ok(Some(path))
    }

    /// Copies what was got, and returns what it is.
    async fn copy(
        &self,
        digest: Digest,
        got: GetResult,
        file: &mut tokio::fs::File,
        local: impl Fn(io::Error) -> ObjectTrouble,
    ) -> Result<Digest, ObjectTrouble> {
        let (mut chunks, mut hasher) = (got.into_stream(), Sha256::new());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.trouble(Doing::Fetching, digest, &error))?;
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(&local)?;
        }
        file.flush().await.map_err(&local)?;
        let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(hex.parse().expect("a sha-256 is a digest"))
    }

    /// Deletes an artifact, if it is there.
    pub async fn delete(&self, digest: Digest) -> Result<(), ObjectTrouble> {
        self.reachable(Doing::Deleting, digest)?;
        match self.store.delete(&self.key(digest)).await {
            Err(Error::NotFound { source, .. }) if !says(&*source, "NoSuchBucket") => Ok(()),
            deleted => deleted.map_err(|error| self.trouble(Doing::Deleting, digest, &error)),
        }
    }

    /// Where an artifact lies. No directory has all of them.
    fn key(&self, digest: Digest) -> Key {
        let hex = digest.hex();
        self.prefix.clone().join("sha256").join(&hex[..2]).join(format!("{hex}.so"))
    }

    /// What a directory that is gone means is told here; buckets tell themselves.
    fn reachable(&self, doing: Doing, digest: Digest) -> Result<(), ObjectTrouble> {
        let Some(directory) = &self.directory else { return Ok(()) };
        match fs::metadata(directory) {
            Ok(there) if there.is_dir() => Ok(()),
            Ok(_) => Err(self.sentence(doing, digest, "it is no directory; correct artifacts.url")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.sentence(doing, digest, "there is no such directory; make it, or mount it"))
            }
            Err(error) => Err(self.trouble(doing, digest, &Error::Generic { store: "", source: error.into() })),
        }
    }

    /// What went wrong, as a sentence.
    fn trouble(&self, doing: Doing, digest: Digest, error: &Error) -> ObjectTrouble {
        let kind = chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).last();
        let refused = matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
            || kind == Some(io::ErrorKind::PermissionDenied);
        let full = matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded));
        if says(error, "NoSuchBucket") {
            self.sentence(doing, digest, "there is no such bucket; make it, or correct artifacts.url")
        } else if refused && self.directory.is_some() {
            self.sentence(doing, digest, "permission denied; let the server's user read and write there")
        } else if refused {
            let why = "access denied; look at the credentials (AWS_ACCESS_KEY_ID, …) and at the bucket's policy";
            self.sentence(doing, digest, why)
        } else if full {
            self.sentence(doing, digest, &format!("{}; make room there", innermost(error)))
        } else {
            self.sentence(doing, digest, &format!("{}; it is tried again", innermost(error)))
        }
    }

    fn sentence(&self, doing: Doing, digest: Digest, why: &str) -> ObjectTrouble {
        let doing = match doing {
            Doing::Storing => "stored in",
            Doing::Fetching => "fetched from",
            Doing::Deleting => "deleted from",
        };
        ObjectTrouble(format!("the artifact {digest} cannot be {doing} {}: {why}", self.shown))
    }
}

/// Whether a store's answer has this word in it.
fn says(error: &(dyn std::error::Error + 'static), word: &str) -> bool {
    chain(error).any(|cause| cause.to_string().contains(word))
}

fn directory(url: &Url) -> Option<Objects> {
    let directory = url.to_file_path().ok().filter(|path| path.is_absolute())?;
    let prefix = Key::from_absolute_path(&directory).ok()?;
    let store = Arc::new(LocalFileSystem::new().with_fsync(true));
    Some(Objects { store, prefix, shown: directory.display().to_string(), directory: Some(directory) })
}

#[cfg(feature = "s3")]
fn bucket(url: &Url, settings: impl Iterator<Item = (String, String)>) -> Result<Objects, ObjectTrouble> {
    use object_store::{BackoffConfig, ClientOptions, RetryConfig, aws::AmazonS3Builder};
    use std::time::Duration;

    // Whoever waits for an answer tries again later: here it is enough to get over a hiccup.
    let retry = RetryConfig {
        backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
        max_retries: 3,
        retry_timeout: Duration::from_secs(20),
    };
    let client =
        ClientOptions::new().with_connect_timeout(Duration::from_secs(5)).with_timeout(Duration::from_secs(120));
    // What the settings say about the client (`AWS_ALLOW_HTTP`) comes after this.
    let builder = AmazonS3Builder::new().with_url(url.as_str()).with_retry(retry).with_client_options(client);
    // One at a time: not everything that speaks S3 knows how to delete several.
    let builder = builder.with_disable_bulk_delete(true);
    let known = settings.filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        Some((name.starts_with("aws_").then(|| name.parse().ok())??, value))
    });
    let builder = known.fold(builder, |builder, (key, value)| builder.with_config(key, value));
    let told = |why: String| ObjectTrouble(format!("the bucket of artifacts.url cannot be used: {why}"));
    let store = Arc::new(builder.build().map_err(|error| told(innermost(&error)))?);
    let prefix = Key::from_url_path(url.path()).map_err(|error| told(error.to_string()))?;
    Ok(Objects { store, prefix, directory: None, shown: url.to_string() })
}

#[cfg(not(feature = "s3"))]
fn bucket(_: &Url, _: impl Iterator<Item = (String, String)>) -> Result<Objects, ObjectTrouble> {
    Err(not_built_in())
}

#[cfg(any(test, not(feature = "s3")))]
fn not_built_in() -> ObjectTrouble {
    let why = "artifacts.url names an S3 bucket, and this program was built without the feature `s3`: build it with \
               `--features s3`, or name a directory that all servers share (`file:///a/directory`)";
    ObjectTrouble(why.to_owned())
}
