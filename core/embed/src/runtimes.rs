//! The two runtimes beside those that serve: `control`, which never runs plugin code, has the supervisor; `work` runs what
//! plugins ask the host to run for them.

use crate::Unable;
use camlock_loader::on_thread_park;
use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// There until they are dropped, which does not wait for what runs there.
pub(crate) struct Runtimes {
    pub(crate) control: Handle,
    pub(crate) work: Handle,
    both: Vec<Runtime>,
}

impl Runtimes {
    pub(crate) fn start() -> Result<Self, Unable> {
        let none = |error: io::Error| Unable::from(format!("no runtime could be made: {error}"));
        let control = Builder::new_multi_thread()
            .worker_threads(2)
            // Each reads and hashes whole libraries, and builds wait in one each: a few do as much as many.
            .max_blocking_threads(16)
            .thread_name("camlock-control")
            .enable_all()
            .build()
            .map_err(none)?;
        let work = Builder::new_multi_thread()
            .worker_threads(2)
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
