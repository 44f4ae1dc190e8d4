//! From paths to plugins, and what plugins' limits refuse.

use crate::{
    fake::{Fake, text_answer},
    server::{PATIENCE, Server, problem, status_and_text},
};
use bytes::Bytes;
use camlock_http::Dispatch;
use camlock_policy::{
    Headline, Publish, RequestLimits,
    routes::{Routed, Target},
};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::json;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

fn unavailable(name: &str, state: Headline, reason: &str) -> Routed<Target> {
    let target = Target::Unavailable { name: name.into(), state, reason: reason.to_owned() };
    Routed { name: name.to_owned(), claims: vec![format!("/{name}")], target }
}

fn held(name: &str, bound: Duration) -> Routed<Target> {
    Routed { name: name.to_owned(), claims: Vec::new(), target: Target::Held(bound) }
}

#[tokio::test]
async fn mounts_and_claims_lead_to_plugins() {
    let saying_path = |name| {
        Fake::generation(name, 1, move |call, _| {
            let path = call.request.uri().path().to_owned();
            async move { Ok(text_answer(format!("{name} {}", &path[call.mount..]))) }
        })
    };
    let (hello, store) = (saying_path("hello"), saying_path("kv-store"));
    let server = Server::start(Dispatch::default()).await;
    assert_eq!(problem(&server.get("/hello").await)["detail"], "nothing is served at /hello");
    server.dispatch.publish(vec![hello.routed(&["/hello"]), store.routed(&["/tables/*"])]);
    for (path, expected) in [
        ("/api/v1/p/hello/a/b?c=d", "hello /a/b"),
        ("/hello", "hello /hello"),
        ("/tables/x/y", "kv-store /tables/x/y"),
        ("/camlock.plugins.kv_store.v1.Store/Get", "kv-store /camlock.plugins.kv_store.v1.Store/Get"),
    ] {
        assert_eq!(server.text(path).await, (200, expected.to_owned()), "{path}");
    }
    // Without a slash behind it, relative links of the plugin's pages would lead beside it.
    assert_eq!(server.text("/api/v1/p/hello").await.0, 308);
    for path in ["/", "/hello/x", "/api/v1/p/nobody", "/api/v1/p/nobody/", "/tablesx"] {
        assert_eq!(server.get(path).await.status().as_u16(), 404, "{path}");
    }
    server.dispatch.publish(vec![store.routed(&["/hello"])]);
    assert_eq!(server.text("/hello").await, (200, "kv-store /hello".to_owned()));
    assert_eq!(server.get("/tables/x").await.status().as_u16(), 404);
}

#[tokio::test]
async fn what_does_not_serve_says_why() {
    let server = Server::start(Dispatch::default()).await;
    server.dispatch.publish(vec![
        unavailable("ill", Headline::Failed, "it does not compile"),
        unavailable("young", Headline::Starting, "it is being built"),
        unavailable("gone", Headline::Missing, "its entry is gone"),
    ]);
    let answer = server.get("/ill").await;
    assert_eq!(answer.headers().get("retry-after"), None);
    let expected = json!({
        "type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "it does not compile",
        "plugin": "ill", "state": "failed",
    });
    assert_eq!(problem(&answer), expected);
    let answer = server.get("/api/v1/p/young/x").await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let answer = server.get("/gone").await;
    assert_eq!((answer.status().as_u16(), problem(&answer)["state"].as_str()), (404, Some("missing")));
}

#[tokio::test]
async fn held_requests_wait_for_the_next_table() {
    let server = Arc::new(Server::start(Dispatch::default()).await);
    server.dispatch.publish(vec![held("counter", PATIENCE)]);
    let waiting = tokio::spawn({
        let server = server.clone();
        async move { server.text("/api/v1/p/counter/").await }
    });
    // Other tables do not answer it.
    let other = Fake::saying("other", 1, "other");
    server.dispatch.publish(vec![held("counter", PATIENCE), other.routed(&[])]);
    assert_eq!(server.text("/api/v1/p/other/").await, (200, "other".to_owned()));
    assert!(!waiting.is_finished());
    let counter = Fake::saying("counter", 2, "two");
    server.dispatch.publish(vec![counter.routed(&[])]);
    assert_eq!(timeout(PATIENCE, waiting).await.expect("an answer").unwrap(), (200, "two".to_owned()));
    // So long at most.
    server.dispatch.publish(vec![held("counter", Duration::from_millis(20))]);
    let answer = server.get("/api/v1/p/counter/").await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(problem(&answer)["detail"], "the plugin did not serve again within 20 ms: try again");
    assert_eq!(problem(&answer)["plugin"], "counter");
}

#[tokio::test]
async fn a_table_that_is_replaced_lets_go_at_once() {
    let server = Server::start(Dispatch::default()).await;
    let old = Fake::saying("hello", 1, "old");
    let leases = old.serving.lease.watch();
    server.dispatch.publish(vec![old.routed(&[])]);
    drop(old);
    // A connection that stays open has the pointer, not the table.
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    for expected in ["old", "new"] {
        let request = Request::get("/api/v1/p/hello/").header("host", "x").body(Full::<Bytes>::default()).unwrap();
        let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.to_bytes(), expected);
        sender.ready().await.unwrap();
        server.dispatch.publish(vec![Fake::saying("hello", 2, "new").routed(&[])]);
        assert_eq!(leases.describe_holders(), "");
    }
}

fn limits() -> RequestLimits {
    RequestLimits::default()
}

