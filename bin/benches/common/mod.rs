//! What the benchmarks share: hosts, statistics, tables.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod client;
pub mod host;
pub mod report;
pub mod servers;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Keeps this process, and what it starts from now on, on one processor.
pub fn pin(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    if sched_setaffinity(None, &set).is_err() {
        eprintln!("not pinned to processor {processor}: this machine has fewer");
    }
}
