//! A server on a port, and requests to it.

use bytes::Bytes;
use camlock_http::{Dispatch, Front, FrontOptions};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};
use tokio::net::TcpStream;

/// How long anything may take that has to happen in the end.
pub const PATIENCE: Duration = Duration::from_secs(300);

pub struct Server {
    pub address: SocketAddr,
    pub dispatch: Dispatch,
    pub front: Front,
}

impl Server {
    pub async fn start(dispatch: Dispatch) -> Self {
        Server::start_with(dispatch, FrontOptions { threads: 2, ..FrontOptions::default() }).await
    }

    pub async fn start_with(dispatch: Dispatch, options: FrontOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let front = Front::start(listener, dispatch.clone(), options).expect("a front");
        Server { address: front.address(), dispatch, front }
    }

    /// One request over a connection of its own, the answer's body still to come.
    pub async fn open<B>(&self, request: Request<B>) -> Response<hyper::body::Incoming>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.try_open(request).await.expect("a response")
    }

    /// The same; an error if the connection is closed before it is answered.
    pub async fn try_open<B>(&self, mut request: Request<B>) -> hyper::Result<Response<hyper::body::Incoming>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection.with_upgrades());
        request.headers_mut().entry("host").or_insert_with(|| "plugins.test".parse().expect("a value"));
        sender.send_request(request).await
    }

    /// The status of a GET, unless the connection is closed before it is answered.
    pub async fn status(&self, path: &str) -> Option<u16> {
        let request = Request::get(path).body(Full::<Bytes>::default()).expect("a request");
        self.try_open(request).await.ok().map(|answer| answer.status().as_u16())
    }

    /// One request, its answer whole.
    pub async fn send<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = self.open(request).await.into_parts();
        Response::from_parts(parts, body.collect().await.expect("a whole body").to_bytes())
    }

    pub async fn get(&self, path: &str) -> Response<Bytes> {
        self.send(Request::get(path).body(Full::<Bytes>::default()).expect("a request")).await
    }

    /// The status and the text of a GET.
    pub async fn text(&self, path: &str) -> (u16, String) {
        status_and_text(&self.get(path).await)
    }
}

/// Status and text.
pub fn status_and_text(answer: &Response<Bytes>) -> (u16, String) {
    (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
}

/// The problem that an answer is.
pub fn problem(answer: &Response<Bytes>) -> Value {
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let document: Value = serde_json::from_slice(answer.body()).expect("JSON");
    assert_eq!(document["status"], answer.status().as_u16());
    document
}
