use super::*;
use crate::frames::{FrameKind, FrameWriter, HEADER, SizeBounds, StatusHead};
use bytes::{BufMut, Bytes};
use camlock_policy::Body;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use std::{
    io::{Read, Write},
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers by path.
#[derive(Default)]
pub(super) struct Answering {
    cancelled: Arc<AtomicUsize>,
}

struct CountsDrop(Arc<AtomicUsize>);
impl Drop for CountsDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// So many bytes in frames of so many, then trailers.
struct Stream {
    left: usize,
    piece: usize,
    trailers: bool,
    made: Arc<AtomicUsize>,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            if std::mem::take(&mut self.trailers) {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-last", "word".parse().unwrap());
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            return Poll::Ready(None);
        }
        let count = self.piece.min(self.left);
        self.left -= count;
        self.made.fetch_add(count, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; count])))))
    }
}

fn stream(left: usize, piece: usize) -> Stream {
    Stream { left, piece, trailers: false, made: Arc::default() }
}

impl Serve for Answering {
    fn takes(&self, kind: RequestKind) -> bool {
        kind == RequestKind::Call
    }

    fn serve(&self, _: RequestKind, call: Call) -> BoxFuture<Result<Answer, Fault>> {
        let cancelled = self.cancelled.clone();
        Box::pin(async move {
            let (head, body) = call.request.into_parts();
            let answer = |body: Body| Ok(Answer { response: Response::new(body), connection: None });
            match head.uri.path() {
                "/echo" => answer(body),
                "/count" => {
                    let mut body = body;
                    let mut count = 0;
                    while let Some(frame) = body.frame().await {
                        match frame {
                            Ok(frame) => count += frame.data_ref().map_or(0, Bytes::len),
                            Err(error) => return answer(format!("{count} {error}").into()),
                        }
                    }
                    answer(count.to_string().into())
                }
                "/ignore" => answer("ignored".to_owned().into()),
                "/trailers" => answer(Body::stream(Stream { trailers: true, ..stream(100_000, 9_999) })),
                "/forever" => answer(Body::stream(stream(usize::MAX, 10_000))),
                "/hang" => {
                    let _counts = CountsDrop(cancelled);
                    std::future::pending().await
                }
                "/panic" => Err(Fault::new(FaultKind::Panic, "it panicked")),
                "/connect" => {
                    let (near, mut far) = tokio::io::duplex(4096);
                    tokio::spawn(async move {
                        let mut bytes = vec![0; 4096];
                        loop {
                            match far.read(&mut bytes).await {
                                Ok(0) | Err(_) => break,
                                Ok(count) => far.write_all(&bytes[..count].to_ascii_uppercase()).await.unwrap(),
                            }
                        }
                        far.write_all(b"bye").await.unwrap();
                    });
                    let mut response = Response::new(Body::empty());
                    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                    Ok(Answer { response, connection: Some(Box::pin(near)) })
                }
                _ => Err(Fault::new(FaultKind::Error, "nowhere")),
            }
        })
    }
}

struct Pair {
    host: Link,
    runner: Link,
    cancelled: Arc<AtomicUsize>,
}

fn pair() -> Pair {
    let (one, other) = UnixStream::pair().unwrap();
    let answering = Answering::default();
    let cancelled = answering.cancelled.clone();
    let host = Link::begin(one, End::Host, Arc::new(Answering::default()), &Handle::current()).unwrap();
    let runner = Link::begin(other, End::Runner, Arc::new(answering), &Handle::current()).unwrap();
    Pair { host, runner, cancelled }
}

pub(super) fn call(path: &str, body: impl Into<Body>) -> Call {
    Call::new(Request::post(path).body(body.into()).unwrap())
}

async fn text(link: &Link, path: &str, body: impl Into<Body>) -> String {
    let answer = link.ask(RequestKind::Call, call(path, body)).await.expect("an answer");
    let bytes = answer.response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never: {what}");
}

