//! From verified bytes in the store to an instance that is ready.

use crate::common::{
    host::{Host, end},
    report::{Better, Row, finish},
};
use camlock_testing::Fixtures;
use std::{process::ExitCode, time::Instant};

const SAMPLES: usize = 200;

pub fn run() -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let library = Fixtures::release().library("hello");
    let size = std::fs::metadata(&library).expect("its size").len() as f64 / 1e6;
    let samples = runtime.block_on(async {
        let host = Host::new();
        let artifact = host.verified(&library).await;
        let mut samples = Vec::new();
        for generation in 0..SAMPLES as u64 + 10 {
            let begun = Instant::now();
            let loaded = host.loader.load(&artifact, (generation, "{}")).await.expect("it can be loaded");
            samples.push(begun.elapsed().as_secs_f64() * 1e3);
            end(loaded).await;
        }
        samples.split_off(10)
    });
    let rows = [
        Row::median("verified bytes in the store → instance ready", "ms", Better::Lower, &samples).must(3.0, 1.0),
        Row::count("size of that artifact", "MB", Better::Lower, size),
    ];
    finish("load", &rows)
}
