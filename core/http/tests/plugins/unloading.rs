//! What would outlive a plugin: each thing is either taken back, or pins the library with its reason until it is gone.

use crate::{
    contract,
    direct::{after_visiting, block_on, ends, goes, is_pinned, until, visit},
    harness::{Host, run},
};
use camlock_policy::{Ending, Loaded};
use camlock_testing::{Fixtures, trial};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

pub fn library(name: &str) -> PathBuf {
    Fixtures::quick().library(name)
}

/// A counter that a plugin counts in, and its address for the path.
pub fn counter(base: &str) -> (&'static AtomicUsize, String) {
    let counter: &'static AtomicUsize = Box::leak(Box::default());
    (counter, format!("{base}/{}", std::ptr::from_ref(counter).expose_provenance()))
}

#[trial]
fn what_is_taken_back() {
    run(async {
        let host = Host::new();
        let (_, local) = counter("/local");
        let (_, again) = counter("/again");
        for path in [&*local, &*again, "/current", "/joined", "/contended"] {
            goes(&mut after_visiting(&host, &library("leftovers"), &[path]).await).await;
        }
    });
}

#[trial]
fn a_thread_that_still_runs() {
    run(async {
        let host = Host::new();
        // The second name is cut in the middle of a character by the kernel: it is a thread all the same.
        for (name, told) in
            [("foo-worker", "foo-worker"), ("%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC", "üüüüüüü\u{fffd}")]
        {
            let path = format!("/detached/{name}/1500");
            let mut ending = after_visiting(&host, &library("leftovers"), &[&path]).await;
            // The plugin's own runtime has a thread too, which ends with it; this one does not.
            assert_eq!(is_pinned(&mut ending).await, format!("thread `{told}` of the plugin still runs"));
            let [known] = &host.loader.overview()[..] else { panic!("one generation") };
            assert_eq!(known.ending, *ending.borrow());
            // The loader looks again by itself, and at once when it is asked to.
            goes(&mut ending).await;
        }
        let path = "/detached/one/600";
        let mut ending = after_visiting(&host, &library("leftovers"), &[path, path]).await;
        assert_eq!(is_pinned(&mut ending).await, "thread `one` and 1 more of the plugin still run");
        tokio::time::sleep(Duration::from_millis(500)).await;
        host.loader.retry_pinned();
        goes(&mut ending).await;
        assert!(host.loader.overview().is_empty());
    });
}

#[trial]
fn a_leaked_runtime() {
    run(async {
        let host = Host::new();
        let mut ending = after_visiting(&host, &library("leftovers"), &["/runtime"]).await;
        assert_eq!(is_pinned(&mut ending).await, "thread `leaked` of the plugin still runs");
    });
}

#[trial]
fn keys_and_their_values() {
    let (deleted, key_deleted) = counter("/key-deleted");
    let (count, key) = counter("/key");
    run(async {
        let host = Host::new();
        let Loaded { instance, mut ending, .. } = host.load(&library("leftovers")).await;
        visit(&instance, &key_deleted).await;
        // A thread's value is freed when the thread exits, as libc would have done.
        thread::spawn({
            let (instance, key) = (instance.clone(), key.clone());
            move || block_on(visit(&instance, &key))
        })
        .join()
        .unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        visit(&instance, &key).await;
        drop(instance);
        goes(&mut ending).await;
    });
    // The runtime's threads have ended: what was left on them was either run in time or not at all.
    assert!(count.load(Ordering::SeqCst) <= 2);
    assert_eq!(deleted.load(Ordering::SeqCst), 0, "a deleted key has no destructor");
}

#[trial]
fn a_signal_handler() {
    run(async {
        let host = Host::new();
        let mut ending = after_visiting(&host, &library("leftovers"), &["/signal"]).await;
        assert_eq!(is_pinned(&mut ending).await, "a handler for SIGCHLD lies in the plugin");
        goes(&mut after_visiting(&host, &library("leftovers"), &["/signal-restored"]).await).await;
        goes(&mut ending).await;
    });
}

#[trial]
fn libraries_that_stay() {
    run(async {
        let host = Host::new();
        for (name, told) in [
            ("nodelete", "library is marked NODELETE"),
            ("unique", "library has the unique symbol `only_one_of_this`, which keeps it for good"),
        ] {
            let mut ending = after_visiting(&host, &library(name), &[]).await;
            assert_eq!(is_pinned(&mut ending).await, told, "{name}");
            host.loader.retry_pinned();
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(matches!(*ending.borrow(), Ending::Pinned { .. }));
        }
        // Another generation is another library. This one stays too; that one finds the symbol in the first, and may go.
        is_pinned(&mut after_visiting(&host, &library("nodelete"), &[]).await).await;
        goes(&mut after_visiting(&host, &library("unique"), &[]).await).await;
    });
}

