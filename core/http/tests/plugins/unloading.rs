//! What would outlive a plugin: each thing is either taken back, or pins the library with its reason until it is gone.

use crate::{
    capture, contract,
    direct::{after_visiting, block_on, call, ends, goes, is_pinned, until, visit},
    harness::{Host, run},
};
use camlock_policy::{Ending, Loaded};
use camlock_testing::{Fixtures, trial};
use http_body_util::BodyExt;
use rustix::process::Signal;
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

/// Sends this process a signal, which any of its threads may hear.
fn raise(signal: Signal) {
    rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
}

/// Whether anybody in this process handles a signal.
fn is_handled(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 1 << (signal.as_raw() - 1) != 0
}

#[trial]
fn a_signal_handler() {
    run(async {
        let host = Host::new();
        assert!(!is_handled(Signal::WINCH));
        let Loaded { instance, mut ending, .. } = host.load(&library("leftovers")).await;
        visit(&instance, "/signal").await;
        assert!(is_handled(Signal::WINCH));
        drop(instance);
        goes(&mut ending).await;
        assert!(!is_handled(Signal::WINCH), "what was there before is there again");
        raise(Signal::WINCH);
        goes(&mut after_visiting(&host, &library("leftovers"), &["/signal", "/signal-restored"]).await).await;
        // What got past the interception is found all the same, and cannot be taken back.
        let mut ending = after_visiting(&host, &library("leftovers"), &["/signal-unseen"]).await;
        assert_eq!(is_pinned(&mut ending).await, "a handler for SIGWINCH lies in the plugin");
        goes(&mut after_visiting(&host, &library("leftovers"), &["/signal-unseen-restored"]).await).await;
        goes(&mut ending).await;
    });
}

/// Each new generation installs its handler before the one that it replaces is gone, in whatever order they go.
#[trial]
fn signal_handlers_in_a_chain() {
    run(async {
        let host = Host::new();
        let mut base = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined1()).unwrap();
        let mut generations = Vec::new();
        for _ in 0..4 {
            let (heard, path) = counter("/listening");
            let loaded = host.load(&library("leftovers")).await;
            visit(&loaded.instance, &path).await;
            generations.push((loaded, heard));
        }
        for (before, index) in [None, Some(0), Some(2), Some(0), Some(0)].into_iter().enumerate() {
            if let Some(index) = index {
                let (Loaded { instance, mut ending, .. }, _): (Loaded, &AtomicUsize) = generations.remove(index);
                drop(instance);
                goes(&mut ending).await;
            }
            raise(Signal::USR1);
            base.recv().await.expect("the host hears it too");
            for (_, heard) in &generations {
                until("each generation hears it", async || heard.load(Ordering::SeqCst) == before + 1).await;
            }
        }
        assert!(is_handled(Signal::USR1), "the host's own handler is there still");
    });
}

/// What is open in this process.
fn open_files() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.map(|target| target.display().to_string()).collect()
}

#[trial(with = camlock_testing::in_a_process_of_its_own)]
fn descriptors_that_are_left_open() {
    run(async {
        let host = Host::new();
        let Loaded { instance, mut ending, .. } = host.load(&library("leftovers")).await;
        let before = host.loader.overview()[0].descriptors;
        let answer = call(&instance, "/descriptors").await.unwrap();
        let body = answer.response.into_body().collect().await.unwrap().to_bytes();
        let left: Vec<_> = std::str::from_utf8(&body).unwrap().lines().collect();
        assert_eq!(left.len(), 5, "{left:?}");
        let open = open_files();
        assert!(left.iter().all(|target| open.iter().any(|one| one == target)), "{left:?} {open:?}");
        assert_eq!(host.loader.overview()[0].descriptors, before + 6);
        // Signals of tokio's need a pair that is kept for good.
        let (_, listening) = counter("/listening");
        visit(&instance, &listening).await;
        let generation = host.loader.overview()[0].generation.to_string();
        instance.shutdown().await.unwrap();
        drop(instance);
        goes(&mut ending).await;
        let told = capture::records("descriptors that it left open were closed");
        let told: Vec<_> = told.into_iter().filter(|record| record["generation"] == generation).collect();
        let [told] = &told[..] else { panic!("{told:?}") };
        assert_eq!(told["message"].matches("socket:").count(), 4, "{told:?}");
        let open = open_files();
        assert!(!left.iter().any(|target| open.iter().any(|one| one == target)), "{left:?} {open:?}");
    });
}

#[trial]
fn children_of_a_plugin() {
    run(async {
        let host = Host::new();
        let Loaded { instance, mut ending, .. } = host.load(&library("leftovers")).await;
        let answer = call(&instance, "/child").await.unwrap();
        let body = answer.response.into_body().collect().await.unwrap().to_bytes();
        let ignored = std::str::from_utf8(&body).unwrap().trim_start_matches("SigIgn:").trim().to_owned();
        let ignored = u64::from_str_radix(&ignored, 16).unwrap();
        assert_eq!(ignored & 1 << (Signal::PIPE.as_raw() - 1), 0, "{ignored:x}");
        drop(instance);
        goes(&mut ending).await;
    });
}

/// What a C library that the plugin needs has registered is not known to anybody: so it stays, and the plugin goes.
#[trial]
fn what_a_needed_library_leaves() {
    let (gone, key) = counter("/key");
    run(async {
        let host = Host::new();
        let (ticks, thread) = counter("/thread");
        let (handled, handler) = counter("/handler");
        let Loaded { instance, mut ending, .. } = host.load(&library("needing")).await;
        visit(&instance, &thread).await;
        visit(&instance, &handler).await;
        // A thread of the host's that ends after the plugin is gone.
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let (visited, has_visited) = tokio::sync::oneshot::channel();
        let theirs = instance.clone();
        let host_thread = thread::spawn(move || {
            block_on(visit(&theirs, &key));
            drop(theirs);
            let _ = visited.send(());
            let _ = ends.recv();
        });
        has_visited.await.unwrap();
        instance.shutdown().await.unwrap();
        drop(instance);
        goes(&mut ending).await;
        let before = ticks.load(Ordering::SeqCst);
        until("its thread runs on", async || ticks.load(Ordering::SeqCst) > before + 2).await;
        raise(Signal::USR2);
        until("its handler is called", async || handled.load(Ordering::SeqCst) == 1).await;
        drop(end);
        host_thread.join().unwrap();
        assert_eq!(gone.load(Ordering::SeqCst), 1);
        // The next generation finds the same library.
        let Loaded { instance, mut ending, .. } = host.load(&library("needing")).await;
        drop(instance);
        goes(&mut ending).await;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mapped = maps.lines().filter(|line| line.contains("libcamlock_needed") && line.contains(" r-xp ")).count();
        assert_eq!(mapped, 1, "it is kept once, however many generations needed it: {maps}");
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
            let _ = tokio::time::timeout(limit, host.loader.load(&artifact, (microseconds, "{}"))).await;
        }
        // Wherever it was given up: its constructor's thread ends, and nothing of it is left.
        // (The copy of one that was given up early goes before its library does.)
        until("the copies are gone", async || host.copies().is_empty()).await;
        let here = host.run_dir().to_str().unwrap().to_owned();
        until("nothing is mapped", async || !std::fs::read_to_string("/proc/self/maps").unwrap().contains(&here)).await;
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
