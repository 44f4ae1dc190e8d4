//! Executions that compute for a millisecond, a hundred at once: by a plugin that a server has work them out, asked for in its process
//! and over HTTP, beside the same work in tasks of the program's own, in runs that alternate. Each is logged.

use crate::common::{
    host::{plugins_of, serving_runtime},
    is_short,
    report::{Better, Row, finish},
};
use camlock_embed::{Camlock, ExecutionOrder, ExecutionStatus, Options, on_thread_park};
use camlock_http::{Front, FrontOptions};
use camlock_testing::Fixtures;
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const RUNS: usize = 30;
const WARM_UP: usize = 3;
const AT_ONCE: usize = 100;
const EACH: usize = 4;

pub fn run() -> ExitCode {
    let library = Fixtures::release().library("working");
    let directory = tempfile::tempdir().expect("a directory");
    let plugins = plugins_of(directory.path(), &library);
    let runtime = serving_runtime();
    let data = directory.path().join("data");
    let (within, over_http) = runtime.block_on(async {
        let camlock = Camlock::start(Options::new(&plugins, &data)).await.expect("it starts");
        camlock.ready().await;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let options = FrontOptions { on_thread_park: Some(on_thread_park), ..FrontOptions::default() };
        let front = Front::start(listener, camlock.dispatch().clone(), options).expect("a front");
        let steps = steps_of_a_millisecond();
        let runs = if is_short() { 3 } else { RUNS };
        let (mut within, mut over_http) = (Vec::new(), Vec::new());
        for run in 0..runs + WARM_UP {
            // Each goes first half of the time.
            let before = if run % 2 == 0 { Some(directly(steps).await) } else { None };
            let by_plugin = by_program(&camlock, steps).await;
            let asked = by_clients(front.address(), camlock.admin_token(), steps).await;
            let direct = match before {
                Some(direct) => direct,
                None => directly(steps).await,
            };
            within.push(by_plugin / direct);
            over_http.push(asked / direct);
        }
        camlock.end().await;
        (within.split_off(WARM_UP), over_http.split_off(WARM_UP))
    });
    let rows = [
        Row::median("by `Camlock::execute` ÷ run directly", "×", Better::Lower, &within).must(1.05, 1.01),
        Row::median("over HTTP ÷ run directly", "×", Better::Lower, &over_http).must(1.10, 1.05),
    ];
    finish("execute", &rows)
}

/// What the plugin does.
fn compute(steps: u64) -> u64 {
    (0..steps).fold(1, |state: u64, step| (state ^ step).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
}

fn steps_of_a_millisecond() -> u64 {
    const STEPS: u64 = 10_000_000;
    let begun = Instant::now();
    std::hint::black_box(compute(std::hint::black_box(STEPS)));
    STEPS * 1_000_000 / u64::try_from(begun.elapsed().as_nanos()).unwrap_or(1).max(1)
}

/// Has so many tasks do it, each several times: how long that takes, in seconds.
async fn all_at_once<F>(task: impl Fn() -> F) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let begun = Instant::now();
    let tasks: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(task())).collect();
    for task in tasks {
        task.await.expect("it ends");
    }
    begun.elapsed().as_secs_f64()
}

async fn directly(steps: u64) -> f64 {
    all_at_once(|| async move {
        for _ in 0..EACH {
            std::hint::black_box(compute(std::hint::black_box(steps)));
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn input(steps: u64) -> Value {
    json!({ "do": "compute", "steps": steps })
}

async fn by_program(camlock: &Camlock, steps: u64) -> f64 {
    all_at_once(|| {
        let camlock = camlock.clone();
        async move {
            for _ in 0..EACH {
                let outcome = camlock.execute(ExecutionOrder::new("working", input(steps))).await.expect("an outcome");
                assert_eq!(outcome.status, ExecutionStatus::Success, "{outcome:?}");
            }
        }
    })
    .await
}

async fn by_clients(address: SocketAddr, token: &str, steps: u64) -> f64 {
    let body = json!({ "input": input(steps) }).to_string();
    let length = body.len();
    let request: Arc<str> = format!(
        "POST /api/v1/plugins/working/execute HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into();
    all_at_once(|| {
        let request = request.clone();
        async move {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            let mut answer = Vec::new();
            for _ in 0..EACH {
                stream.write_all(request.as_bytes()).await.expect("the server takes it");
                answer.clear();
                while !answer.ends_with(b"}") {
                    assert_ne!(stream.read_buf(&mut answer).await.expect("the server answers"), 0);
                }
                let text = String::from_utf8_lossy(&answer);
                assert!(text.contains("\"status\":\"success\""), "{text}");
            }
        }
    })
    .await
}
