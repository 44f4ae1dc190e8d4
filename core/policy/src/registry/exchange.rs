//! How servers share what they build: one builds, the others fetch its artifact.

use super::Unavailable;
use crate::{BoxFuture, Digest, Failure, Fingerprint, Kept};
use std::{any::Any, fmt, path::PathBuf};

/// Artifacts that servers share.
pub trait Exchange: Send + Sync {
    /// The right to build this, or what somebody built of it meanwhile. It waits as long as another server is at work on it;
    /// one that died or stands still is replaced.
    fn claim(&self, plugin: &str, fingerprint: &Fingerprint) -> BoxFuture<Result<Claim, Unavailable>>;

    /// Makes an artifact known and available to the others. Of two that were built from the same the first counts: which one
    /// that is.
    fn offer(&self, kept: &Kept, path: Option<PathBuf>) -> BoxFuture<Result<Digest, Unavailable>>;

    /// A file with the bytes of an artifact; none if nobody has them. Whoever uses it looks whether it is what it should be.
    fn fetch(&self, digest: Digest) -> BoxFuture<Result<Option<PathBuf>, Failure>>;

    /// What was offered is not where it was put: whoever has it is to offer it again. By default nothing is lost.
    fn lost(&self, digest: Digest) -> BoxFuture<Result<(), Unavailable>> {
        let _ = digest;
        Box::pin(async { Ok(()) })
    }
}

/// Who builds what several servers want at once.
pub enum Claim {
    /// Whoever asked, until this is dropped.
    Build(RightToBuild),
    /// Nobody: it was built already.
    Built(Digest),
}

impl fmt::Debug for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Claim::Build(_) => formatter.write_str("Build"),
            Claim::Built(digest) => formatter.debug_tuple("Built").field(digest).finish(),
        }
    }
}

/// Held while one builds; dropping it gives the right up.
pub type RightToBuild = Box<dyn Any + Send>;
