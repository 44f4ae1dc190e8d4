//! Clients that cost the server too much: those that take long to say what they want, and too many of them.

use crate::server::{PATIENCE, Server};
use axum::{Router, routing::get};
use camlock_http::{Dispatch, FrontOptions};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

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

/// What still comes until the server closes the connection, and how long that took.
async fn to_the_end(stream: &mut TcpStream) -> (String, Duration) {
    let (began, mut text) = (Instant::now(), Vec::new());
    let _ = timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("it is closed");
    (String::from_utf8(text).expect("text"), began.elapsed())
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
    for said in ["", "G", "GET /_/live HT", "PRI * HTTP", "GET /_/live HTTP/1.1\r\nhost: test\r\nx-slow: "] {
        let mut stream = connect(&server).await;
        stream.write_all(said.as_bytes()).await.expect("it is open");
        let (_, took) = to_the_end(&mut stream).await;
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
