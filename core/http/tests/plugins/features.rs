//! What authors use inside a plugin, each thing through the loaded library over real HTTP.

use crate::{
    capture,
    harness::{Host, Served, run},
};
use bytes::Bytes;
use camlock_policy::{RequestLimits, Use};
use camlock_testing::{Fixtures, trial};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

const MOUNT: &str = "/api/v1/p/features";
const GIB: u64 = 1 << 30;

/// Loads the fixture, runs a test against it, and expects the library to be gone afterwards.
fn with_plugin<F: Future<Output = Served>>(test: impl FnOnce(Served) -> F) {
    run(async {
        let host = Host::new();
        // An answer to a gigabyte begins when all of it is there: on a slow machine that takes a while.
        let limits = RequestLimits { timeout: Duration::from_secs(110), ..RequestLimits::default() };
        let served = host.serve_with(&Fixtures::quick().library("features"), limits).await;
        test(served).await.unload_wholly().await;
    });
}

async fn json_of(served: &Served, path: &str) -> Value {
    serde_json::from_str(&served.text(path).await).expect("JSON")
}

#[trial]
fn extractors() {
    with_plugin(|served| async {
        let request = Request::get("/extractors/word/7?a=b&c=%20d")
            .header("traceparent", "00-0000000000000000000000000000002a-00f067aa0ba902b7-01")
            .header("x-request-id", "request-7");
        let answer = served.send(request.body(Full::default()).unwrap()).await;
        let told: Value = serde_json::from_slice(answer.body()).unwrap();
        let expected = json!({
            "word": "word", "number": 7, "query": {"a": "b", "c": " d"}, "peer": "127.0.0.1", "request_id": "request-7",
            "uri": "/extractors/word/7?a=b&c=%20d", "original": format!("{MOUNT}/extractors/word/7?a=b&c=%20d"),
            "trace": "0000000000000000000000000000002a", "host": "plugins.test", "started": 0,
        });
        assert_eq!(told, expected);
        assert_eq!(served.get("/extractors/word/seven").await.status(), StatusCode::BAD_REQUEST);
        assert_eq!(served.get("/nowhere").await.status(), StatusCode::NOT_FOUND);
        // Over HTTP/2 there is no Host header; handlers find one all the same.
        let mut http2 = served.http2().await;
        let request = Request::get(served.url("/extractors/x/1")).body(Full::default()).unwrap();
        let body = http2.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(told["host"], served.address.to_string());
        served
    });
}

