//! What the server does about plugins that take too long, take too much, block their threads, or do not come to an end.

use crate::{
    capture,
    direct::until,
    harness::{Host, Served, run},
};
use bytes::Bytes;
use camlock_http::FrontOptions;
use camlock_policy::{Loaded, Publish, RequestLimits, Use, routes::Serving};
use camlock_testing::{Fixtures, trial};
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::watch};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest, protocol::frame::coding::CloseCode};

fn library(name: &str) -> std::path::PathBuf {
    Fixtures::quick().library(name)
}

#[trial]
fn limits() {
    run(async {
        let host = Host::new();
        let limits = RequestLimits { timeout: Duration::from_millis(200), body: Some(1000), concurrency: 2 };
        let served = host.serve_with(&library("features"), limits).await;
        assert_eq!(served.get("/hang").await.status(), StatusCode::GATEWAY_TIMEOUT);
        let chunks = (0..11).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[7; 100]))));
        let chunks = StreamBody::new(futures_util::stream::iter(chunks.collect::<Vec<_>>()));
        let answer = served.open(Request::post("/upload").body(chunks).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(served.post("/upload", "text/plain", vec![7; 1000]).await.body(), "1000");
        assert_eq!(served.post("/upload", "text/plain", vec![7; 1001]).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
        // Three at once, of which none ends by itself.
        let asked = (0..3).map(|_| served.get("/hang"));
        let mut statuses: Vec<_> =
            futures_util::future::join_all(asked).await.iter().map(|answer| answer.status().as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [503, 504, 504]);
        served.unload_wholly().await;
    });
}

fn ask(served: &Arc<Served>, path: &'static str) -> tokio::task::JoinHandle<String> {
    let served = served.clone();
    tokio::spawn(async move { served.text(path).await })
}

async fn unload(served: Arc<Served>) {
    let served = Arc::into_inner(served).expect("nobody asks any more");
    served.unload_wholly().await;
}

/// What the operator reads of a handler that blocks.
fn was_reported(message: &str, route: &str) -> bool {
    capture::records(message).iter().any(|record| record["plugin"] == "faults" && record["route"] == route)
}

#[trial]
fn handlers_that_block_every_thread() {
    run(async {
        let host = Host::new();
        let options = FrontOptions { threads: 2, moved_off: Duration::from_secs(600), ..FrontOptions::default() };
        let served = Arc::new(host.serve_as(&library("faults"), RequestLimits::default(), options).await);
        let blocked = [ask(&served, "/block/6000"), ask(&served, "/block/6000")];
        until("both block", async || served.leases.count_of(Use::Request) == 2).await;
        // Somebody else's request, the same plugin's too, over a new connection.
        assert_eq!(served.text("/fine").await, "fine");
        assert!(blocked.iter().all(|asked| !asked.is_finished()), "it was answered while they blocked");
        let route = "GET /api/v1/p/faults/block/6000";
        until("it is told while it happens", async || was_reported("a handler has blocked its thread for", route))
            .await;
        for asked in blocked {
            assert_eq!(asked.await.unwrap(), "at last");
        }
        unload(served).await;
    });
}

#[trial]
fn a_plugin_that_goes_on_blocking() {
    run(async {
        let host = Host::new();
        let options = FrontOptions {
            threads: 1,
            further: 0,
            blocked: Duration::from_millis(200),
            moved_off: Duration::from_millis(400),
            ..FrontOptions::default()
        };
        let served = Arc::new(host.serve_as(&library("faults"), RequestLimits::default(), options).await);
        assert_eq!(ask(&served, "/block/900").await.unwrap(), "at last");
        let route = "GET /api/v1/p/faults/block/900";
        until("it is moved off", async || was_reported("it blocks serving threads", route)).await;
        // There is one serving thread, and it is free: the requests overlap, and streams go on.
        let blocked = [ask(&served, "/block/5000"), ask(&served, "/block/5000"), ask(&served, "/block/5000")];
        until("all block", async || served.leases.count_of(Use::Request) == 3).await;
        assert_eq!(served.text("/fine").await, "fine");
        let request = Request::get("/endless/3").body(Full::<Bytes>::default()).unwrap();
        let mut body = served.open(request).await.into_body();
        for _ in 0..3 {
            assert!(!body.frame().await.expect("a frame").expect("no error").into_data().unwrap().is_empty());
        }
        drop(body);
        for asked in blocked {
            assert_eq!(asked.await.unwrap(), "at last");
        }
        until("the body is dropped", async || served.leases.count_of(Use::Body) == 0).await;
        unload(served).await;
    });
}

