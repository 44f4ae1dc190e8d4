//! A small HTTP client for a server's admin API, over its control socket or over TCP.
//!
//! A connection for each request. A server that says nothing for too long is given up: what is looked up has to begin and go on,
//! and during an act, which waits for builds, the server has to say that it lives. What must not live here: what is printed.

mod answer;
mod follow;
mod place;
mod problem;

#[cfg(test)]
pub(crate) use answer::tests::plugin;
pub(crate) use answer::{read, read_all};
pub(crate) use follow::{Followed, follow};
pub(crate) use place::Reach;
pub(crate) use problem::Problem;

use crate::Failed;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use place::ServerAddress;
use serde_json::Value;
use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{sleep, timeout},
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How often it is looked whether a server that is at an act still lives.
const LOOK: Duration = Duration::from_secs(2);
/// A larger answer is nobody's.
const LARGEST: usize = 256 << 20;

/// A server that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    place: ServerAddress,
    token: Option<String>,
    /// How long the server may say nothing.
    silence: Duration,
}

/// What is sent.
#[derive(Clone, Copy)]
enum SentBody<'a> {
    None,
    Json(&'a Value),
    Bytes(&'a [u8]),
}

impl Client {
    /// For the server that is meant. Nothing is asked yet.
    pub(crate) fn new(reach: &Reach) -> Result<Self, Failed> {
        let (place, token) = reach.find()?;
        Ok(Client { place, token, silence: reach.silence() })
    }

    /// For the one whose control socket this is, as whoever may open it.
    pub(crate) fn on_socket(socket: PathBuf) -> Self {
        Client { place: ServerAddress::Socket(socket), token: None, silence: Reach::default().silence() }
    }

    /// What there is at a path.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Problem> {
        self.ask(Method::GET, path, None).await
    }

    /// What there is at a path, as the server wrote it.
    pub(crate) async fn text(&self, path: &str) -> Result<String, Problem> {
        let (status, bytes) = self.answer(Method::GET, path, (SentBody::None, &[]), self.begins(path)).await?;
        String::from_utf8(bytes).map_err(|_| self.not_camlock(status).into())
    }

    /// The answer to a request, as JSON.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Problem> {
        self.ask_with(method, path, body, &[]).await
    }

    /// The same, with these headers.
    pub(crate) async fn ask_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Value, Problem> {
        let body = body.map_or(SentBody::None, SentBody::Json);
        let (status, bytes) = if method == Method::GET {
            self.answer(method, path, (body, headers), self.begins(path)).await?
        } else {
            // An act takes as long as a build does, or the drain of what served. Whoever is at it says that they live.
            tokio::select! {
                answer = self.answer(method, path, (body, headers), std::future::pending()) => answer?,
                silent = self.falls_silent() => return Err(silent.into()),
            }
        };
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| self.not_camlock(status).into())
    }

    /// The bytes that there are at a path, whatever they are.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Vec<u8>, Problem> {
        Ok(self.answer(Method::GET, path, (SentBody::None, &[]), self.begins(path)).await?.1)
    }

    /// Puts bytes at a path: the answer, as JSON.
    pub(crate) async fn put_bytes(&self, path: &str, bytes: &[u8]) -> Result<Value, Problem> {
        let sent = (SentBody::Bytes(bytes), &[][..]);
        let (status, bytes) = self.answer(Method::PUT, path, sent, self.begins(path)).await?;
        serde_json::from_slice(&bytes).map_err(|_| self.not_camlock(status).into())
    }

    /// The answer, if it begins before the other future ends, which says that it does not.
    async fn answer(
        &self,
        method: Method,
        path: &str,
        (body, headers): (SentBody<'_>, &[(&str, &str)]),
        given_up: impl Future<Output = Failed>,
    ) -> Result<(StatusCode, Vec<u8>), Problem> {
        let response = tokio::select! {
            response = self.send(method, path, body, headers) => response?,
            failed = given_up => return Err(failed.into()),
        };
        let status = response.status();
        let bytes = self.whole(response.into_body()).await?;
        if !status.is_success() {
            return Err(Problem::answered(status, serde_json::from_slice(&bytes).ok(), self.token.is_some()));
        }
        Ok((status, bytes))
    }

    /// A body to its end, as long as it goes on.
    async fn whole(&self, body: Incoming) -> Result<Vec<u8>, Failed> {
        let mut body = Limited::new(body, LARGEST);
        let mut bytes = Vec::new();
        loop {
            let frame = timeout(self.silence, body.frame()).await;
            let frame = frame.map_err(|_| self.silent("began to answer, and then said nothing"))?;
            let Some(frame) = frame else { return Ok(bytes) };
            let frame = frame.map_err(|error| self.broke_off(&error.to_string()))?;
            bytes.extend(frame.data_ref().into_iter().flatten());
        }
    }

    /// Comes when an answer should have begun.
    async fn begins(&self, path: &str) -> Failed {
        sleep(self.silence).await;
        let path = path.split('?').next().unwrap_or_default();
        self.silent(&format!("does not say what is at {path}"))
    }

    /// Comes when the server does not say any more that it lives.
    async fn falls_silent(&self) -> Failed {
        loop {
            sleep(LOOK.min(self.silence)).await;
            let alive = self.send(Method::GET, "/_/live", SentBody::None, &[]);
            // Whether it refuses or breaks off, whoever waits for the act hears of that too.
            if timeout(self.silence, alive).await.is_err() {
                return self.silent("does not say any more that it lives");
            }
        }
    }

    fn silent(&self, what: &str) -> Failed {
        Failed::no_server(format!(
            "the server at {} {what} for {} s: look whether it runs and what its log says; what was asked for may still be done \
             (--timeout waits longer)",
            self.place,
            self.silence.as_secs()
        ))
    }

    /// All items of a list, page by page.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, Problem> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut page = path.to_owned();
            if let Some(cursor) = &cursor {
                let _ = write!(page, "{}cursor={}", if path.contains('?') { '&' } else { '?' }, encoded(cursor));
            }
            let mut answer = self.get(&page).await?;
            let Value::Array(more) = answer["items"].take() else {
                return Err(self.not_camlock(StatusCode::OK).into());
            };
            items.extend(more);
            match answer["next"].as_str() {
                Some(next) if cursor.as_deref() != Some(next) => cursor = Some(next.to_owned()),
                _ => return Ok(items),
            }
        }
    }

    /// Sends a request, and returns the answer before its body is there.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: SentBody<'_>,
        headers: &[(&str, &str)],
    ) -> Result<Response<Incoming>, Failed> {
        let (authority, prefix) = match &self.place {
            ServerAddress::Socket(_) => ("localhost", ""),
            ServerAddress::Address { authority, prefix } => (&**authority, &**prefix),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{prefix}{path}"))
            .header(header::HOST, authority)
            .header(header::USER_AGENT, concat!("camlock/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (sort, bytes) = match body {
            SentBody::None => (None, Bytes::new()),
            SentBody::Json(body) => (Some("application/json"), Bytes::from(body.to_string())),
            SentBody::Bytes(bytes) => (Some("application/octet-stream"), Bytes::copy_from_slice(bytes)),
        };
        if let Some(sort) = sort {
            request = request.header(header::CONTENT_TYPE, sort);
        }
        let request = request.body(Full::new(bytes));
        let request = request.map_err(|error| Failed::usage(format!("this cannot be asked for: {error}")))?;
        let mut sender = self.connect().await?;
        sender.send_request(request).await.map_err(|error| self.broke_off(&error.to_string()))
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>, Failed> {
        let connected = timeout(CONNECT.min(self.silence), async {
            match &self.place {
                ServerAddress::Socket(path) => shake_hands(UnixStream::connect(path).await?).await,
                ServerAddress::Address { authority, .. } => shake_hands(TcpStream::connect(authority).await?).await,
            }
        });
        match connected.await {
            Ok(connected) => connected.map_err(|error| self.nobody(&error)),
            Err(_) => Err(Failed::no_server(format!(
                "{} does not answer within {} s: is it the right server?",
                self.place,
                CONNECT.min(self.silence).as_secs()
            ))),
        }
    }

    fn nobody(&self, error: &io::Error) -> Failed {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no such socket".to_owned(),
            io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
            io::ErrorKind::PermissionDenied => {
                return Failed::not_allowed(format!(
                    "{} may not be opened: it is for the user who runs the server (`sudo -u USER camlock …`, or name a \
                     server with --server and --token)",
                    self.place
                ));
            }
            _ => error.to_string(),
        };
        let local = matches!(&self.place, ServerAddress::Socket(path) if path.is_absolute());
        let what = if local {
            "start one with `camlock serve`, run this in its directory, or name it with --data or --server"
        } else {
            "look whether it runs, and whether that is its address"
        };
        Failed::no_server(format!("no server at {}: {why}; {what}", self.place))
    }

    fn broke_off(&self, why: &str) -> Failed {
        Failed::no_server(format!("the server at {} broke off: {why}; look whether it still runs", self.place))
    }

    fn not_camlock(&self, status: StatusCode) -> Failed {
        format!("what answers at {} is not camlock's admin API (status {status}): is it the right server?", self.place)
            .into()
    }
}

async fn shake_hands<I>(stream: I) -> io::Result<http1::SendRequest<Full<Bytes>>>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// A text as a part of a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => encoded.push(char::from(byte)),
            // Two of them alone would be another path.
            b'.' if !text.trim_matches('.').is_empty() => encoded.push('.'),
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Runs what talks to a server.
pub(crate) fn run<T>(work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failed::from(format!("no runtime could be made: {error}")))?.block_on(work)
}

/// Whether a path is there as a socket.
pub(crate) fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_stays_one_part_of_a_path() {
        for (text, expected) in [
            ("kv-store", "kv-store"),
            ("a/b", "a%2Fb"),
            ("..", "%2E%2E"),
            ("x.y", "x.y"),
            ("a b?", "a%20b%3F"),
            ("ä", "%C3%A4"),
        ] {
            assert_eq!(super::encoded(text), expected);
        }
    }
}
