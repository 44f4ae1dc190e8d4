//! What a process of its own costs a plugin: the same hello, called as core calls it, in the process and in one of its own. Without
//! HTTP, which is the same for both. And how soon a runner is ready.

use camlock_isolate::{Runners, Subject};
use camlock_loader::{Artifact, Loader, LoaderOptions, Staging, Surroundings, Verdict, Verifier, VerifierLimits};
use camlock_policy::{Body, Call, GenerationStart, Instance, Loaded};
use camlock_testing::Fixtures;
use http::Request;
use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

const PAIRS: usize = 15;
const TURN: Duration = Duration::from_millis(250);
const STARTS: usize = 60;

fn main() {
    camlock_isolate::run_runner_if_asked();
    camlock_loader::run_verifier_if_asked();
    let library = Fixtures::release().library("hello");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let dir = tempfile::tempdir().expect("a directory");
        let artifact =
            Staging::at(dir.path().join("artifacts")).expect("a place").stage(&library).expect("an artifact");
        let verifier = Verifier::new(dir.path().join("verdicts"), VerifierLimits::default()).expect("a verifier");
        assert!(matches!(verifier.verify(&artifact).await.expect("a verdict"), Verdict::Good(_)));
        let options = LoaderOptions::default();
        let loader = Loader::new(dir.path().join("run"), options.clone(), Some(Handle::current())).expect("a loader");
        let around = Surroundings::default();
        let runners =
            Runners::new(dir.path().join("runners"), options.create, around, Handle::current()).expect("runners");
        let inside = loader.load(&artifact, (1, "{}")).await.expect("it can be loaded");
        let isolated = load(&runners, &artifact, 2).await;
        let mut rows = measured(&inside.instance, &isolated.instance).await;
        end(inside).await;
        end(isolated).await;
        rows.extend(started(&runners, &artifact).await);
        finish(&rows);
    });
}

struct Row {
    case: &'static str,
    unit: &'static str,
    value: f64,
    must: f64,
    aim: f64,
}

async fn load(runners: &Runners, artifact: &Artifact, generation: u64) -> Loaded {
    let subject =
        Subject { manifest: artifact.sections.manifest.clone(), digest: artifact.digest, path: artifact.path.clone() };
    runners.load(&subject, GenerationStart::from((generation, "{}"))).await.expect("it can be loaded")
}

async fn end(Loaded { instance, mut ending, .. }: Loaded) {
    let _ = instance.shutdown().await;
    drop(instance);
    let _ = ending.wait_for(|ending| *ending != camlock_policy::Ending::Alive).await;
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
    (median(times), count / began.elapsed().as_secs_f64(), (processor() - used) / count)
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
        Row { case: "p50, one at a time, over in process", unit: "µs", value: median(slower), must: 25.0, aim: 15.0 },
        Row {
            case: "processor, 32 at a time, over in process",
            unit: "µs",
            value: median(dearer),
            must: 4.0,
            aim: 2.0,
        },
        Row {
            case: "calls a second without HTTP, 32 at a time ÷ in process",
            unit: "",
            value: median(ratio),
            must: 0.0,
            aim: 0.0,
        },
    ]
}

async fn started(runners: &Runners, artifact: &Artifact) -> Vec<Row> {
    let mut times = Vec::new();
    for generation in 0..STARTS {
        let began = Instant::now();
        let loaded = load(runners, artifact, 10 + generation as u64).await;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        end(loaded).await;
    }
    times.sort_by(f64::total_cmp);
    let p99 = times[times.len() * 99 / 100];
    vec![
        Row { case: "runner ready, p50", unit: "ms", value: median(times), must: 10.0, aim: 4.0 },
        Row { case: "runner ready, p99", unit: "ms", value: p99, must: 10.0, aim: 4.0 },
    ]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Microseconds of the processor that this process and its children used.
fn processor() -> f64 {
    let children = fs::read_dir("/proc/self/task").expect("threads").flatten().filter_map(|thread| {
        let children = fs::read_to_string(thread.path().join("children")).ok()?;
        Some(children.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    });
    children.flatten().chain(["self".to_owned()]).map(|process| used(&process)).sum()
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

fn finish(rows: &[Row]) {
    let mut written = Vec::new();
    for Row { case, unit, value, must, aim } in rows {
        let higher = unit.is_empty();
        let met = if higher { value >= must } else { value <= must };
        println!("{case:60} {value:10.2} {unit:3} must {must} aim {aim} {}", if met { "met" } else { "MISSED" });
        written.push(
            serde_json::json!({ "case": case, "value": value, "unit": unit, "must": must, "aim": aim, "met": met }),
        );
    }
    let dir = camlock_testing::repository().join("target/bench");
    fs::create_dir_all(&dir).expect("a directory");
    let report = serde_json::json!({ "bench": "isolate", "rows": written });
    fs::write(dir.join("isolate.json"), report.to_string()).expect("a report");
}
