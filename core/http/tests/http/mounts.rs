//! Where plugins are: under their mounts, at what they claim, and under hosts of their own.

use crate::{
    fake::{Fake, Generation},
    server::{PATIENCE, Server, status_and_text},
};
use axum::{Router, routing::get};
use bytes::Bytes;
use camlock_http::Dispatch;
use camlock_policy::{Answer, Body, Publish};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// An application that knows nothing of mounts: it tells its prefix, and sends people and cookies to paths of its own.
fn application(name: &str) -> Generation {
    Fake::generation(name, 1, |call, _| async move {
        let sent = call.request.headers().get("x-forwarded-prefix").and_then(|value| value.to_str().ok());
        assert!(sent.is_none() || !call.tells_mount, "there would be two");
        let prefix = call.tells_mount.then(|| &call.request.uri().path()[..call.mount]).or(sent);
        let text = format!("{} {}", call.request.uri().path(), prefix.unwrap_or("-"));
        let mut response = Response::new(Body::from(text));
        let headers = response.headers_mut();
        headers.insert("location", "/login".parse().expect("a value"));
        headers.append("set-cookie", "one=1; Path=/".parse().expect("a value"));
        headers.append("set-cookie", "two=2".parse().expect("a value"));
        Ok(Answer { response, connection: None })
    })
}

async fn start(generations: &[(Generation, &[&str])]) -> Server {
    let dispatch = Dispatch::default();
    let page = |text: &'static str| get(move || async move { text });
    dispatch.fall_through_to(Router::new().route("/", page("the short page")).route("/_/live", page("live")));
    let server = Server::start(dispatch).await;
    server.dispatch.publish(generations.iter().map(|(generation, claims)| generation.routed(claims)).collect());
    server
}

async fn get_at(server: &Server, host: &str, path: &str) -> Response<Bytes> {
    server.send(Request::get(path).header("host", host).body(Full::<Bytes>::default()).expect("a request")).await
}

#[tokio::test]
async fn a_mount_is_told_and_kept() {
    let server = start(&[(application("shop"), &["/shop"])]).await;
    let answer = server.get("/api/v1/p/shop?a=1").await;
    assert_eq!(
        (answer.status(), &answer.headers()["location"]),
        (StatusCode::PERMANENT_REDIRECT, &"shop/?a=1".parse().unwrap())
    );
    // What a client says of the prefix counts for nothing.
    let request = Request::get("/api/v1/p/shop/x").header("x-forwarded-prefix", "/evil");
    let answer = server.send(request.body(Full::<Bytes>::default()).expect("a request")).await;
    assert_eq!(status_and_text(&answer).1, "/api/v1/p/shop/x /api/v1/p/shop");
    assert_eq!(answer.headers()["location"], "/api/v1/p/shop/login");
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["one=1; Path=/api/v1/p/shop/", "two=2"]);
    // At a path of its own nothing is changed.
    let answer = server.get("/shop").await;
    assert_eq!(
        (status_and_text(&answer).1.as_str(), &answer.headers()["location"]),
        ("/shop -", &"/login".parse().unwrap())
    );
}

#[tokio::test]
async fn a_claimed_first_page_takes_the_place_of_the_short_one() {
    let server = start(&[]).await;
    assert_eq!(server.text("/").await.1, "the short page");
    server.dispatch.publish(vec![application("shop").routed(&["/"])]);
    assert_eq!(server.text("/").await.1, "/ -");
    assert_eq!(server.text("/nowhere").await.0, 404);
    assert_eq!(server.text("/_/live").await.1, "live");
}

#[tokio::test]
async fn under_a_host_of_its_own_everything_is_the_plugin_s() {
    let (shop, other) = (application("shop"), application("other"));
    let server = start(&[(shop, &["//shop.example.com"]), (other, &["/other"])]).await;
    for host in ["shop.example.com", "SHOP.example.com:8080", "shop.example.com."] {
        for path in ["/", "/_/live", "/other", "/api/v1/p/other/", "/.well-known/x", "/docs"] {
            let answer = get_at(&server, host, path).await;
            assert_eq!(status_and_text(&answer), (200, format!("{path} -")), "{host}");
            assert_eq!(answer.headers()["location"], "/login", "there is no mount");
        }
    }
    for (path, text) in [("/", "the short page"), ("/_/live", "live"), ("/other", "/other -")] {
        assert_eq!(status_and_text(&get_at(&server, "www.example.com", path).await), (200, text.to_owned()));
    }
}

/// What is answered to these lines, byte by byte as they are.
async fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("it is open");
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("it is closed").expect("text");
    text
}

#[tokio::test]
async fn a_request_names_the_host_that_it_is_for_once() {
    let server = start(&[(application("shop"), &["/shop"])]).await;
    for path in ["/shop", "/_/live", "/nowhere"] {
        for head in [
            format!("GET {path} HTTP/1.1\r\n\r\n"),
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n"),
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nx: y\r\nHost: b\r\n\r\n"),
            format!("GET {path} HTTP/1.1\r\nhost: a/b\r\n\r\n"),
            format!("GET http://a{path} HTTP/1.1\r\nhost: b\r\n\r\n"),
        ] {
            let answer = raw(&server, &head).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{head}: {answer}");
        }
    }
    let answer = raw(&server, "GET /_/live HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "from before there was such a header: {answer}");
}
