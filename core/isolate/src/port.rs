//! Artifacts that may be loaded into either mode, as core's `Loading`: the same verified bytes, in the process or in one of their own.
//!
//! What must not live here: which mode a plugin has. It comes with the generation's start.

use crate::host::{Runners, Subject};
use camlock_policy::{
    BoxFuture, Candidate, ConfigSchema, Digest, Failure, GenerationStart, Isolation, Loaded, Loading, Manifest,
    MigrationFile,
};
use std::{path::Path, sync::Arc};

/// What is loaded in the process, and in processes of its own.
pub struct BothModes {
    inside: Arc<dyn Loading>,
    runners: Arc<Runners>,
}

impl BothModes {
    /// Loads with the one or with the other.
    pub fn new(inside: Arc<dyn Loading>, runners: Arc<Runners>) -> Self {
        BothModes { inside, runners }
    }

    fn both(
        &self,
        preparing: BoxFuture<Result<Arc<dyn Candidate>, Failure>>,
    ) -> BoxFuture<Result<Arc<dyn Candidate>, Failure>> {
        let runners = self.runners.clone();
        Box::pin(async move {
            let inside = preparing.await?;
            Ok(Arc::new(EitherMode { inside, runners }) as Arc<dyn Candidate>)
        })
    }
}

impl Loading for BothModes {
    fn prepare(&self, candidate: &Path) -> BoxFuture<Result<Arc<dyn Candidate>, Failure>> {
        self.both(self.inside.prepare(candidate))
    }

    fn recall(&self, digest: Digest) -> BoxFuture<Result<Arc<dyn Candidate>, Failure>> {
        self.both(self.inside.recall(digest))
    }
}

/// A verified artifact.
struct EitherMode {
    inside: Arc<dyn Candidate>,
    runners: Arc<Runners>,
}

impl Candidate for EitherMode {
    fn manifest(&self) -> &Manifest {
        self.inside.manifest()
    }

    fn digest(&self) -> Option<Digest> {
        self.inside.digest()
    }

    fn path(&self) -> Option<&Path> {
        self.inside.path()
    }

    fn schema(&self) -> Option<Arc<dyn ConfigSchema>> {
        self.inside.schema()
    }

    fn migrations(&self) -> &[MigrationFile] {
        self.inside.migrations()
    }

    fn stays(&self) -> Option<&str> {
        self.inside.stays()
    }

    fn load(&self, start: GenerationStart) -> BoxFuture<Result<Loaded, Failure>> {
        let file = self.inside.digest().zip(self.inside.path());
        match (start.isolation, file) {
            (Isolation::Process, Some((digest, path))) => {
                let subject = Subject { manifest: self.inside.manifest().clone(), digest, path: path.to_owned() };
                let runners = self.runners.clone();
                Box::pin(async move { runners.load(&subject, start).await })
            }
            _ => self.inside.load(start),
        }
    }
}
