//! A Sentry of our own: an HTTP server that takes envelopes, as their protocol has them.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

/// How long a report is waited for: builds come before some.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was sent.
#[derive(Default)]
struct Sent {
    /// Everything, as it came, heads too.
    raw: String,
    events: Vec<Value>,
}

/// Where reports arrive.
pub(crate) struct Inbox {
    port: u16,
    sent: Arc<(Mutex<Sent>, Condvar)>,
}

impl Inbox {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent: Arc<(Mutex<Sent>, Condvar)> = Arc::default();
        let theirs = sent.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sent = theirs.clone();
                thread::spawn(move || take(stream, &sent));
            }
        });
        Inbox { port, sent }
    }

    pub(crate) fn dsn(&self) -> String {
        format!("http://publickey@127.0.0.1:{}/42", self.port)
    }

    /// Waits for an event that is as told.
    pub(crate) fn until(&self, enough: impl Fn(&Value) -> bool) -> Value {
        let (began, (sent, news)) = (Instant::now(), &*self.sent);
        let mut now = sent.lock().unwrap();
        loop {
            if let Some(event) = now.events.iter().find(|event| enough(event)) {
                return event.clone();
            }
            assert!(began.elapsed() < PATIENCE, "it was never reported: {:#?}", now.events);
            now = news.wait_timeout(now, Duration::from_secs(1)).unwrap().0;
        }
    }

    /// How many events are as told, so far.
    pub(crate) fn count(&self, like: impl Fn(&Value) -> bool) -> usize {
        self.sent.0.lock().unwrap().events.iter().filter(|event| like(event)).count()
    }

    /// Everything that was sent.
    pub(crate) fn raw(&self) -> String {
        self.sent.0.lock().unwrap().raw.clone()
    }
}

/// Requests of one connection, until it ends.
fn take(stream: TcpStream, sent: &(Mutex<Sent>, Condvar)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let before = head.len();
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
            let line = head[before..].trim().to_ascii_lowercase();
            if let Some(told) = line.strip_prefix("content-length:") {
                length = told.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        assert!(head.starts_with("POST /api/42/envelope/ HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("x-sentry-auth:") && head.contains("publickey"), "{head}");
        let mut now = sent.0.lock().unwrap();
        now.events.extend(events(&body));
        now.raw.push_str(&head);
        now.raw.push_str(&body);
        drop(now);
        sent.1.notify_all();
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    }
}

/// The events in an envelope: a line about it, then a line about each item and the item.
fn events(envelope: &str) -> Vec<Value> {
    let (about, mut rest) = envelope.split_once('\n').unwrap();
    assert!(serde_json::from_str::<Value>(about).unwrap()["event_id"].is_string() || about == "{}", "{about}");
    let mut events = Vec::new();
    while let Some((about, items)) = rest.split_once('\n') {
        let about: Value = serde_json::from_str(about).unwrap();
        let length = about["length"].as_u64().and_then(|length| usize::try_from(length).ok());
        let length = length.unwrap_or_else(|| items.find('\n').unwrap_or(items.len()));
        if about["type"] == "event" {
            events.push(serde_json::from_str(&items[..length]).unwrap());
        }
        rest = items[length..].trim_start_matches('\n');
    }
    events
}
