//! The two runtimes beside those that serve: `control`, which never runs plugin code, has the supervisor; `work` runs what
//! plugins ask the host to run for them.

use crate::Unable;
use camlock_loader::on_thread_park;
use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use tokio::runtime::{Builder, Handle, Runtime};

/// So many threads decide, and so many others run what plugins ask for.
const WORKERS: usize = 2;

/// Those threads of `control` that read, hash and copy whole libraries, wait for builds and use files and SQLite.
const CHORES: &str = "camlock-chores";

/// How much chores give way: where all processors are busy, requests are answered first, and a reload takes its time. Threads have
/// the niceness of the one that starts them, and cannot get rid of it: no chore may start one that runs code of plugins.
const NICE: i32 = 10;

/// There until they are dropped, which does not wait for what runs there.
pub(crate) struct Runtimes {
    pub(crate) control: Handle,
    pub(crate) work: Handle,
    both: Vec<Runtime>,
}

impl Runtimes {
    pub(crate) fn start() -> Result<Self, Unable> {
        let none = |error: io::Error| Unable::from(format!("no runtime could be made: {error}"));
        let started = AtomicUsize::new(0);
        let control = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            // Each reads and hashes whole libraries, and builds wait in one each: a few do as much as many.
            .max_blocking_threads(16)
            // The workers are started first, before there is anybody who could want another thread.
            .thread_name_fn(move || {
                let is_worker = started.fetch_add(1, Ordering::Relaxed) < WORKERS;
                if is_worker { "camlock-control" } else { CHORES }.to_owned()
            })
            .on_thread_start(|| {
                if thread::current().name() == Some(CHORES) {
                    // That it cannot be done harms nobody.
                    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
                }
            })
            .enable_all()
            .build()
            .map_err(none)?;
        let work = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("camlock-work")
            .on_thread_park(on_thread_park)
            .enable_all()
            .build()
            .map_err(none)?;
        let handles = (control.handle().clone(), work.handle().clone());
        Ok(Runtimes { control: handles.0, work: handles.1, both: vec![work, control] })
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        for runtime in self.both.drain(..) {
            runtime.shutdown_background();
        }
    }
}