fn nothing_left(pair: &Pair) -> bool {
    pair.host.0.state.lock().streams.is_empty() && pair.runner.0.state.lock().streams.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_at_once() {
    let pair = pair();
    let asks = (0..200).map(|number| {
        let (link, other) = (pair.host.clone(), pair.runner.clone());
        tokio::spawn(async move {
            assert_eq!(text(&link, "/echo", number.to_string()).await, number.to_string());
            let long = "x".repeat(number * 2000);
            assert_eq!(text(&other, "/echo", long.clone()).await, long);
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        ask.await.unwrap();
    }
    until("all streams are forgotten", || nothing_left(&pair)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_both_ways() {
    let pair = pair();
    let total = 64 << 20;
    assert_eq!(text(&pair.host, "/count", Body::stream(stream(total, 100_000))).await, total.to_string());
    let answer = pair.host.ask(RequestKind::Call, call("/echo", Body::stream(stream(total, 5000)))).await.unwrap();
    let mut body = answer.response.into_body();
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        count += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(count, total);
    drop(body);
    until("all streams are forgotten", || nothing_left(&pair)).await;
}

#[tokio::test]
async fn trailers_and_failures() {
    let pair = pair();
    let answer = pair.host.ask(RequestKind::Call, call("/trailers", Body::empty())).await.unwrap();
    let collected = answer.response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-last"], "word");
    assert_eq!(collected.to_bytes().len(), 100_000);
    let fault = pair.host.ask(RequestKind::Call, call("/panic", Body::empty())).await.unwrap_err();
    assert_eq!((fault.kind, &*fault.message), (FaultKind::Panic, "it panicked"));
    let mut sent = 0;
    let breaking = http_body_util::StreamBody::new(futures_of(move || {
        sent += 1;
        if sent < 4 { Some(Ok(Frame::data(Bytes::from_static(&[0; 50])))) } else { Some(Err("the client went away")) }
    }));
    assert_eq!(text(&pair.host, "/count", Body::stream(breaking)).await, "150 the client went away");
    until("all streams are forgotten", || nothing_left(&pair)).await;
}

/// A stream of what a function gives.
fn futures_of<T>(next: impl FnMut() -> Option<T> + Unpin) -> impl futures_core::Stream<Item = T> + Unpin {
    struct Of<F>(F);
    impl<T, F: FnMut() -> Option<T> + Unpin> futures_core::Stream for Of<F> {
        type Item = T;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
            Poll::Ready((self.0)())
        }
    }
    Of(next)
}

/// Who does not read holds up its own sender, and nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_reads_waits() {
    let pair = pair();
    let made = Arc::new(AtomicUsize::new(0));
    let mut waiting_bodies = Vec::new();
    for _ in 0..40 {
        let body = Body::stream(Stream { made: made.clone(), ..stream(usize::MAX, 10_000) });
        let asking = pair.host.ask(RequestKind::Call, call("/echo", body));
        let answer = asking.await.unwrap();
        waiting_bodies.push(answer.response.into_body());
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let waiting = made.load(Ordering::SeqCst);
    assert!(waiting < 40 * 400_000, "{waiting}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(made.load(Ordering::SeqCst), waiting, "nothing more is made");
    assert_eq!(text(&pair.host, "/count", Body::stream(stream(10 << 20, 60_000))).await, (10 << 20).to_string());
    drop(waiting_bodies);
    until("all streams are forgotten", || nothing_left(&pair)).await;
    assert_eq!(pair.host.0.state.lock().pool.left(), window::POOL);
    assert_eq!(pair.runner.0.state.lock().pool.left(), window::POOL);
}

#[tokio::test]
async fn what_is_dropped_is_cancelled() {
    let pair = pair();
    let hanging = pair.host.ask(RequestKind::Call, call("/hang", Body::stream(stream(usize::MAX, 1000))));
    assert!(tokio::time::timeout(Duration::from_millis(50), hanging).await.is_err());
    until("it is cancelled", || pair.cancelled.load(Ordering::SeqCst) == 1).await;
    let forever = pair.host.ask(RequestKind::Call, call("/forever", Body::empty())).await.unwrap();
    let mut body = forever.response.into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    drop(body);
    // A body that nobody reads does not hold up the answer, and is not sent for ever.
    assert_eq!(text(&pair.host, "/ignore", Body::stream(stream(usize::MAX, 1000))).await, "ignored");
    until("all streams are forgotten", || nothing_left(&pair)).await;
}

/// What a client sends only when it is asked for is asked for by who reads it.
#[tokio::test]
async fn a_body_that_waits_for_the_word() {
    let pair = pair();
    let made = Arc::new(AtomicUsize::new(0));
    let waiting = |path: &str| {
        let body = Body::stream(Stream { made: made.clone(), ..stream(100_000, 1000) });
        let mut call = call(path, body);
        call.request.headers_mut().insert("expect", "100-continue".parse().unwrap());
        call
    };
    let answer = pair.host.ask(RequestKind::Call, waiting("/ignore")).await.unwrap();
    assert!(answer.response.status().is_success());
    assert_eq!(made.load(Ordering::SeqCst), 0);
    let answer = pair.host.ask(RequestKind::Call, waiting("/count")).await.unwrap();
    assert_eq!(answer.response.into_body().collect().await.unwrap().to_bytes(), "100000");
    until("all streams are forgotten", || nothing_left(&pair)).await;
}

#[tokio::test]
async fn connections() {
    let pair = pair();
    let answer =
        pair.host.ask(RequestKind::Call, Call { upgrade: true, ..call("/connect", Body::empty()) }).await.unwrap();
    let mut connection = answer.connection.unwrap();
    connection.write_all(b"hello").await.unwrap();
    let mut five = [0; 5];
    connection.read_exact(&mut five).await.unwrap();
    assert_eq!(&five, b"HELLO");
    let (mut reading, mut writing) = tokio::io::split(connection);
    let sending = async {
        writing.write_all(&vec![b'a'; 3 << 20]).await.unwrap();
        writing.shutdown().await.unwrap();
    };
    let mut read = Vec::new();
    let (_, count) = tokio::join!(sending, reading.read_to_end(&mut read));
    assert_eq!(count.unwrap(), (3 << 20) + 3);
    assert!(read.ends_with(b"AAbye"));
    drop((reading, writing));
    until("all streams are forgotten", || nothing_left(&pair)).await;
}

#[tokio::test]
async fn the_end_of_a_link_ends_what_is_under_way() {
    let pair = pair();
    let hanging = tokio::spawn(pair.host.ask(RequestKind::Call, call("/hang", Body::empty())));
    let mut body =
        pair.host.ask(RequestKind::Call, call("/forever", Body::empty())).await.unwrap().response.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    pair.runner.close("enough");
    assert_eq!(hanging.await.unwrap().unwrap_err().kind, FaultKind::Ended);
    let broken = loop {
        if let Err(error) = body.frame().await.expect("it does not end well") {
            break error.to_string();
        }
    };
    assert!(broken.contains("process ended"), "{broken}");
    let late = pair.host.ask(RequestKind::Call, call("/echo", Body::empty())).await.unwrap_err();
    assert_eq!(late.kind, FaultKind::Ended);
    let why = pair.host.closed().borrow().clone().unwrap();
    assert!(why.starts_with("the other end "), "{why}");
    until("it is cancelled", || pair.cancelled.load(Ordering::SeqCst) == 1).await;
}

/// A runner that speaks nonsense in frames that are well-formed each for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_breaks_the_order_is_closed_with_a_sentence() {
    let head = || StatusHead { status: StatusCode::OK, headers: HeaderMap::new(), upgraded: false };
    let piece = |writer: &mut FrameWriter, stream: u64, length: usize| {
        writer.piece(stream, FrameKind::Body, length, false);
        writer.0.put_bytes(0, length);
    };
    let none = SizeBounds::default();
    type Speak<'a> = Box<dyn Fn(&mut FrameWriter) + 'a>;
    let cases: Vec<(Speak<'_>, &str)> = vec![
        (Box::new(|out| out.reset(3, None)), "a frame belongs to stream 3, which nobody opened"),
        (Box::new(|out| out.credit(2, 5)), "a frame belongs to stream 2, which nobody opened"),
        (
            Box::new(|out| {
                out.request(1, RequestKind::Ask, &call("/", Body::empty()), b"", (true, none)).unwrap();
            }),
            "stream 1 was opened out of order",
        ),
        (
            Box::new(|out| {
                out.request(2, RequestKind::Ask, &call("/", Body::empty()), b"", (true, none)).unwrap();
            }),
            "Ask is nothing that this end is asked",
        ),
        (Box::new(|out| piece(out, 1, 1)), "bytes came on stream 1, on which there are none to come"),
        (
            Box::new(|out| out.piece(1, FrameKind::End, 0, false)),
            "the body of stream 1 ended twice, or before it began",
        ),
        (
            Box::new(|out| {
                out.response(1, &head(), b"", (false, none)).unwrap();
                out.response(1, &head(), b"", (false, none)).unwrap();
            }),
            "stream 1 was answered without a question",
        ),
        (
            Box::new(|out| {
                out.response(1, &head(), b"", (false, none)).unwrap();
                piece(out, 1, 65536);
                piece(out, 1, 1);
            }),
            "more bytes came on stream 1 than there was credit for",
        ),
        (
            Box::new(|out| {
                out.response(1, &head(), b"", (true, none)).unwrap();
                out.trailers(1, &HeaderMap::new()).unwrap();
            }),
            "the body of stream 1 ended twice, or before it began",
        ),
        (
            Box::new(|out| {
                out.credit(1, 1 << 30);
            }),
            "stream 1 was given more credit than there can be",
        ),
        (Box::new(|out| out.0.put_bytes(0xff, HEADER)), "there is no frame of kind 255"),
    ];
    for (speak, why) in cases {
        let (one, mut other) = UnixStream::pair().unwrap();
        let host = Link::begin(one, End::Host, Arc::new(Answering::default()), &Handle::current()).unwrap();
        let asking = host.ask(RequestKind::Call, call("/", Body::empty()));
        let asked = tokio::spawn(asking);
        let mut header = [0; HEADER];
        other.read_exact(&mut header).unwrap();
        let mut out = FrameWriter::default();
        speak(&mut out);
        other.write_all(&out.0).unwrap();
        let mut closed = host.closed();
        let closed = tokio::time::timeout(Duration::from_secs(5), closed.wait_for(Option::is_some)).await;
        let told = closed.expect(why).unwrap().clone().unwrap();
        assert_eq!(told, format!("it was sent nonsense: {why}"));
        match asked.await.unwrap() {
            Err(fault) => assert_eq!(fault.kind, FaultKind::Ended),
            Ok(answer) => drop(answer),
        }
    }
}