#[trial]
fn what_constructors_registered() {
    run(async {
        let host = Host::new();
        for _ in 0..2 {
            let mut ending = after_visiting(&host, &library("early"), &[]).await;
            assert_eq!(is_pinned(&mut ending).await, "thread `early-worker` of the plugin still runs");
            goes(&mut ending).await;
        }
    });
}

#[trial]
fn a_load_that_is_given_up() {
    run(async {
        let host = Host::new();
        let artifact = host.staging.stage(&library("early")).unwrap();
        for microseconds in [0, 1000, 3000, 10_000] {
            let limit = Duration::from_micros(microseconds);
            let _ = tokio::time::timeout(limit, host.loader.load(&artifact, microseconds, "{}")).await;
        }
        // Wherever it was given up: its constructor's thread ends, and nothing of it is left.
        until("the copies are gone", async || host.copies().is_empty()).await;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(!maps.contains(host.run_dir().to_str().unwrap()), "{maps}");
    });
}

#[trial]
fn an_instance_that_is_only_dropped() {
    run(async {
        let host = Host::new();
        let Loaded { instance, mut ending, .. } = host.load(&library("features")).await;
        // It spawns a job of the host's that ticks for ever, and is never told to shut down.
        instance.start().await.unwrap();
        drop(instance);
        goes(&mut ending).await;
    });
}

#[trial]
fn what_is_left_in_memory() {
    let counted = contract::plugin("counted", "counted");
    run(async {
        let host = Host::new();
        let mut left = Vec::new();
        for paths in [&["/keep/0"][..], &["/keep/0"], &["/keep/3000000", "/leave-behind/1000000"]] {
            let Loaded { instance, mut ending, .. } = host.load(&counted).await;
            let before = instance.memory().expect("it counts");
            // From threads of the host's, too: whose they are makes no difference.
            for path in paths {
                let (instance, path) = (instance.clone(), (*path).to_owned());
                thread::spawn(move || block_on(visit(&instance, &path))).join().unwrap();
            }
            if paths.len() > 1 {
                let held = instance.memory().expect("it counts");
                assert!((4_000_000..4_100_000).contains(&(held - before)), "{before} {held}");
                visit(&instance, "/give-back").await;
                let held = instance.memory().expect("it counts");
                assert!((1_000_000..1_100_000).contains(&(held - before)), "{before} {held}");
                visit(&instance, "/keep/3000000").await;
            }
            drop(instance);
            match ends(&mut ending, |ending| *ending != Ending::Alive).await {
                Ending::Unmapped { left_behind: Some(bytes), .. } => left.push(bytes),
                other => panic!("{other:?}"),
            }
        }
        // What is kept in the instance is freed with it. std, tokio and tracing keep a little in statics.
        let [first, again, leaking] = left[..] else { panic!("{left:?}") };
        assert!(first < 100_000 && first.abs_diff(again) < 10_000, "{left:?}");
        assert!((1_000_000..1_020_000).contains(&(leaking - first)), "{left:?}");

        let Loaded { instance, mut ending, .. } = host.load(&library("leftovers")).await;
        assert_eq!(instance.memory(), None);
        drop(instance);
        let ended = ends(&mut ending, |ending| *ending != Ending::Alive).await;
        assert!(matches!(ended, Ending::Unmapped { left_behind: None, .. }), "{ended:?}");
    });
}

#[trial]
fn many_generations_at_once() {
    run(async {
        let host = Host::new();
        let mut all = Vec::new();
        for _ in 0..12 {
            for name in ["leftovers", "twin"] {
                let loaded = host.load(&library(name)).await;
                visit(&loaded.instance, "/contended").await;
                all.push(loaded);
            }
        }
        assert_eq!(host.loader.overview().len(), 24);
        // Let go of in another order than they came in.
        let (mut first, second): (Vec<_>, Vec<_>) = all.into_iter().enumerate().partition(|(index, _)| index % 3 == 0);
        first.extend(second);
        for (_, Loaded { instance, mut ending, .. }) in first {
            visit(&instance, "/current").await;
            drop(instance);
            goes(&mut ending).await;
        }
        assert!(host.loader.overview().is_empty());
    });
}
