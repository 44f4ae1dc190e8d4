//! Reloads under load: 32 connections to one plugin, HTTP/1.1 kept alive and HTTP/2, which keep the server's one processor busy
//! all the time, while it is reloaded up to ten times a second; against the same without reloads, in runs that alternate. What
//! failed, how the slowest hundredth fared, and how long a reload takes there, for requests come first.

use crate::common::{
    pin,
    report::{Better, Row, finish},
};
use bytes::Bytes;
use camlock_testing::{Server, Site, single};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

const PAIRS: usize = 32;
const RELOADS: usize = 8;
const PACE: Duration = Duration::from_millis(100);
const CONNECTIONS: usize = 32;
const PATH: &str = "/api/v1/p/hello/";

pub fn run() -> ExitCode {
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    site.write("plugins/hello.rs", &single("hello"));
    pin(0);
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error"));
    server.until_text(PATH, "hello");
    pin(1);
    let server = Arc::new(server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut rows = Vec::new();
    for (version, failed, slow, takes) in [
        (
            Version::One,
            "requests failed over 256 reloads, HTTP/1.1",
            "p99 with reloads ÷ without, HTTP/1.1",
            "a reload meanwhile, HTTP/1.1",
        ),
        (
            Version::Two,
            "requests failed over 256 reloads, HTTP/2",
            "p99 with reloads ÷ without, HTTP/2",
            "a reload meanwhile, HTTP/2",
        ),
    ] {
        let failures = AtomicU64::new(0);
        let mut durations = Vec::new();
        let mut run = |reloads: bool| {
            let measured = runtime.block_on(measure(server.address, version, reloads.then(|| server.clone())));
            failures.fetch_add(measured.failed, Ordering::Relaxed);
            durations.extend(measured.reloads);
            percentile(measured.latencies, 0.99)
        };
        let ratios: Vec<f64> = (0..PAIRS + 1)
            .map(|pair| {
                if pair % 2 == 0 {
                    let with = run(true);
                    with / run(false)
                } else {
                    let without = run(false);
                    run(true) / without
                }
            })
            .skip(1)
            .collect();
        let failures = failures.load(Ordering::Relaxed) as f64;
        rows.push(Row::count(failed, "", Better::Lower, failures).must(0.0, 0.0));
        rows.push(Row::median(slow, "×", Better::Lower, &ratios).must(2.0, 1.2));
        rows.push(Row::median(takes, "ms", Better::Lower, &durations));
    }
    let reloads = server.generation("hello") - 1;
    assert!(reloads >= 500, "only {reloads} reloads");
    let plugin = server.plugin("hello");
    assert_eq!(plugin["pinned"], serde_json::json!([]), "{plugin:#}");
    finish("swap", &rows)
}

/// Reloads the plugin of this site until so many requests were answered meanwhile: how many were, how many failed, and how many reloads
/// that took.
pub fn until_answered(site: &Site, wanted: u64) -> (u64, u64, u64) {
    site.write("plugins/hello.rs", &single("hello"));
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error"));
    server.until_text(PATH, "hello");
    let server = Arc::new(server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut requests, mut failed) = (0, 0);
    while requests < wanted {
        let measured = runtime.block_on(measure(server.address, Version::One, Some(server.clone())));
        requests += measured.latencies.len() as u64;
        failed += measured.failed;
    }
    (requests, failed, server.generation("hello") - 1)
}

#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

struct Measured {
    /// In microseconds.
    latencies: Vec<u32>,
    failed: u64,
    /// How long each reload took, in milliseconds.
    reloads: Vec<f64>,
}

async fn measure(address: SocketAddr, version: Version, reloads: Option<Arc<Server>>) -> Measured {
    let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let latencies: Arc<Mutex<Vec<u32>>> = Arc::default();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let (stop, failed, latencies) = (stop.clone(), failed.clone(), latencies.clone());
        clients.push(tokio::spawn(async move {
            let mut own = Vec::with_capacity(1 << 14);
            client(address, version, &stop, &failed, &mut own).await;
            latencies.lock().expect("nobody panics").extend(own);
        }));
    }
    let reloader = reloads.map(|server| {
        std::thread::spawn(move || {
            let reload = |_| {
                let began = Instant::now();
                let answer = server.post("/api/v1/plugins/hello/reload");
                assert_eq!(answer.status, 200, "{}", answer.text);
                let took = began.elapsed();
                std::thread::sleep(PACE.saturating_sub(took));
                took.as_secs_f64() * 1e3
            };
            (0..RELOADS).map(reload).collect()
        })
    });
    tokio::time::sleep(PACE * RELOADS as u32).await;
    while reloader.as_ref().is_some_and(|reloader| !reloader.is_finished()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("the client ends");
    }
    let latencies = std::mem::take(&mut *latencies.lock().expect("nobody panics"));
    let reloads = reloader.map_or_else(Vec::new, |reloader| reloader.join().expect("it reloads"));
    Measured { latencies, failed: failed.load(Ordering::Relaxed), reloads }
}

/// One connection, which is never made anew: one that breaks counts as a failure.
async fn client(address: SocketAddr, version: Version, stop: &AtomicBool, failed: &AtomicU64, own: &mut Vec<u32>) {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let io = TokioIo::new(stream);
    macro_rules! requests {
        ($sender:expr, $request:expr) => {
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                let sent = $sender.send_request($request.body(Empty::<Bytes>::new()).expect("a request")).await;
                let Ok(response) = sent else {
                    failed.fetch_add(1, Ordering::Relaxed);
                    return;
                };
                let status = response.status();
                let body = response.into_body().collect().await;
                own.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
                let good = status.is_success() && body.is_ok_and(|body| body.to_bytes() == "hello");
                failed.fetch_add(u64::from(!good), Ordering::Relaxed);
            }
        };
    }
    match version {
        Version::One => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("a handshake");
            tokio::spawn(connection);
            requests!(sender, http::Request::get(PATH).header("host", "localhost"));
        }
        Version::Two => {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("a handshake");
            tokio::spawn(connection);
            // The host is in the URI: one that is named twice, and not alike, is refused.
            let uri = format!("http://{address}{PATH}");
            requests!(sender, http::Request::get(&uri));
        }
    }
}

fn percentile(mut latencies: Vec<u32>, part: f64) -> f64 {
    latencies.sort_unstable();
    f64::from(latencies[(latencies.len() as f64 * part) as usize])
}
