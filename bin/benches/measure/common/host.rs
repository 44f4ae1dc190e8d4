//! A host as `camlock serve` is one.

use camlock_loader::{Artifact, Loader, LoaderOptions, Staging, Verdict, Verifier, VerifierLimits, on_thread_park};
use camlock_policy::{Ending, Loaded};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::runtime::{Builder, Runtime};

/// A runtime whose threads serve plugins.
pub fn serving_runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_park(on_thread_park)
        .build()
        .expect("a runtime")
}

/// A plugins directory within this one, in which this library is.
pub fn plugins_of(directory: &Path, library: &Path) -> PathBuf {
    let plugins = directory.join("plugins");
    fs::create_dir(&plugins).expect("a directory");
    fs::copy(library, plugins.join(library.file_name().expect("a name"))).expect("a copy");
    plugins
}

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