#[trial]
fn json_and_openapi() {
    with_plugin(|served| async {
        let answer = served.post("/json", "application/json", r#"{"name":"Ada","times":1}"#).await;
        assert_eq!(answer.body(), r#"{"name":"Ada","times":2}"#);
        let answer = served.post("/json", "application/json", r#"{"name":"#).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let answer = served.post("/json", "text/plain", "{}").await;
        assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        // The plugin's own limit on JSON bodies holds: axum's default of 2 MiB.
        let answer = served.post("/json", "application/json", vec![b' '; 3 << 20]).await;
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let document: Value = serde_json::from_str(served.instance.description().openapi.as_deref().unwrap()).unwrap();
        assert!(document["paths"]["/json"]["post"].is_object(), "{document}");
        served
    });
}

#[trial]
fn multipart() {
    with_plugin(|served| async {
        let body = format!(
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhello\r\n\
             --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n{}\r\n--x--\r\n",
            "z".repeat(100_000)
        );
        let answer = served.post("/multipart", "multipart/form-data; boundary=x", body).await;
        assert_eq!(answer.body(), "a=5;file=100000;");
        served
    });
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[trial]
fn a_gigabyte_up() {
    with_plugin(|served| async {
        let before = resident();
        let chunk = Bytes::from(vec![7u8; 1 << 20]);
        let chunks =
            futures_util::stream::iter((0..GIB >> 20).map(move |_| Ok::<_, Infallible>(Frame::data(chunk.clone()))));
        let answer = served.open(Request::post("/upload").body(StreamBody::new(chunks)).unwrap()).await;
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, GIB.to_string());
        assert!(resident().saturating_sub(before) < 64 << 20, "{before} → {}", resident());
        served
    });
}

#[trial]
fn a_gigabyte_down() {
    with_plugin(|served| async {
        let before = resident();
        let answer =
            served.open(Request::get(format!("/download/{GIB}")).body(Full::<Bytes>::default()).unwrap()).await;
        let mut body = answer.into_body();
        let mut total = 0;
        while let Some(frame) = body.frame().await {
            total += frame.unwrap().into_data().unwrap().len() as u64;
        }
        assert_eq!(total, GIB);
        assert!(resident().saturating_sub(before) < 64 << 20, "{before} → {}", resident());
        served
    });
}

#[trial]
fn server_sent_events() {
    with_plugin(|served| async {
        let answer = served.get("/events").await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        for number in 0..3 {
            assert!(text.contains(&format!("event: number\ndata: {number}\n\n")), "{text}");
        }
        assert!(text.contains(": alive\n\n"), "{text}");
        served
    });
}

#[trial]
fn websockets() {
    with_plugin(|served| async {
        let mut request = served.url("/socket").replace("http://", "ws://").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "echo".parse().unwrap());
        let (mut socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "echo");
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("HELLO"));
        let large = Bytes::from(vec![3u8; 1 << 20]);
        socket.send(Message::binary(large.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::binary(large));
        assert_eq!(served.leases.count_of(Use::Connection), 1);
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
        // Without the handshake's headers axum refuses, and the refusal arrives as an ordinary response.
        let request = Request::get("/socket").header("connection", "upgrade").header("upgrade", "websocket");
        let answer = served.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert!(!answer.body().is_empty());
        served
    });
}

#[trial]
fn tower_http_layers() {
    with_plugin(|served| async {
        let request = Request::get("/layers/large-text").header("accept-encoding", "gzip");
        let answer = served.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        assert!(answer.body().starts_with(&[0x1f, 0x8b]) && answer.body().len() < 10_000);
        assert_eq!(served.text("/layers/large-text").await.len(), 80_000);
        assert_eq!(served.get("/layers/slow").await.status(), StatusCode::REQUEST_TIMEOUT);
        assert!(!capture::records("finished processing request").is_empty(), "the trace layer speaks to the host");
        served
    });
}

/// A message with field 1 a varint, in gRPC's frame.
fn number(value: u64) -> Bytes {
    let mut message = vec![8];
    let mut left = value;
    while left >= 0x80 {
        message.push(left as u8 | 0x80);
        left >>= 7;
    }
    message.push(left as u8);
    let mut frame = vec![0, 0, 0, 0, message.len() as u8];
    frame.extend(message);
    frame.into()
}

async fn grpc(served: &Served, method: &str, value: u64) -> (Bytes, HeaderMap) {
    let mut http2 = served.http2().await;
    let request = Request::post(served.url(&format!("/camlock.plugins.features.v1.Squares/{method}")))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(number(value)))
        .unwrap();
    let (parts, body) = http2.send_request(request).await.unwrap().into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or(parts.headers);
    (collected.to_bytes(), trailers)
}

#[trial]
fn grpc_with_trailers() {
    with_plugin(|served| async {
        let (body, trailers) = grpc(&served, "Square", 12).await;
        assert_eq!((body, &trailers["grpc-status"]), (number(144), &"0".parse().unwrap()));
        let (_, trailers) = grpc(&served, "Square", u64::MAX).await;
        assert_eq!(trailers["grpc-status"], "11");
        let (body, trailers) = grpc(&served, "CountUp", 3).await;
        assert_eq!(body, [number(1), number(2), number(3)].concat());
        assert_eq!(
            (&trailers["grpc-status"], &trailers["grpc-message"]),
            (&"8".parse().unwrap(), &"no%20more%20numbers".parse().unwrap())
        );
        let (_, trailers) = grpc(&served, "Cube", 3).await;
        assert_eq!(trailers["grpc-status"], "12");
        served
    });
}

#[trial]
fn reqwest() {
    with_plugin(|served| async {
        let url = served.url("/extractors/from/1");
        let told = served.text(&format!("/fetch?url={url}")).await;
        assert!(told.contains(r#""word":"from""#), "{told}");
        served
    });
}

#[trial]
fn timers_and_tasks() {
    with_plugin(|served| async {
        assert_eq!(served.text("/timers").await, "49 true true");
        served
    });
}

#[trial]
fn tracing() {
    with_plugin(|served| async {
        let request = Request::get("/traced/blue")
            .header("traceparent", "00-000000000000000000000000000000aa-00f067aa0ba902b7-01");
        assert_eq!(served.send(request.body(Full::default()).unwrap()).await.body(), "traced");
        let trace = "000000000000000000000000000000aa";
        // Other trials log the like, without a trace.
        let of_this = |record: &capture::Record| record.get("trace_id").is_some_and(|id| id == trace);
        let inside: Vec<_> = capture::records("inside the handler").into_iter().filter(of_this).collect();
        let [record] = &inside[..] else { panic!("{inside:?}") };
        assert_eq!((&*record["plugin"], &*record["level"], &*record["module"]), ("features", "INFO", "features"));
        assert!(record["generation"].parse::<u64>().unwrap() > 0);
        assert_eq!(record["fields"], "number=7 text=quoted");
        assert!(record["location"].ends_with(".rs:97") || record["location"].contains("lib.rs:"), "{record:?}");
        assert_eq!((&*record["span.name"], &*record["span.trace_id"]), ("traced", trace));
        assert!(record["span.fields"].contains("colour=red") && record["span.fields"].contains("blue"), "{record:?}");
        // A spawned task is polled by the plugin's own thread: the span it runs in says which request it belongs to.
        let spawned = capture::records("inside a spawned task");
        assert!(spawned.iter().any(|record| record.get("span.trace_id").is_some_and(|id| id == trace)), "{spawned:?}");
        assert!(capture::records("too quiet").is_empty());
        served
    });
}

#[trial]
fn a_client_that_goes_away_cancels() {
    with_plugin(|served| async {
        let request = Request::get("/hang").body(Full::<Bytes>::default()).unwrap();
        let _ = tokio::time::timeout(Duration::from_millis(100), served.open(request)).await;
        for _ in 0..200 {
            let counts = json_of(&served, "/counts").await;
            if (counts[0].as_u64(), counts[1].as_u64()) == (Some(1), Some(1)) {
                return served;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the handler was not cancelled: {}", served.text("/counts").await);
    });
}

#[trial]
fn lifecycle_and_state() {
    run(async {
        let host = Host::new();
        let library = Fixtures::quick().library("features");
        let old = host.serve(&library).await;
        let new = host.serve(&library).await;
        let state = old.instance.save().await.unwrap().expect("state");
        assert_eq!(state, 0u64.to_be_bytes());
        let saved = |state: &[u8]| camlock_policy::Saved { version: "0.1.0".into(), state: state.to_vec() };
        new.instance.restore(saved(&12u64.to_be_bytes())).await.unwrap();
        assert_eq!(json_of(&new, "/counts").await[0], 12);
        assert_eq!(new.instance.restore(saved(b"x")).await.unwrap_err().message, "not eight bytes");
        new.instance.health().await.unwrap();
        new.instance.restore(saved(&13u64.to_be_bytes())).await.unwrap();
        assert_eq!(new.instance.health().await.unwrap_err().message, "thirteen is no good number");
        old.unload_wholly().await;
        assert_eq!(json_of(&new, "/counts").await[0], 13);
        new.unload_wholly().await;
    });
}

#[trial]
fn host_timers_and_tasks() {
    with_plugin(|served| async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let ticks = json_of(&served, "/counts").await[2].as_u64().unwrap();
        assert!(ticks >= 2, "{ticks}");
        assert!(served.text("/now").await.contains("tv_sec"));
        served
    });
}
