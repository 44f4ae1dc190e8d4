//! Clients that cost the server too much: those that take long to say what they want, and too many of them.

use crate::{
    fake::Fake,
    server::{PATIENCE, Server},
};
use axum::{Router, routing::get};
use bytes::Bytes;
use camlock_http::{Dispatch, FrontOptions};
use camlock_policy::{Answer, Body, Publish};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// All that an HTTP/2 connection begins with, and nothing more.
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: Duration = Duration::from_millis(400);

async fn start(connections: usize, head: Duration) -> Server {
    let dispatch = Dispatch::default();
    let slow = get(|| async {
        sleep(4 * HEAD).await;
        "slow"
    });
    dispatch.fall_through_to(Router::new().route("/_/live", get(|| async { "live" })).route("/_/slow", slow));
    Server::start_with(dispatch, FrontOptions { threads: 2, connections, head, ..FrontOptions::default() }).await
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.expect("a connection")
}

/// How long it takes until the server closes the connection.
async fn to_the_end(stream: &mut TcpStream) -> Duration {
    let (began, mut rest) = (Instant::now(), Vec::new());
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed");
    began.elapsed()
}

async fn answer(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is open");
    let mut text = String::new();
    while !text.contains("\r\n\r\n") || text.ends_with("\r\n\r\n") {
        let mut some = [0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut some)).await.expect("an answer").expect("it is open");
        assert!(read > 0, "it was closed: {text}");
        text.push_str(std::str::from_utf8(&some[..read]).expect("text"));
    }
    text
}

#[tokio::test]
async fn who_takes_long_to_ask_is_let_go() {
    let server = start(100, HEAD).await;
    for said in [
        "",
        "G",
        "GET /_/live HT",
        "PRI * HTTP",
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        PREFACE,
        "GET /_/live HTTP/1.1\r\nhost: test\r\nx-slow: ",
    ] {
        let mut stream = connect(&server).await;
        stream.write_all(said.as_bytes()).await.expect("it is open");
        let took = to_the_end(&mut stream).await;
        assert!(took >= HEAD / 2, "{said:?}: {took:?}");
    }
    // One byte at a time does not help.
    let mut stream = connect(&server).await;
    let (mut reading, mut writing) = stream.split();
    let drip = async {
        while writing.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let mut text = Vec::new();
    let closed = timeout(PATIENCE, reading.read_to_end(&mut text));
    tokio::select! { _ = closed => {}, () = drip => {} }
}

#[tokio::test]
async fn who_asked_is_waited_for_and_may_ask_again() {
    let server = start(100, HEAD).await;
    let mut stream = connect(&server).await;
    assert!(answer(&mut stream, "/_/slow").await.ends_with("slow"), "an answer may take its time");
    assert!(answer(&mut stream, "/_/live").await.ends_with("live"));
    sleep(HEAD / 4).await;
    assert!(answer(&mut stream, "/_/live").await.ends_with("live"));
    // A connection that nobody uses is closed as well.
    to_the_end(&mut stream).await;
}

type Http2 = (SendRequest<Full<Bytes>>, JoinHandle<Result<(), hyper::Error>>);

async fn http2(server: &Server) -> Http2 {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(connect(server).await))
            .await
            .expect("a handshake");
    (sender, tokio::spawn(connection))
}

async fn ask_http2(sender: &mut SendRequest<Full<Bytes>>, path: &str) -> Bytes {
    let request = Request::get(format!("http://test{path}")).body(Full::default()).expect("a request");
    let answer = timeout(PATIENCE, sender.send_request(request)).await.expect("in time").expect("an answer");
    answer.into_body().collect().await.expect("whole").to_bytes()
}

#[tokio::test]
async fn an_idle_http2_connection_is_let_go_and_a_busy_one_is_not() {
    let server = start(100, HEAD).await;
    let (mut sender, connection) = http2(&server).await;
    assert_eq!(ask_http2(&mut sender, "/_/slow").await, "slow", "an answer may take its time");
    assert_eq!(ask_http2(&mut sender, "/_/live").await, "live");
    timeout(PATIENCE, connection).await.expect("it is closed").expect("no panic").expect("properly");
}

#[tokio::test]
async fn an_http2_client_that_is_gone_is_noticed() {
    let server = start(1, HEAD).await;
    // It asks for something that takes long, and answers nothing that it is asked, as if its cable were cut.
    let mut stream = connect(&server).await;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream.write_all(&[PREFACE.as_bytes(), &settings].concat()).await.expect("it is open");
    to_the_end(&mut stream).await;
    assert!(answer(&mut connect(&server).await, "/_/live").await.ends_with("live"), "its place is free again");
}

