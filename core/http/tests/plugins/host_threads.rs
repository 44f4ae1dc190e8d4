//! What a plugin leaves on the host's own threads: run where it belongs and in time, or never.

use crate::{
    direct::{block_on, goes, visit},
    harness::{Host, run},
    unloading::{counter, library},
};
use camlock_loader::on_thread_park;
use camlock_policy::Loaded;
use camlock_testing::trial;
use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

#[trial]
fn a_thread_that_exits() {
    let (count, path) = counter("/local");
    let (more, again) = counter("/again");
    run(async {
        let host = Host::new();
        let Loaded { instance, mut ending, .. } = host.load(&library("leftovers")).await;
        for _ in 0..3 {
            let (instance, path, again) = (instance.clone(), path.clone(), again.clone());
            let visits = move || {
                block_on(visit(&instance, &path));
                block_on(visit(&instance, &again));
            };
            thread::spawn(visits).join().unwrap();
        }
        assert_eq!((count.load(Ordering::SeqCst), more.load(Ordering::SeqCst)), (3, 3), "each ran, where it belonged");
        drop(instance);
        goes(&mut ending).await;
    });
}

#[trial]
fn a_thread_that_sleeps() {
    let (count, path) = counter("/local");
    run(async {
        let host = Host::new();
        let Loaded { instance, mut ending, .. } = host.load(&library("leftovers")).await;
        let (wake, asleep) = mpsc::channel::<()>();
        let (visited, has_visited) = tokio::sync::oneshot::channel();
        let sleeper = thread::spawn(move || {
            block_on(visit(&instance, &path));
            drop(instance);
            let _ = visited.send(());
            let _ = asleep.recv();
        });
        has_visited.await.unwrap();
        assert!(goes(&mut ending).await >= 1, "what sleeps cannot run it");
        drop(wake);
        sleeper.join().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 0, "and afterwards there is nothing to run");
    });
}

#[trial]
fn a_thread_that_passes_by() {
    let (count, path) = counter("/local");
    run(async {
        let host = Host::new();
        let mut rounds = 0;
        // Whether a thread comes by in time is the scheduler's to say; in the end one does.
        while count.load(Ordering::SeqCst) == 0 && rounds < 50 {
            rounds += 1;
            let Loaded { instance, mut ending, .. } = host.load(&library("leftovers")).await;
            let (path, done) = (path.clone(), Arc::new(AtomicBool::new(false)));
            let over = done.clone();
            let passer = thread::spawn(move || {
                block_on(visit(&instance, &path));
                drop(instance);
                while !over.load(Ordering::Relaxed) {
                    on_thread_park();
                }
            });
            goes(&mut ending).await;
            done.store(true, Ordering::Relaxed);
            passer.join().unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), 1, "after {rounds} rounds");
    });
}

#[trial]
fn threads_that_exit_at_that_instant() {
    let (count, path) = counter("/local");
    run(async {
        let host = Host::new();
        let artifact = host.staging.stage(&library("leftovers")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(15);
        let (mut rounds, mut forgotten) = (0, 0);
        while rounds < 300 && Instant::now() < deadline {
            rounds += 1;
            let Loaded { instance, mut ending, .. } = host.loader.load(&artifact, (rounds, "{}")).await.unwrap();
            let start = Arc::new(Barrier::new(4));
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let (instance, path, start) = (instance.clone(), path.clone(), start.clone());
                    thread::spawn(move || {
                        block_on(visit(&instance, &path));
                        block_on(visit(&instance, "/current"));
                        start.wait();
                        // The last of these ends the generation while the others exit.
                        drop(instance);
                    })
                })
                .collect();
            start.wait();
            drop(instance);
            forgotten += goes(&mut ending).await;
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        }
        assert!(rounds >= 20, "{rounds}");
        let ran = count.load(Ordering::SeqCst);
        assert!(ran <= 3 * rounds as usize && ran + forgotten >= 3 * rounds as usize, "{ran} {forgotten} {rounds}");
    });
}
