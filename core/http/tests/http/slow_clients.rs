//! Clients that do not read what is written to them keep nothing of a plugin, and no connection for good.

use crate::{
    fake::{Fake, Generation, text_answer},
    server::{PATIENCE, Server},
};
use bytes::Bytes;
use camlock_http::{Dispatch, FrontOptions};
use camlock_policy::{Answer, Body, Publish, Use};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// More than all buffers on the way have room for.
const LARGE: usize = 64 << 20;
/// An HTTP/2 client that lets no byte of an answer through.
const NO_WINDOW: u32 = 0;

/// A plugin whose answers are large, whole at `/whole`, else in pieces; each holds a lease until it is gone.
fn large(number: u64) -> Generation {
    Fake::generation("large", number, |call, lease| async move {
        let lease = lease.turn_into(Use::Body);
        let body = if call.request.uri().path().ends_with("/whole") {
            // The memory is the plugin's, and keeps its lease.
            struct Leased(Vec<u8>, #[allow(dead_code, reason = "it is held")] camlock_policy::Lease);
            impl AsRef<[u8]> for Leased {
                fn as_ref(&self) -> &[u8] {
                    &self.0
                }
            }
            Body::from(Bytes::from_owner(Leased(vec![b'x'; LARGE], lease)))
        } else {
            let pieces = futures_util::stream::unfold(lease, |lease| async move {
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 16 << 10]))), lease))
            });
            Body::stream(StreamBody::new(Box::pin(pieces)))
        };
        Ok(Answer { response: Response::new(body), connection: None })
    })
}

fn unfinished(generation: &Generation) -> usize {
    generation.serving.lease.watch().count_of(Use::Body)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn start(generation: &Generation, options: FrontOptions) -> Server {
    let server = Server::start_with(Dispatch::default(), FrontOptions { threads: 2, ..options }).await;
    server.dispatch.publish(vec![generation.routed(&[]), Fake::saying("fine", 1, "fine").routed(&[])]);
    server
}

/// Asks, and reads nothing.
async fn ask_and_read_nothing(server: &Server, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let request = format!("GET /api/v1/p/large{path} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is open");
    stream
}

type Http2 = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn http2(server: &Server) -> Http2 {
    let stream = TcpStream::connect(server.address).await.expect("a connection");
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(NO_WINDOW);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

async fn ask_http2(sender: &mut Http2, path: &str) -> Response<hyper::body::Incoming> {
    let request = Request::get(format!("http://test/api/v1/p/large{path}")).body(Full::default()).expect("a request");
    timeout(PATIENCE, sender.send_request(request)).await.expect("in time").expect("a response")
}

#[tokio::test]
async fn what_nobody_reads_is_cut_at_the_farewell() {
    for path in ["/whole", "/pieces"] {
        let generation = large(1);
        let server = start(&generation, FrontOptions::default()).await;
        let mut sender = http2(&server).await;
        let answer = ask_http2(&mut sender, path).await;
        let stream = ask_and_read_nothing(&server, path).await;
        until("both are answered", || unfinished(&generation) == 2).await;
        // Another generation serves by now; the old one has had its time.
        server.dispatch.publish(vec![large(2).routed(&[])]);
        generation.farewell.send_replace(true);
        until("nothing of it is left", || unfinished(&generation) == 0).await;
        // The stream was cut, and not what else there is on its connection.
        answer.into_body().collect().await.expect_err("it was cut");
        assert!(!sender.is_closed(), "{path}");
        drop(stream);
    }
}

#[tokio::test]
async fn who_reads_nothing_for_too_long_is_cut() {
    let generation = large(1);
    let options = FrontOptions { write: Duration::from_secs(1), ..FrontOptions::default() };
    let server = start(&generation, options).await;
    let mut streams = Vec::new();
    let mut sender = http2(&server).await;
    let mut kept = Vec::new();
    for path in ["/whole", "/pieces"] {
        streams.push(ask_and_read_nothing(&server, path).await);
        kept.push(ask_http2(&mut sender, path).await);
    }
    until("all are answered", || unfinished(&generation) == 4).await;
    until("they are cut", || unfinished(&generation) == 0).await;
    for answer in kept {
        answer.into_body().collect().await.expect_err("it was cut");
    }
    // Who reads, if only now and then, is not.
    let mut slow = ask_and_read_nothing(&server, "/pieces").await;
    let (began, mut some) = (Instant::now(), vec![0; 1 << 20]);
    while began.elapsed() < Duration::from_secs(3) {
        assert!(slow.read(&mut some).await.expect("it goes on") > 0);
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_waits_for_a_plugin_is_not_cut() {
    // An HTTP/2 stream whose plugin says something only now and then, for longer than a client may take.
    let generation = Fake::generation("large", 1, |_, lease| async move {
        let pieces = futures_util::stream::unfold((lease, 0), |(lease, count)| async move {
            sleep(Duration::from_millis(1_500)).await;
            (count < 2).then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))), (lease, count + 1)))
        });
        let mut answer = text_answer("");
        *answer.response.body_mut() = Body::stream(StreamBody::new(Box::pin(pieces)));
        Ok(answer)
    });
    let server = start(&generation, FrontOptions { write: Duration::from_secs(1), ..FrontOptions::default() }).await;
    let stream = TcpStream::connect(server.address).await.expect("a connection");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let answer = ask_http2(&mut sender, "/").await;
    let text = timeout(PATIENCE, answer.into_body().collect()).await.expect("in time").expect("whole").to_bytes();
    assert_eq!(text, "xx");
}
