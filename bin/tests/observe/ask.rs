//! Requests with a body, whose answers may go on for ever.

use camlock_testing::Server;
use serde_json::Value;
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// A whole answer, its head too.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        let body = self.text.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// Sends a request, and takes what comes until the end, or until nothing comes for a while.
pub(crate) fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
    // What streams does not end by itself.
    let streams = path.split('?').next().is_some_and(|path| path.ends_with("/events"));
    let patience = if streams { 500 } else { 120_000 };
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(patience))).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock && !bytes.is_empty() => break,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answered { status, text }
}

/// The same, as somebody who shows this token.
pub(crate) fn ask_as(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Answered {
    ask(server, method, path, &[("authorization", &format!("Bearer {token}"))], body)
}