#[trial]
fn websockets_end_between_two_frames() {
    run(async {
        let host = Host::new();
        let (served, other) = (host.serve(&library("features")).await, host.serve(&library("features")).await);
        let connect = async |served: &Served| {
            let request = served.url("/socket").replace("http://", "ws://").into_client_request().unwrap();
            tokio_tungstenite::connect_async(request).await.unwrap().0
        };
        let mut untouched = connect(&other).await;
        for size in [10, 100_000] {
            let (mut send, mut receive) = connect(&served).await.split();
            // Much is under way in both directions when the farewell is said.
            let sending = tokio::spawn(async move {
                while send.send(Message::binary(vec![7; size])).await.is_ok() {}
                send
            });
            for _ in 0..20 {
                assert_eq!(receive.next().await.unwrap().unwrap().len(), size);
            }
            served.farewell.send_replace(true);
            let close = loop {
                match receive.next().await.expect("a goodbye").expect("whole frames") {
                    Message::Binary(bytes) => assert_eq!(bytes.len(), size),
                    Message::Close(frame) => break frame.expect("with a code"),
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!((close.code, close.reason.as_str()), (CloseCode::Restart, "service restart"));
            drop((receive, sending.await.unwrap()));
            served.farewell.send_replace(false);
        }
        until("they are gone", async || served.leases.count_of(Use::Connection) == 0).await;
        untouched.send(Message::text("hello")).await.unwrap();
        assert_eq!(untouched.next().await.unwrap().unwrap(), Message::text("HELLO"));
        untouched.close(None).await.unwrap();
        while untouched.next().await.is_some() {}
        served.unload_wholly().await;
        other.unload_wholly().await;
    });
}

#[trial]
fn streams_end_in_their_own_way() {
    run(async {
        let host = Host::new();
        let served = host.serve(&library("features")).await;
        let open = async |path: &str| {
            served.open(Request::get(path).body(Full::<Bytes>::default()).unwrap()).await.into_body()
        };
        let (mut events, mut download) = (open("/events/endless").await, open("/download/100000000000").await);
        for body in [&mut events, &mut download] {
            body.frame().await.expect("a frame").expect("no error");
        }
        served.farewell.send_replace(true);
        let mut text = String::new();
        while let Some(frame) = events.frame().await {
            text.push_str(std::str::from_utf8(&frame.expect("a proper end").into_data().unwrap()).unwrap());
        }
        assert!(text.is_empty() || text.ends_with("\n\n"), "{text}");
        while download.frame().await.expect("it is seen that something is missing").is_ok() {}
        until("nothing is left", async || served.leases.count_of(Use::Body) == 0).await;
        served.unload_wholly().await;
    });
}

/// The plugin under test and another one, in one table.
async fn beside(host: &Host, served: &Served, other: &str) -> Loaded {
    let other = host.load(&library(other)).await;
    other.instance.start().await.expect("it starts");
    let this = Serving {
        name: "faults".into(),
        generation: 1,
        instance: served.instance.clone(),
        lease: served.leases.try_share(Use::Owner).expect("it is alive"),
        limits: RequestLimits::default(),
        farewell: served.farewell.subscribe(),
    };
    let (_, farewell) = watch::channel(false);
    let beside = Serving::of(&other, 1, RequestLimits::default(), farewell).expect("it is alive");
    served.dispatch.publish(vec![this.routed(Vec::new()), beside.routed(vec!["/beside/*".to_owned()])]);
    other
}

/// The status of a request to any path of the server, over a connection of its own.
async fn status(served: &Served, path: &str) -> Option<u16> {
    let stream = TcpStream::connect(served.address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "plugins.test").body(Full::<Bytes>::default()).unwrap();
    Some(sender.send_request(request).await.ok()?.status().as_u16())
}

#[trial]
fn a_burst_that_loops() {
    for _ in 0..3 {
        run(async {
            let host = Host::new();
            let options = FrontOptions { threads: 2, further: 3, ..FrontOptions::default() };
            let served = Arc::new(host.serve_as(&library("faults"), RequestLimits::default(), options).await);
            let other = beside(&host, &served, "features").await;
            // Far more than there are threads, and none of them ends by itself.
            let burst: Vec<_> = (0..40)
                .map(|_| {
                    let served = served.clone();
                    tokio::spawn(async move { status(&served, "/api/v1/p/faults/spin").await })
                })
                .collect();
            until("they loop", async || !served.dispatch.blocked().is_empty()).await;
            let answers = async || status(&served, "/api/v1/p/features/path").await.is_some_and(|status| status != 503);
            until("others are served again", answers).await;
            for _ in 0..20 {
                assert!(answers().await, "and from then on always");
            }
            let blocked = served.dispatch.blocked();
            assert!(blocked.iter().all(|blocked| &*blocked.plugin == "faults"), "{blocked:?}");
            assert!(!blocked.is_empty() && !served.dispatch.blocked_list().all_stuck());
            for asked in burst {
                asked.abort();
                let _ = asked.await;
            }
            // Its handlers end once it is shut down, and it goes as any other.
            unload(served).await;
            drop(other);
        });
    }
}

#[trial]
fn answers_that_nobody_reads() {
    run(async {
        let host = Host::new();
        let served = host.serve(&library("faults")).await;
        let path = format!("{}/endless/{}", served.mount, usize::MAX);
        // One connection that takes nothing, and one HTTP/2 stream that lets nothing through.
        let mut unread = TcpStream::connect(served.address).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nhost: plugins.test\r\n\r\n");
        unread.write_all(request.as_bytes()).await.expect("it is open");
        let stream = TcpStream::connect(served.address).await.expect("a connection");
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(0);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        let request = Request::get(format!("http://plugins.test{path}")).body(Full::<Bytes>::default()).unwrap();
        let answer = sender.send_request(request).await.expect("an answer");
        until("both are under way", async || served.leases.count_of(Use::Body) == 2).await;
        served.farewell.send_replace(true);
        served.unload_wholly().await;
        drop((unread, answer));
    });
}