#[tokio::test]
async fn an_address_has_no_more_than_its_share() {
    let dispatch = Dispatch::default();
    dispatch.fall_through_to(Router::new().route("/_/live", get(|| async { "live" })));
    let options = FrontOptions { threads: 2, connections_per_address: 2, ..FrontOptions::default() };
    let server = Server::start_with(dispatch, options).await;
    let (mut one, mut two) = (connect(&server).await, connect(&server).await);
    assert!(answer(&mut one, "/_/live").await.ends_with("live"));
    assert!(answer(&mut two, "/_/live").await.ends_with("live"));
    to_the_end(&mut connect(&server).await).await;
    // Others are served.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 2], 0).into()).expect("another address of this machine");
    let mut other = socket.connect(server.address).await.expect("a connection");
    assert!(answer(&mut other, "/_/live").await.ends_with("live"));
    drop(one);
    let began = Instant::now();
    loop {
        let mut again = connect(&server).await;
        let asked = again.write_all(b"GET /_/live HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
        let mut text = String::new();
        if asked.is_ok() && again.read_to_string(&mut text).await.is_ok() && text.ends_with("live") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "its place is never free again");
    }
}

#[tokio::test]
async fn an_upgraded_connection_is_counted() {
    let server = start(1, Duration::from_secs(60)).await;
    let (plugin, mut theirs) = duplex(64);
    let plugin = std::sync::Mutex::new(Some(plugin));
    let echo = Fake::generation("echo", 1, move |_, _| {
        let plugin = plugin.lock().expect("no panic").take().expect("it is asked once");
        async move {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("upgrade", "echo".parse().expect("a value"));
            response.headers_mut().insert("connection", "upgrade".parse().expect("a value"));
            Ok(Answer { response, connection: Some(Box::pin(plugin)) })
        }
    });
    server.dispatch.publish(vec![echo.routed(&[])]);
    let mut upgraded = connect(&server).await;
    let request = "GET /api/v1/p/echo/ HTTP/1.1\r\nhost: test\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nhello";
    upgraded.write_all(request.as_bytes()).await.expect("it is open");
    let mut said = [0; 5];
    timeout(PATIENCE, theirs.read_exact(&mut said)).await.expect("in time").expect("it is relayed");
    assert_eq!(&said, b"hello");
    let mut next = connect(&server).await;
    let waiting = tokio::spawn(async move { answer(&mut next, "/_/live").await });
    sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "the upgraded connection has the one place that there is");
    drop((upgraded, theirs));
    assert!(timeout(PATIENCE, waiting).await.expect("its turn").expect("no panic").ends_with("live"));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let server = start(2, Duration::from_secs(60)).await;
    let (mut one, mut two) = (connect(&server).await, connect(&server).await);
    assert!(answer(&mut one, "/_/live").await.ends_with("live"));
    assert!(answer(&mut two, "/_/live").await.ends_with("live"));
    let mut three = connect(&server).await;
    let waiting = tokio::spawn(async move { answer(&mut three, "/_/live").await });
    sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    assert!(answer(&mut one, "/_/live").await.ends_with("live"), "the others go on");
    drop(one);
    assert!(timeout(PATIENCE, waiting).await.expect("its turn").expect("no panic").ends_with("live"));
}

/// Says that it uploads more than is taken, sends some of it, and reads the refusal to the end.
async fn refused_upload(server: &Server) -> TcpStream {
    let mut stream = connect(server).await;
    let head = "POST /_/nowhere HTTP/1.1\r\nhost: test\r\ncontent-length: 100000000\r\n\r\nthe beginning";
    stream.write_all(head.as_bytes()).await.expect("it is open");
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("an end").expect("it is not reset");
    assert!(text.starts_with("HTTP/1.1 404"), "{text}");
    stream
}

#[tokio::test]
async fn who_still_sends_when_it_is_answered_can_read_the_answer() {
    let server = start(1, Duration::from_secs(60)).await;
    let mut stream = refused_upload(&server).await;
    // Bytes that nobody reads would be answered with a reset.
    for _ in 0..20 {
        stream.write_all(&[0; 100_000]).await.expect("it is read");
        sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    // The one connection that there may be is free again.
    let mut stream = connect(&server).await;
    assert!(answer(&mut stream, "/_/live").await.ends_with("live"));
}

#[tokio::test]
async fn who_sends_without_end_is_let_go() {
    let server = start(1, Duration::from_secs(60)).await;
    let mut stream = refused_upload(&server).await;
    let began = Instant::now();
    while stream.write_all(&[0; 1_000]).await.is_ok() {
        assert!(began.elapsed() < PATIENCE, "it is read for ever");
        sleep(Duration::from_millis(5)).await;
    }
    let mut stream = connect(&server).await;
    assert!(answer(&mut stream, "/_/live").await.ends_with("live"));
}
