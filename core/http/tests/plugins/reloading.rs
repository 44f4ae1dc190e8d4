//! Reloading without end: what is counted for the whole process is counted in a process of its own, where nothing else runs.

use crate::{
    direct::{goes, visit},
    harness::{Host, run},
    unloading::library,
};
use camlock_policy::Loaded;
use camlock_testing::{rounds, trial};
use std::{
    fs,
    time::{Duration, Instant},
};

fn entries(dir: &str) -> usize {
    fs::read_dir(dir).expect("a directory of the kernel's").count()
}

/// More reloads than there are pthread keys (1,024), of two builds in turn.
#[trial(with = camlock_testing::in_a_process_of_its_own)]
fn nothing_is_used_up() {
    run(async {
        let host = Host::new();
        let artifacts = ["leftovers", "twin"].map(|name| host.staging.stage(&library(name)).unwrap());
        let mut baseline = (0, 0);
        for round in 0..rounds(1200) as u64 {
            let artifact = &artifacts[(round % 2) as usize];
            let Loaded { instance, mut ending, .. } = host.loader.load(artifact, (round, "{}")).await.unwrap();
            visit(&instance, "/current").await;
            let _ = instance.shutdown().await;
            drop(instance);
            goes(&mut ending).await;
            if round == 20 {
                baseline = (entries("/proc/self/fd"), entries("/proc/self/task"));
            }
        }
        let copies = host.copies();
        assert!(copies.is_empty(), "{copies:?}");
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mapped: Vec<_> = maps.lines().filter(|line| line.contains(host.run_dir().to_str().unwrap())).collect();
        assert!(mapped.is_empty(), "{mapped:?}");
        // Threads that have ended leave the kernel's list a moment later: now, and when the baseline was taken, which may be high.
        let deadline = Instant::now() + Duration::from_secs(5);
        let now = || (entries("/proc/self/fd"), entries("/proc/self/task"));
        let is_more = |(descriptors, threads)| descriptors > baseline.0 || threads > baseline.1;
        while is_more(now()) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!is_more(now()), "descriptors and threads: {:?}, and before {baseline:?}", now());
    });
}
