//! Ten thousand cycles of load, serve and unload of a plugin that uses what could outlive it, with requests on two threads
//! all the while: each new generation takes over while the old one drains.

use crate::common::{
    host::{Host, end, serving_runtime},
    report::{Better, Row, finish},
};
use camlock_policy::{Body, Call, Ending, FaultKind, Instance, Loaded};
use camlock_testing::Fixtures;
use http_body_util::BodyExt;
use std::{
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

type Current = Arc<Mutex<Option<Arc<dyn Instance>>>>;

pub fn run() -> ExitCode {
    let cycles = std::env::var("CAMLOCK_BENCH_CYCLES").ok().and_then(|cycles| cycles.parse().ok()).unwrap_or(10_000);
    let runtime = serving_runtime();
    let rows = runtime.block_on(measure(cycles));
    finish("reload", &rows)
}

/// Asks for one path after another until told to stop.
async fn load(current: Current, stop: Arc<AtomicBool>, served: Arc<AtomicU64>, failed: Arc<AtomicU64>) {
    for round in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Some(instance) = current.lock().expect("no panic").clone() else {
            tokio::task::yield_now().await;
            continue;
        };
        let path = match round % 16 {
            3 => "/panic",
            7 => "/sleepy",
            _ => "/work",
        };
        let answer = instance.call(Call::new(http::Request::get(path).body(Body::empty()).expect("a request"))).await;
        let good = match answer {
            Ok(answer) if path != "/panic" => {
                answer.response.status().is_success() && answer.response.into_body().collect().await.is_ok()
            }
            Err(fault) => path == "/panic" && fault.kind == FaultKind::Panic && fault.message == "on purpose",
            Ok(_) => false,
        };
        served.fetch_add(1, Ordering::Relaxed);
        failed.fetch_add(u64::from(!good), Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

async fn measure(cycles: u64) -> Vec<Row> {
    let host = Host::new();
    let artifact = host.verified(&Fixtures::release().library("churn")).await;
    let current: Current = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let (served, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> =
        (0..2).map(|_| tokio::spawn(load(current.clone(), stop.clone(), served.clone(), failed.clone()))).collect();
    let (mut unmapped, mut pinned, mut forgotten, mut before) = (0_u64, 0_u64, 0, 0.0);
    let mut times = Vec::new();
    let mut old: Option<Loaded> = None;
    // What the process needs at all is there after some of them.
    let warm_up = (cycles / 20).max(10);
    for generation in 0..=cycles + warm_up {
        if generation == warm_up + 1 {
            before = resident();
            (unmapped, pinned, forgotten) = (0, 0, 0);
            times.clear();
        }
        let begun = Instant::now();
        let new = host.loader.load(&artifact, (generation + 1, "{}")).await.expect("it can be loaded");
        new.instance.start().await.expect("it starts");
        drop(current.lock().expect("no panic").replace(new.instance.clone()));
        if let Some(old) = old.replace(new) {
            match unload(old).await {
                Ending::Unmapped { forgotten: count, .. } => {
                    unmapped += 1;
                    forgotten += count;
                }
                other => {
                    pinned += 1;
                    eprintln!("{other:?}");
                }
            }
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        // Serving: some requests have gone through this generation.
        let seen = served.load(Ordering::Relaxed);
        while served.load(Ordering::Relaxed) < seen + 4 {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no panic");
    }
    let growth = (resident() - before) / 1e6;
    let cycles = cycles as f64;
    vec![
        Row::count("cycles that ended unmapped", "", Better::Higher, unmapped as f64).must(cycles, cycles),
        Row::count("pinned", "", Better::Lower, pinned as f64).must(0.0, 0.0),
        Row::count("failed requests", "", Better::Lower, failed.load(Ordering::Relaxed) as f64).must(0.0, 0.0),
        Row::count("requests served", "", Better::Higher, served.load(Ordering::Relaxed) as f64),
        Row::count("growth of resident memory", "MB", Better::Lower, growth).must(15.0, 3.0),
        Row::count("destructors of thread-locals that never ran", "", Better::Lower, forgotten as f64),
        Row::median("one cycle", "ms", Better::Lower, &times),
    ]
}

/// Drains, shuts down, and waits for the outcome.
async fn unload(loaded: Loaded) -> Ending {
    while Arc::strong_count(&loaded.instance) > 1 {
        tokio::task::yield_now().await;
    }
    loaded.leases.drained().await;
    loaded.instance.shutdown().await.expect("it shuts down");
    end(loaded).await
}

/// Resident memory, in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).expect("a number").parse::<f64>().expect("kilobytes") * 1024.0
}
