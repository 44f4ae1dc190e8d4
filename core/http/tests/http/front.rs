//! Connections: handlers that block, threads that are stuck, and the end.

use crate::{
    fake::{Fake, Generation, text_answer},
    server::{PATIENCE, Server},
};
use axum::{Router, routing::get};
use bytes::Bytes;
use camlock_http::{Dispatch, FrontOptions};
use camlock_policy::{Publish, RequestLimits};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

/// Blocks whoever comes, until it is opened.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        let _open = self.changed.wait_while(state, |(open, _)| !*open).unwrap();
    }

    fn set(&self, open: bool) {
        self.state.lock().unwrap().0 = open;
        self.changed.notify_all();
    }

    fn came(&self) -> usize {
        self.state.lock().unwrap().1
    }
}

/// A plugin whose handlers block at a gate, and tell which thread they ran on.
fn blocking(number: u64, gate: &Arc<Gate>) -> Generation {
    let gate = gate.clone();
    Fake::generation("blocking", number, move |call, lease| {
        let gate = gate.clone();
        async move {
            let _lease = lease;
            if call.request.uri().path().ends_with("/block") {
                gate.pass();
            }
            Ok(text_answer(thread::current().name().unwrap_or_default()))
        }
    })
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn start(options: FrontOptions) -> (Arc<Server>, Arc<Gate>) {
    let dispatch = Dispatch::default();
    dispatch.fall_through_to(Router::new().route("/_/live", get(|| async { "live" })));
    let gate = Arc::<Gate>::default();
    let server = Server::start_with(dispatch, options).await;
    server.dispatch.publish(vec![blocking(1, &gate).routed(&[]), Fake::saying("fine", 1, "fine").routed(&[])]);
    (Arc::new(server), gate)
}

fn ask(server: &Arc<Server>, path: &'static str) -> JoinHandle<(u16, String)> {
    let server = server.clone();
    tokio::spawn(async move { server.text(path).await })
}

async fn answer(asked: JoinHandle<(u16, String)>) -> (u16, String) {
    timeout(PATIENCE, asked).await.expect("an answer").expect("no panic")
}

/// The status of one request, unless its connection is closed before it is answered.
fn ask_once(server: &Arc<Server>, path: &'static str) -> JoinHandle<Option<u16>> {
    let server = server.clone();
    tokio::spawn(async move { server.status(path).await })
}

async fn once(asked: JoinHandle<Option<u16>>) -> Option<u16> {
    timeout(PATIENCE, asked).await.expect("an end").expect("no panic")
}

fn fine(text: &str) -> (u16, String) {
    (200, text.to_owned())
}

const BLOCK: &str = "/api/v1/p/blocking/block";

/// Nobody is moved off while this test runs.
fn patient(threads: usize) -> FrontOptions {
    FrontOptions { threads, moved_off: Duration::from_secs(600), ..FrontOptions::default() }
}

#[tokio::test]
async fn new_connections_are_served_while_all_threads_are_stuck() {
    let (server, gate) = start(patient(2)).await;
    let mut generations = several_blocking(&gate);
    generations.push(Fake::saying("fine", 1, "fine"));
    server.dispatch.publish(generations.iter().map(|generation| generation.routed(&[])).collect());
    // Three rounds: each finds the threads of one more runtime, and blocks them.
    let mut stuck = Vec::new();
    for (round, path) in ["/api/v1/p/one/", "/api/v1/p/two/", "/api/v1/p/three/"].into_iter().enumerate() {
        stuck.extend([ask(&server, path), ask(&server, path)]);
        until("they block", || gate.came() == 2 * (round + 1)).await;
        assert_eq!(answer(ask(&server, "/_/live")).await, fine("live"));
        assert_eq!(answer(ask(&server, "/api/v1/p/fine/")).await, fine("fine"));
    }
    assert!(stuck.iter().all(|asked| !asked.is_finished()));
    gate.set(true);
    for asked in stuck {
        assert_eq!(answer(asked).await, fine("camlock-serve"));
    }
}

#[tokio::test]
async fn a_connection_that_was_handed_to_stuck_threads_is_served_all_the_same() {
    let (server, gate) = start(patient(1)).await;
    let stuck = ask(&server, BLOCK);
    until("it blocks", || gate.came() == 1).await;
    // At once, long before anybody notices that the thread is stuck.
    let asked: Vec<_> = (0..20).map(|_| ask(&server, "/_/live")).collect();
    for asked in asked {
        assert_eq!(answer(asked).await, fine("live"));
    }
    gate.set(true);
    assert_eq!(answer(stuck).await, fine("camlock-serve"));
}

/// Plugins of which each could block all threads of several runtimes.
fn several_blocking(gate: &Arc<Gate>) -> Vec<Generation> {
    let blocking = ["one", "two", "three"].map(|name| {
        let gate = gate.clone();
        Fake::generation(name, 1, move |_, lease| {
            let gate = gate.clone();
            async move {
                let _lease = lease;
                gate.pass();
                Ok(text_answer(thread::current().name().unwrap_or_default()))
            }
        })
    });
    blocking.into()
}

#[tokio::test]
async fn a_burst_that_blocks_every_thread_it_gets_leaves_threads_to_others() {
    for round in 0..3 {
        let (server, gate) = start(FrontOptions { threads: 2, further: 3, ..FrontOptions::default() }).await;
        let mut generations = several_blocking(&gate);
        generations.push(Fake::saying("fine", 1, "fine"));
        server.dispatch.publish(generations.iter().map(|generation| generation.routed(&[])).collect());
        let mut stuck = Vec::new();
        for path in ["/api/v1/p/one/", "/api/v1/p/two/", "/api/v1/p/three/"] {
            // Many more than all runtimes together have threads.
            stuck.extend((0..20).map(|_| ask_once(&server, path)));
            let came = gate.came();
            until("it blocks", || gate.came() >= came + 2).await;
            // Who waits behind threads that are stuck is let go after a while, and comes again.
            let served = async { while once(ask_once(&server, "/api/v1/p/fine/")).await != Some(200) {} };
            timeout(PATIENCE, served).await.expect("others are served again while it blocks");
        }
        // And on: whoever has lost the right to serving threads blocks no more of them.
        for _ in 0..20 {
            assert_eq!(answer(ask(&server, "/api/v1/p/fine/")).await, fine("fine"), "round {round}");
        }
        assert!(!server.dispatch.blocked_list().all_stuck());
        assert!(!server.dispatch.blocked().is_empty(), "who blocks is named");
        gate.set(true);
        let answers = futures_util::future::join_all(stuck.into_iter().map(once)).await;
        assert!(answers.iter().flatten().all(|status| *status == 200), "{answers:?}");
        assert!(answers.iter().any(Option::is_some), "what a handler is at keeps its answer");
    }
}

#[tokio::test]
async fn that_no_thread_is_left_is_known() {
    let (server, gate) = start(FrontOptions { threads: 1, further: 0, ..patient(1) }).await;
    assert!(!server.dispatch.blocked_list().all_stuck());
    let stuck = ask(&server, BLOCK);
    until("it is known", || server.dispatch.blocked_list().all_stuck()).await;
    assert_eq!(&*server.dispatch.blocked().remove(0).plugin, "blocking");
    // A client that stays on its connection, as HTTP/2 does, is sent to another one.
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut http2, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://x/api/v1/p/fine/").body(Full::<Bytes>::default()).unwrap();
    let response = timeout(PATIENCE, http2.send_request(request)).await.expect("an answer").unwrap();
    assert_eq!(response.status(), 503);
    timeout(PATIENCE, connection).await.expect("it is closed").unwrap().unwrap();
    gate.set(true);
    assert_eq!(answer(stuck).await, fine("camlock-serve"));
    until("it is over", || !server.dispatch.blocked_list().all_stuck()).await;
}

#[tokio::test]
async fn the_host_s_own_paths_answer_when_no_thread_is_left() {
    let (server, gate) = start(FrontOptions { threads: 1, further: 0, ..patient(1) }).await;
    let stuck = ask(&server, BLOCK);
    until("it blocks", || gate.came() == 1).await;
    // Until that is noticed, a connection waits for the thread; then it is answered here.
    let (status, text) = answer(ask(&server, "/api/v1/p/fine/")).await;
    assert_eq!(status, 503);
    assert!(text.contains("all serving threads are blocked inside plugins"), "{text}");
    let (status, _) = answer(ask(&server, "/nowhere")).await;
    assert_eq!(status, 404);
    gate.set(true);
    assert_eq!(answer(stuck).await, fine("camlock-serve"));
    let again = async { while answer(ask(&server, "/api/v1/p/fine/")).await.0 != 200 {} };
    timeout(PATIENCE, again).await.expect("plugins are served again");
}

#[tokio::test]
async fn one_blocked_thread_does_not_keep_the_others_from_the_sockets() {
    let (server, gate) = start(FrontOptions { further: 0, ..patient(3) }).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let stuck = [ask(&server, BLOCK), ask(&server, BLOCK)];
    until("they block", || gate.came() == 2).await;
    for _ in 0..20 {
        let request = Request::get("/api/v1/p/fine/").header("host", "x").body(Full::<Bytes>::default()).unwrap();
        let response = timeout(PATIENCE, sender.send_request(request)).await.expect("an answer").unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
        sender.ready().await.unwrap();
    }
    gate.set(true);
    for asked in stuck {
        assert_eq!(answer(asked).await, fine("camlock-serve"));
    }
}

#[tokio::test]
async fn who_blocks_is_told_and_gets_threads_of_its_own() {
    let options = FrontOptions {
        threads: 1,
        further: 0,
        dedicated: 2,
        blocked: Duration::from_millis(150),
        moved_off: Duration::from_millis(400),
        ..FrontOptions::default()
    };
    let (server, gate) = start(options).await;
    assert_eq!(answer(ask(&server, "/api/v1/p/blocking/")).await, fine("camlock-serve"));
    let first = ask(&server, "/api/v1/p/blocking/block?secret=1");
    until("it is told", || !server.dispatch.blocked().is_empty()).await;
    let blocked = server.dispatch.blocked().remove(0);
    assert_eq!((&*blocked.plugin, blocked.generation, &*blocked.method), ("blocking", 1, "GET"));
    assert_eq!(blocked.route, BLOCK, "without what follows the path");
    assert!(blocked.lasting >= Duration::from_millis(150));
    until("it lasts", || server.dispatch.blocked().iter().any(|blocked| blocked.lasting.as_millis() > 600)).await;
    gate.set(true);
    assert_eq!(answer(first).await, fine("camlock-serve"));
    until("it is over", || server.dispatch.blocked().is_empty()).await;
    // The one serving thread is never blocked again.
    gate.set(false);
    let stuck = [ask(&server, BLOCK), ask(&server, BLOCK), ask(&server, BLOCK)];
    until("two block, and no more have threads", || gate.came() == 3).await;
    for _ in 0..10 {
        assert_eq!(answer(ask(&server, "/api/v1/p/fine/")).await, fine("fine"));
    }
    until("they are told too", || server.dispatch.blocked().len() == 2).await;
    // A new generation begins anew.
    let new =
        Fake::generation("blocking", 2, |_, _| async { Ok(text_answer(thread::current().name().unwrap_or_default())) });
    server.dispatch.publish(vec![new.routed(&[]), Fake::saying("fine", 1, "fine").routed(&[])]);
    assert_eq!(answer(ask(&server, "/api/v1/p/blocking/")).await, fine("camlock-serve"));
    gate.set(true);
    for asked in stuck {
        assert_eq!(answer(asked).await, fine("away-blocking"));
    }
}

#[tokio::test]
async fn what_runs_elsewhere_keeps_its_limits() {
    let options = FrontOptions {
        threads: 1,
        blocked: Duration::from_millis(100),
        moved_off: Duration::from_millis(100),
        ..FrontOptions::default()
    };
    let (server, gate) = start(options).await;
    let limited =
        blocking(1, &gate).limited(RequestLimits { timeout: Duration::from_millis(300), ..RequestLimits::default() });
    let leases = limited.serving.lease.watch();
    server.dispatch.publish(vec![limited.routed(&[])]);
    let first = ask(&server, BLOCK);
    until("it has long been noticed", || {
        server.dispatch.blocked().iter().any(|blocked| blocked.lasting > Duration::from_millis(300))
    })
    .await;
    gate.set(true);
    // What blocked its serving thread could not be cut; what blocks its own can.
    assert_eq!(answer(first).await.0, 200);
    gate.set(false);
    assert_eq!(answer(ask(&server, BLOCK)).await.0, 504);
    assert_eq!(leases.count_of(camlock_policy::Use::Request), 1, "it still runs");
    gate.set(true);
    until("it has ended", || leases.count_of(camlock_policy::Use::Request) == 0).await;
}

#[tokio::test]
async fn connections_finish_what_is_under_way() {
    let (server, gate) = start(patient(2)).await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(idle)).await.unwrap();
    let idle = tokio::spawn(connection);
    let request = || Request::get("/api/v1/p/fine/").header("host", "x").body(Full::<Bytes>::default()).unwrap();
    sender.send_request(request()).await.unwrap().into_body().collect().await.unwrap();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut http2, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://x/api/v1/p/fine/").body(Full::<Bytes>::default()).unwrap();
    http2.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    let busy = ask(&server, BLOCK);
    until("it blocks", || gate.came() == 1).await;
    server.front.stop_accepting().await;
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens");
    let ending = tokio::spawn({
        let server = server.clone();
        async move { server.front.end(Instant::now() + PATIENCE).await }
    });
    // Those that wait are closed at once, with a goodbye.
    timeout(PATIENCE, idle).await.expect("it ends").unwrap().unwrap();
    timeout(PATIENCE, connection).await.expect("it ends").unwrap().unwrap();
    assert!(!ending.is_finished());
    gate.set(true);
    assert_eq!(answer(busy).await, fine("camlock-serve"));
    assert_eq!(timeout(PATIENCE, ending).await.expect("an end").unwrap(), 0);
}

#[tokio::test]
async fn what_does_not_finish_is_cut() {
    let (server, gate) = start(patient(1)).await;
    let stuck = ask(&server, BLOCK);
    until("it blocks", || gate.came() == 1).await;
    assert_eq!(server.front.end(Instant::now() + Duration::from_millis(50)).await, 1);
    gate.set(true);
    // What its thread still does is not known; the connection ends.
    let _ = timeout(PATIENCE, stuck).await.expect("it ends");
}

#[tokio::test]
async fn a_kept_connection_behind_stuck_threads_is_answered_or_closed() {
    let (server, gate) = start(patient(2)).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut kept, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = || Request::get("/api/v1/p/fine/").header("host", "x").body(Full::<Bytes>::default()).unwrap();
    kept.send_request(request()).await.unwrap().into_body().collect().await.unwrap();
    let stuck = [ask(&server, BLOCK), ask(&server, BLOCK)];
    until("they block", || gate.came() == 2).await;
    let outcome = timeout(Duration::from_secs(10), kept.send_request(request())).await;
    assert!(outcome.is_ok(), "neither an answer nor the end within 10 s");
    gate.set(true);
    drop(stuck);
}
