//! A host as `camlock serve` is one.

use camlock_loader::{Artifact, Loader, LoaderOptions, Staging, Verdict, Verifier, VerifierLimits};
use camlock_policy::{Ending, Loaded};
use std::path::Path;

pub struct Host {
    _dir: tempfile::TempDir,
    pub staging: Staging,
    pub verifier: Verifier,
    pub loader: Loader,
}

impl Host {
    /// Must be called within a runtime.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let staging = Staging::at(dir.path().join("artifacts")).expect("a staging directory");
        let verifier = Verifier::new(dir.path().join("verdicts"), VerifierLimits::default()).expect("a verifier");
        let handle = tokio::runtime::Handle::current();
        let loader = Loader::new(dir.path().join("run"), LoaderOptions::default(), Some(handle)).expect("a loader");
        Host { _dir: dir, staging, verifier, loader }
    }

    pub async fn verified(&self, library: &Path) -> Artifact {
        let artifact = self.staging.stage(library).expect("it can be staged");
        let verdict = self.verifier.verify(&artifact).await.expect("a verdict");
        assert!(matches!(verdict, Verdict::Good(_)), "{verdict:?}");
        artifact
    }
}

/// Lets go of a generation and waits for the outcome.
pub async fn end(loaded: Loaded) -> Ending {
    let Loaded { instance, mut ending, .. } = loaded;
    drop(instance);
    ending.wait_for(|ending| *ending != Ending::Alive).await.expect("the keeper tells").clone()
}