#[tokio::test]
async fn a_response_that_does_not_begin_in_time() {
    let server = Server::start(Dispatch::default()).await;
    let slow = Fake::generation("slow", 1, |_, lease| async move {
        let _lease = lease;
        std::future::pending().await
    });
    let slow = slow.limited(RequestLimits { timeout: Duration::from_millis(30), ..limits() });
    server.dispatch.publish(vec![slow.routed(&[])]);
    let answer = server.get("/api/v1/p/slow/").await;
    let expected = json!({
        "type": "about:blank", "title": "Gateway Timeout", "status": 504, "plugin": "slow",
        "detail": "the plugin did not begin to answer within 30 ms",
    });
    assert_eq!(problem(&answer), expected);
    // The handler was cancelled: nothing of it is left.
    assert_eq!(slow.serving.lease.watch().count_of(camlock_policy::Use::Request), 0);
}

#[tokio::test]
async fn a_body_may_take_longer_than_its_response() {
    let server = Server::start(Dispatch::default()).await;
    let stream = Fake::generation("stream", 1, |_, _| async move {
        let frames = futures_util::stream::unfold(0, |count| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            (count < 5).then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))), count + 1))
        });
        let mut answer = text_answer("");
        *answer.response.body_mut() = camlock_policy::Body::stream(StreamBody::new(Box::pin(frames)));
        Ok(answer)
    });
    let stream = stream.limited(RequestLimits { timeout: Duration::from_millis(30), ..limits() });
    server.dispatch.publish(vec![stream.routed(&[])]);
    assert_eq!(server.text("/api/v1/p/stream/").await, (200, "xxxxx".to_owned()));
}

#[tokio::test]
async fn a_body_that_is_too_large() {
    let server = Server::start(Dispatch::default()).await;
    let called = Arc::new(Semaphore::new(0));
    let counted = called.clone();
    let reader = Fake::generation("reader", 1, move |call, _| {
        counted.add_permits(1);
        async move {
            // It makes of a broken body what it likes.
            let length = call.request.into_body().collect().await.map(|all| all.to_bytes().len());
            Ok(text_answer(length.map_or_else(|_| "all is well".to_owned(), |length| length.to_string())))
        }
    });
    let reader = reader.limited(RequestLimits { body: Some(10), ..limits() });
    server.dispatch.publish(vec![reader.routed(&[])]);
    let post = |body: &'static [u8]| Request::post("/api/v1/p/reader/").body(Full::new(Bytes::from_static(body)));
    let chunked = |length: usize| {
        let frames = (0..length).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))));
        Request::post("/api/v1/p/reader/").body(StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>())))
    };
    assert_eq!(status_and_text(&server.send(post(b"0123456789").unwrap()).await), (200, "10".to_owned()));
    assert_eq!(status_and_text(&server.send(chunked(10).unwrap()).await), (200, "10".to_owned()));
    let before = called.available_permits();
    let refused = server.send(post(b"0123456789a").unwrap()).await;
    assert_eq!(called.available_permits(), before, "the plugin was not asked");
    let cut = server.send(chunked(11).unwrap()).await;
    for answer in [refused, cut] {
        let document = problem(&answer);
        assert_eq!((answer.status().as_u16(), document["plugin"].as_str()), (413, Some("reader")));
        assert_eq!(document["detail"], "the request's body is larger than the 10 bytes that the plugin takes");
    }
}

#[tokio::test]
async fn so_many_at_once() {
    let server = Arc::new(Server::start(Dispatch::default()).await);
    let (begun, may_end) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let narrow = {
        let (begun, may_end) = (begun.clone(), may_end.clone());
        Fake::generation("narrow", 1, move |_, _| {
            let (begun, may_end) = (begun.clone(), may_end.clone());
            async move {
                begun.add_permits(1);
                may_end.acquire().await.unwrap().forget();
                Ok(text_answer("done"))
            }
        })
    };
    let narrow = narrow.limited(RequestLimits { concurrency: 2, ..limits() });
    server.dispatch.publish(vec![narrow.routed(&[])]);
    let ask = || {
        let server = server.clone();
        tokio::spawn(async move { server.text("/api/v1/p/narrow/").await })
    };
    let mut first = vec![ask(), ask()];
    begun.acquire_many(2).await.unwrap().forget();
    // Another table with the same generation goes on counting.
    server.dispatch.publish(vec![narrow.routed(&[])]);
    let refused = server.get("/api/v1/p/narrow/").await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(
        problem(&refused)["detail"],
        "the plugin has 2 requests to answer and takes no more at once: try again soon"
    );
    may_end.add_permits(3);
    for asked in first.drain(..) {
        assert_eq!(timeout(PATIENCE, asked).await.expect("an answer").unwrap(), (200, "done".to_owned()));
    }
    assert_eq!(server.text("/api/v1/p/narrow/").await, (200, "done".to_owned()));
}

#[tokio::test]
async fn requests_have_ids() {
    let server = Server::start(Dispatch::default()).await;
    let echo = Fake::generation("echo", 1, |call, _| async move { Ok(text_answer(call.request_id.as_str())) });
    server.dispatch.publish(vec![echo.routed(&[])]);
    let ask = async |id: Option<&'static str>| {
        let mut request = Request::get("/api/v1/p/echo/");
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let answer = server.send(request.body(Full::<Bytes>::default()).unwrap()).await;
        (status_and_text(&answer).1, answer.headers().get("x-request-id").cloned())
    };
    assert_eq!(ask(Some("mine-1")).await, ("mine-1".to_owned(), Some("mine-1".parse().unwrap())));
    let mut made = Vec::new();
    for id in [None, None, Some("not fit")] {
        let (id, echoed) = ask(id).await;
        assert_eq!((id.len(), echoed), (16, None));
        made.push(id);
    }
    made.dedup();
    assert_eq!(made.len(), 3);
}
