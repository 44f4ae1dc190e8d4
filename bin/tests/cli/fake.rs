//! A server that answers what a test wants: for what a real one cannot be made to answer.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

/// A plugin as a server sends it.
pub(crate) fn plugin(name: &str, state: &str) -> Value {
    json!({
        "name": name, "version": "", "description": "", "category": null, "kind": "dynamic", "enabled": true, "revision": 1,
        "state": state, "reason": null, "serving": null, "candidate": null, "failed": null, "draining": [], "pinned": [],
        "endpoints": [], "urls": [],
    })
}

/// A compiler's message as a server sends it.
pub(crate) fn diagnostic(rendered: &str) -> Value {
    json!({ "file": "src/lib.rs", "line": 7, "message": "", "rendered": rendered })
}

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// `GET /path?query`.
    pub(crate) line: String,
    pub(crate) authorization: String,
    pub(crate) last_event_id: String,
    pub(crate) body: String,
}

/// What it is answered with.
pub(crate) struct Answer {
    status: u16,
    kind: &'static str,
    body: String,
}

impl Answer {
    /// A document.
    pub(crate) fn json(document: &Value) -> Self {
        Answer { status: 200, kind: "application/json", body: document.to_string() }
    }

    /// A problem.
    pub(crate) fn problem(status: u16, document: &Value) -> Self {
        Answer { status, kind: "application/problem+json", body: document.to_string() }
    }

    /// A stream of events that breaks off.
    pub(crate) fn events(text: &str) -> Self {
        Answer { status: 200, kind: "text/event-stream", body: text.to_owned() }
    }

    /// Anything.
    pub(crate) fn other(status: u16, kind: &'static str, body: &str) -> Self {
        Answer { status, kind, body: body.to_owned() }
    }
}

/// What was asked, in order.
pub(crate) type Asked = Arc<Mutex<Vec<Request>>>;

type Respond = dyn Fn(&Request) -> Answer + Send + Sync;

/// A server on TCP.
pub(crate) fn on_tcp(respond: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, respond): (Asked, Arc<Respond>) = (Asked::default(), Arc::new(respond));
    let theirs = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (asked, respond) = (theirs.clone(), respond.clone());
            thread::spawn(move || serve(&stream, &stream, &asked, &*respond));
        }
    });
    (address, asked)
}

/// A server on a Unix socket.
pub(crate) fn on_socket(path: &Path, respond: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Asked {
    let listener = UnixListener::bind(path).unwrap();
    let (asked, respond): (Asked, Arc<Respond>) = (Asked::default(), Arc::new(respond));
    let theirs = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(&stream, &stream, &theirs, &*respond);
        }
    });
    asked
}

fn serve(reader: impl Read, mut writer: impl Write, asked: &Asked, respond: &Respond) {
    let mut reader = BufReader::new(reader);
    let mut request = Request::default();
    let mut length = 0;
    let mut first = String::new();
    if reader.read_line(&mut first).unwrap_or_default() == 0 {
        return;
    }
    request.line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name {
            "authorization" => request.authorization = value.to_owned(),
            "last-event-id" => request.last_event_id = value.to_owned(),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request.body = String::from_utf8(body).unwrap();
    asked.lock().unwrap().push(request.clone());
    let Answer { status, kind, body } = respond(&request);
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
    let _ = writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body.as_bytes()));
}
