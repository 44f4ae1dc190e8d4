//! From the last lease gone to the mapping confirmed gone.

use crate::common::{
    host::{Host, end, serving_runtime},
    report::{Better, Row, finish},
};
use camlock_policy::{Body, Call, Ending};
use camlock_testing::Fixtures;
use std::{process::ExitCode, time::Instant};

const SAMPLES: usize = 200;

pub fn run() -> ExitCode {
    let rows = [
        measure("last lease gone → mapping confirmed gone, a hello-world", "hello", "/hello").must(5.0, 0.5),
        measure("the same, a plugin with tokio, threads, thread-locals", "churn", "/work").must(5.0, 0.5),
    ];
    finish("unload", &rows)
}

fn measure(case: &'static str, plugin: &str, path: &str) -> Row {
    let runtime = serving_runtime();
    let samples = runtime.block_on(async {
        let host = Host::new();
        let artifact = host.verified(&Fixtures::release().library(plugin)).await;
        let mut samples = Vec::new();
        for generation in 0..SAMPLES as u64 + 10 {
            let loaded = host.loader.load(&artifact, (generation, "{}")).await.expect("it can be loaded");
            loaded.instance.start().await.expect("it starts");
            let (instance, path) = (loaded.instance.clone(), path.to_owned());
            // On a worker, where requests are served.
            let served = tokio::spawn(async move {
                let request = http::Request::get(&path).body(Body::empty()).expect("a request");
                instance.call(Call::new(request)).await.expect("an answer").response.status()
            });
            assert!(served.await.expect("no panic").is_success());
            loaded.instance.shutdown().await.expect("it shuts down");
            let begun = Instant::now();
            let ending = end(loaded).await;
            samples.push(begun.elapsed().as_secs_f64() * 1e3);
            assert!(matches!(ending, Ending::Unmapped { .. }), "{ending:?}");
        }
        samples.split_off(10)
    });
    Row::median(case, "ms", Better::Lower, &samples)
}
