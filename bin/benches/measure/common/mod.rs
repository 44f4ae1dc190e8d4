//! What the benchmarks share: hosts, statistics, tables.

pub mod client;
pub mod connection;
pub mod host;
pub mod household;
pub mod kept;
pub mod many;
pub mod memory;
pub mod report;
pub mod servers;
pub mod sql;
pub mod watching;

use camlock_build::{Builder, BuilderOptions, Identified, LibraryIdentity};
use camlock_policy::{Failure, Stage};
use camlock_testing::Site;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::{path::Path, sync::Arc};

/// The look at a site's plugins, as `camlock serve` takes it.
pub fn sources(site: &Site) -> Builder {
    let sections = |path: &Path| {
        let bytes = std::fs::read(path).map_err(|error| Failure::new(Stage::Verify, error.to_string()))?;
        camlock_loader::inspect(&bytes).map_err(|unfit| Failure::new(Stage::Verify, unfit.to_string()))
    };
    let identify = move |path: &Path| {
        let manifest = sections(path)?.manifest;
        Ok(Identified { name: manifest.name, claims: manifest.camlock.routes })
    };
    let inspect = move |path: &Path| {
        let sections = sections(path)?;
        Ok(LibraryIdentity { name: sections.manifest.name, fingerprint: sections.fingerprint })
    };
    let builds = camlock_testing::repository().join("target/builds");
    let options = BuilderOptions::new(site.plugins(), builds, Arc::new(identify), Arc::new(inspect));
    Builder::new(options)
}

/// Whether it is only to be seen that it works: `scripts/bench --short`. What it prints then says little.
pub fn is_short() -> bool {
    std::env::args().any(|argument| argument == "--short")
}

/// Keeps this process, and what it starts from now on, on one processor.
pub fn pin(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    if sched_setaffinity(None, &set).is_err() {
        eprintln!("not pinned to processor {processor}: this machine has fewer");
    }
}
