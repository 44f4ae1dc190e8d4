//! Sharing through an object store: the registry knows which artifacts there are, the store has their bytes.

use super::{ObjectTrouble, Objects};
use camlock_policy::{
    BoxFuture, Digest, Failure, Fingerprint, Kept, Stage,
    registry::{Claim, Exchange, Unavailable},
};
use std::{fmt, path::PathBuf, sync::Arc};

/// An exchange whose bytes travel through an object store.
pub struct SharedExchange {
    inner: Arc<dyn Exchange>,
    objects: Arc<Objects>,
    into: PathBuf,
}

impl fmt::Debug for SharedExchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SharedExchange").field("objects", &self.objects).finish_non_exhaustive()
    }
}

impl SharedExchange {
    /// Rights, and what is known of artifacts, are `inner`'s. What is fetched is put into a directory, one file for each
    /// artifact, where it may be deleted as soon as it was copied.
    pub fn new(inner: Arc<dyn Exchange>, objects: Arc<Objects>, into: PathBuf) -> Self {
        SharedExchange { inner, objects, into }
    }
}

impl Exchange for SharedExchange {
    fn claim(&self, plugin: &str, fingerprint: &Fingerprint) -> BoxFuture<Result<Claim, Unavailable>> {
        self.inner.claim(plugin, fingerprint)
    }

    fn offer(&self, kept: &Kept, path: Option<PathBuf>) -> BoxFuture<Result<Digest, Unavailable>> {
        let (inner, objects, kept) = (self.inner.clone(), self.objects.clone(), kept.clone());
        Box::pin(async move {
            // The bytes first: whoever hears of an artifact finds it.
            if let Some(path) = path {
                objects.put(kept.digest, &path).await.map_err(|ObjectTrouble(why)| Unavailable(why))?;
            }
            inner.offer(&kept, None).await
        })
    }

    fn fetch(&self, digest: Digest) -> BoxFuture<Result<Option<PathBuf>, Failure>> {
        let (inner, objects, into) = (self.inner.clone(), self.objects.clone(), self.into.clone());
        Box::pin(async move {
            let broken = |ObjectTrouble(why)| Failure::transient(Stage::Build, why);
            let got = objects.get(digest, &into).await;
            match got {
                Ok(Some(path)) => return Ok(Some(path)),
                // If it was there it was lost. What was shared before there was this store lies in the registry.
                Ok(None) => {
                    if let Err(why) = inner.lost(digest).await {
                        tracing::debug!(%digest, "that the object store lost an artifact is not on record: {why}");
                    }
                }
                Err(_) => {}
            }
            match (inner.fetch(digest).await, got) {
                (Ok(Some(path)), _) => Ok(Some(path)),
                // All of these may be mended without a change of the plugin.
                (_, Err(trouble)) => Err(broken(trouble)),
                // Somebody may have put it there again meanwhile.
                (Ok(None), Ok(_)) => objects.get(digest, &into).await.map_err(broken),
                (Err(failure), Ok(_)) => Err(failure),
            }
        })
    }
}
