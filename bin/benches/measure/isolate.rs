//! What a process of its own costs a plugin, and what it saves others. Here: the same hello, called as core calls it, in the process and
//! in one of its own, without HTTP; and how soon a runner is ready.

mod crashes;
mod served;

use crate::{
    common::{
        host::{Host, end, serving_runtime},
        report::{Better, Row, finish},
    },
    swap,
};
use camlock_isolate::{Runners, Subject};
use camlock_loader::{Artifact, LoaderOptions, Surroundings};
use camlock_policy::{Body, Call, GenerationStart, Instance, Loaded};
use camlock_testing::Fixtures;
use http::Request;
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

const PAIRS: usize = 15;
const TURN: Duration = Duration::from_millis(250);
/// A 99th percentile needs so many.
const STARTS: usize = 300;

pub fn run() -> ExitCode {
    let library = Fixtures::release().library("hello");
    let rows = serving_runtime().block_on(async {
        let dir = tempfile::tempdir().expect("a directory");
        let host = Host::new();
        let artifact = host.verified(&library).await;
        let create = LoaderOptions::default().create;
        let around = Surroundings::default();
        let runners = Runners::new(dir.path().join("runners"), create, around, Handle::current()).expect("runners");
        let inside = host.loader.load(&artifact, (1, "{}")).await.expect("it can be loaded");
        let isolated = load(&runners, &artifact, 2).await;
        let mut rows = measured(&inside.instance, &isolated.instance).await;
        shut_down(inside).await;
        shut_down(isolated).await;
        rows.extend(started(&runners, &artifact).await);
        rows
    });
    let rows = [rows, served::rows(), crashes::rows()].concat();
    finish("isolate", &rows)
}

async fn load(runners: &Runners, artifact: &Artifact, generation: u64) -> Loaded {
    let subject =
        Subject { manifest: artifact.sections.manifest.clone(), digest: artifact.digest, path: artifact.path.clone() };
    runners.load(&subject, GenerationStart::from((generation, "{}"))).await.expect("it can be loaded")
}

async fn shut_down(loaded: Loaded) {
    let _ = loaded.instance.shutdown().await;
    end(loaded).await;
}

async fn hello(instance: &Arc<dyn Instance>) {
    let request = Request::get("/hello").body(Body::empty()).expect("a request");
    let answer = instance.call(Call::new(request)).await.expect("an answer");
    assert!(answer.response.into_body().into_whole().is_ok_and(|body| body.starts_with(b"Hello")));
}

/// Calls for a turn: the median of how long one takes, how many there were, and the processor's time, of both sides.
async fn turn(instance: &Arc<dyn Instance>, at_once: usize) -> (f64, f64, f64) {
    let (began, used) = (Instant::now(), processor());
    let callers = (0..at_once).map(|_| {
        let instance = instance.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            while began.elapsed() < TURN {
                let one = Instant::now();
                hello(&instance).await;
                times.push(one.elapsed().as_secs_f64() * 1e6);
            }
            times
        })
    });
    let mut times = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        times.extend(caller.await.expect("it calls"));
    }
    let count = times.len() as f64;
    (
        Row::median("", "", Better::Lower, &times).value,
        count / began.elapsed().as_secs_f64(),
        (processor() - used) / count,
    )
}

async fn measured(inside: &Arc<dyn Instance>, isolated: &Arc<dyn Instance>) -> Vec<Row> {
    let (mut slower, mut dearer, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS + 2 {
        let (one, other) = (turn(inside, 1).await, turn(isolated, 1).await);
        let (many, others) = (turn(inside, 32).await, turn(isolated, 32).await);
        if pair >= 2 {
            slower.push(other.0 - one.0);
            dearer.push(others.2 - many.2);
            ratio.push(others.1 / many.1);
        }
    }
    vec![
        Row::count("a socket to another thread and back, p50", "µs", Better::Lower, there_and_back()),
        Row::median("without HTTP, one at a time, p50, over in process", "µs", Better::Lower, &slower),
        Row::median("without HTTP, 32 at once: processor, over in process", "µs", Better::Lower, &dearer),
        Row::median("without HTTP, 32 at once ÷ in process", "×", Better::Higher, &ratio),
    ]
}

/// What no way between two processes that sleep in between can be below: 200 bytes over a socket to another thread and back, the median.
fn there_and_back() -> f64 {
    let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
    let echo = thread::spawn(move || {
        let mut bytes = [0; 200];
        while theirs.read_exact(&mut bytes).is_ok() && theirs.write_all(&bytes).is_ok() {}
    });
    let mut times: Vec<f64> = (0..10_000)
        .map(|_| {
            let (began, mut bytes) = (Instant::now(), [7; 200]);
            ours.write_all(&bytes).and_then(|()| ours.read_exact(&mut bytes)).expect("an echo");
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    drop(ours);
    echo.join().expect("it ends");
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

async fn started(runners: &Runners, artifact: &Artifact) -> Vec<Row> {
    let mut times = Vec::new();
    for generation in 0..STARTS {
        let began = Instant::now();
        let loaded = load(runners, artifact, 10 + generation as u64).await;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        shut_down(loaded).await;
    }
    vec![
        Row::median("runner ready, median", "ms", Better::Lower, &times),
        Row::p99("runner ready, p99", "ms", &times).must(10.0, 4.0),
    ]
}

/// Microseconds of the processor that this process and its children used.
fn processor() -> f64 {
    let children = fs::read_dir("/proc/self/task").expect("threads").flatten().filter_map(|thread| {
        let children = fs::read_to_string(thread.path().join("children")).ok()?;
        Some(children.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    });
    children.flatten().chain(["self".to_owned()]).map(|process| used(&process)).sum()
}

/// The same of these processes.
fn processes_used(processes: &[u32]) -> f64 {
    processes.iter().map(|process| used(&process.to_string())).sum()
}

/// By the scheduler's count of each thread, in nanoseconds: that of ticks is too coarse.
fn used(process: &str) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return 0.0 };
    let of_thread = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    threads.flatten().filter_map(of_thread).sum::<f64>() / 1e3
}
