//! What outlives the drain is ended, each in its own way; what is whole is left alone.

use crate::{
    fake::{Fake, Generation, text_answer},
    server::{PATIENCE, Server},
};
use bytes::Bytes;
use camlock_http::Dispatch;
use camlock_policy::{Body, Publish, Use};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::convert::Infallible;
use tokio::{sync::mpsc, time::timeout};

/// A plugin with one stream, and what it sends.
fn streaming(content_type: &'static str) -> (Generation, mpsc::UnboundedSender<&'static str>) {
    let (send, frames) = mpsc::unbounded_channel();
    let frames = std::sync::Mutex::new(Some(frames));
    let generation = Fake::generation("stream", 1, move |_, lease| {
        let frames = frames.lock().unwrap().take();
        async move {
            let state = (frames.expect("it is asked once"), lease.turn_into(Use::Body));
            let frames = futures_util::stream::unfold(state, |(mut frames, lease)| async move {
                let text: &str = frames.recv().await?;
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(text.as_bytes()))), (frames, lease)))
            });
            let mut answer = text_answer("");
            *answer.response.body_mut() = Body::stream(StreamBody::new(Box::pin(frames)));
            answer.response.headers_mut().insert("content-type", content_type.parse().unwrap());
            Ok(answer)
        }
    });
    (generation, send)
}

async fn open(generation: &Generation) -> (Server, hyper::body::Incoming) {
    let server = Server::start(Dispatch::default()).await;
    server.dispatch.publish(vec![generation.routed(&[])]);
    let request = Request::get("/api/v1/p/stream/").body(Full::<Bytes>::default()).unwrap();
    let body = server.open(request).await.into_body();
    (server, body)
}

async fn next(body: &mut hyper::body::Incoming) -> Option<Result<Bytes, hyper::Error>> {
    let frame = timeout(PATIENCE, body.frame()).await.expect("it goes on, or ends");
    frame.map(|frame| frame.map(|frame| frame.into_data().expect("data")))
}

fn nothing_is_left(generation: &Generation) {
    assert_eq!(generation.serving.lease.watch().count_of(Use::Body), 0);
}

#[tokio::test]
async fn events_end_between_two_events() {
    // Said while nothing is half sent, before anything was sent, and in the middle of an event.
    for before in ["data: 1\n\n", "", "data: 1\nda"] {
        let (generation, send) = streaming("text/event-stream");
        let (_server, mut body) = open(&generation).await;
        if !before.is_empty() {
            send.send(before).unwrap();
            assert_eq!(next(&mut body).await.unwrap().unwrap(), before);
        }
        generation.farewell.send_replace(true);
        if before.ends_with("da") {
            send.send("ta: 2\n").unwrap();
            assert_eq!(next(&mut body).await.unwrap().unwrap(), "ta: 2\n");
            send.send("\n").unwrap();
            assert_eq!(next(&mut body).await.unwrap().unwrap(), "\n");
            let _ = send.send("data: never seen\n\n");
        }
        assert!(next(&mut body).await.is_none(), "it ends as if there were no more");
        nothing_is_left(&generation);
    }
}

#[tokio::test]
async fn an_event_that_does_not_end_is_ended() {
    let (generation, send) = streaming("text/event-stream");
    let (_server, mut body) = open(&generation).await;
    send.send("data: 1").unwrap();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "data: 1");
    generation.farewell.send_replace(true);
    assert!(next(&mut body).await.is_none());
    nothing_is_left(&generation);
}

#[tokio::test]
async fn other_bodies_break_off() {
    let (generation, send) = streaming("application/octet-stream");
    let (_server, mut body) = open(&generation).await;
    send.send("some").unwrap();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "some");
    generation.farewell.send_replace(true);
    next(&mut body).await.expect("not a proper end").expect_err("the client sees that something is missing");
    nothing_is_left(&generation);
}

#[tokio::test]
async fn grpc_gets_a_status() {
    let (generation, send) = streaming("application/grpc");
    let server = Server::start(Dispatch::default()).await;
    server.dispatch.publish(vec![generation.routed(&[])]);
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://x/api/v1/p/stream/").body(Full::<Bytes>::default()).unwrap();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    send.send("message").unwrap();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "message");
    generation.farewell.send_replace(true);
    let trailers = timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(
        (&trailers["grpc-status"], &trailers["grpc-message"]),
        (&"14".parse().unwrap(), &"the plugin was replaced".parse().unwrap())
    );
    nothing_is_left(&generation);
}

#[tokio::test]
async fn a_supervisor_that_is_gone_says_nothing() {
    let (generation, send) = streaming("text/event-stream");
    let (_server, mut body) = open(&generation).await;
    drop(generation);
    for text in ["data: 1\n\n", "data: 2\n\n"] {
        send.send(text).unwrap();
        assert_eq!(next(&mut body).await.unwrap().unwrap(), text);
    }
    drop(send);
    assert!(next(&mut body).await.is_none());
}
