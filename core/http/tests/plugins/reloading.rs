//! Reloading without end: what is counted for the whole process is counted in a process of its own, where nothing else runs.

use crate::{
    direct::{goes, visit},
    harness::{Host, run},
    unloading::library,
};
use camlock_policy::Loaded;
use camlock_testing::Trials;
use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

const ALONE: &str = "CAMLOCK_TEST_ALONE";
const RELOADS: &str = "reloading::nothing_is_used_up";

pub fn add(trials: Trials) -> Trials {
    trials.add(RELOADS, || alone(RELOADS, nothing_is_used_up))
}

/// Runs a test in a process of its own.
fn alone(name: &str, test: fn()) {
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args([name, "--exact"]).env(ALONE, "1").output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{}\n{said}", output.status);
}

fn entries(dir: &str) -> usize {
    fs::read_dir(dir).expect("a directory of the kernel's").count()
}

/// More reloads than there are pthread keys (1,024), of two builds in turn.
fn nothing_is_used_up() {
    run(async {
        let host = Host::new();
        let artifacts = ["leftovers", "twin"].map(|name| host.staging.stage(&library(name)).unwrap());
        let mut baseline = None;
        for round in 0..1200u64 {
            let artifact = &artifacts[(round % 2) as usize];
            let Loaded { instance, mut ending, .. } = host.loader.load(artifact, round, "{}").await.unwrap();
            visit(&instance, "/current").await;
            let _ = instance.shutdown().await;
            drop(instance);
            goes(&mut ending).await;
            if round == 20 {
                baseline = Some((entries("/proc/self/fd"), entries("/proc/self/task")));
            }
        }
        let copies = host.copies();
        assert!(copies.is_empty(), "{copies:?}");
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mapped: Vec<_> = maps.lines().filter(|line| line.contains(host.run_dir().to_str().unwrap())).collect();
        assert!(mapped.is_empty(), "{mapped:?}");
        // Threads that have ended leave the kernel's list a moment later.
        let deadline = Instant::now() + Duration::from_secs(5);
        let now = || Some((entries("/proc/self/fd"), entries("/proc/self/task")));
        while now() != baseline && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(now(), baseline, "descriptors and threads");
    });
}
