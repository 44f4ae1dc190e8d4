//! A thousand looks at two hundred plugins of which none has changed, by the supervisor of a running server's parts: how often
//! cargo is called, and what each look costs the processor for each plugin.

use crate::common::{
    many::{MANY, many},
    report::{Better, Row, finish},
};
use camlock_policy::{BoxFuture, BuildPriority, Built, Entry, Failure, Progress, Scan, Sources};
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const LOOKS: usize = 1_000;

pub fn run() -> ExitCode {
    let site = many(env!("CARGO_BIN_EXE_camlock"));
    let sources = crate::common::sources(&site);
    let counted = Counted { sources: Arc::new(sources), builds: AtomicUsize::new(0) };
    // The first looks read everything.
    for _ in 0..3 {
        assert_eq!(counted.scan().entries.len(), MANY);
    }
    let fingerprints = |scan: &Scan| scan.entries.iter().map(|entry| entry.fingerprint.clone()).collect::<Vec<_>>();
    let before = fingerprints(&counted.scan());
    let mut each = Vec::new();
    for _ in 0..LOOKS {
        let begun = spent();
        let scan = counted.scan();
        each.push((spent() - begun) * 1000.0 / MANY as f64);
        assert!(fingerprints(&scan) == before, "nothing has changed");
    }
    finish(
        "noop",
        &[
            Row::count("cargo calls in 1,000 looks", "", Better::Lower, counted.builds.load(Ordering::Relaxed) as f64)
                .must(0.0, 0.0),
            Row::median("processor time for each plugin and look", "ms", Better::Lower, &each).must(1.0, 0.05),
        ],
    )
}

/// Processor time of the whole process, in seconds.
fn spent() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Counts what it is asked to build.
struct Counted {
    sources: Arc<dyn Sources>,
    builds: AtomicUsize,
}

impl Sources for Counted {
    fn scan(&self) -> Scan {
        self.sources.scan()
    }
    fn build(&self, entry: &Entry, priority: BuildPriority, progress: Progress) -> BoxFuture<Result<Built, Failure>> {
        self.builds.fetch_add(1, Ordering::Relaxed);
        self.sources.build(entry, priority, progress)
    }
    fn remove(&self, entry: &Entry) -> Result<PathBuf, Failure> {
        self.sources.remove(entry)
    }
    fn outside(&self) -> BTreeSet<PathBuf> {
        self.sources.outside()
    }
}
