//! A stream of server-sent events, read to its end and taken up again where it broke off.

use super::{Client, Problem};
use crate::Failed;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long a server may be away, restarting say, before it is given up.
const AWAY: Duration = Duration::from_secs(30);
/// How long a stream may say nothing: a server says every 15 s that it is still there.
const STILL_THERE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// What is heard.
pub(crate) enum Followed<'a> {
    /// An event's data.
    Event(Value),
    /// The stream broke off, and is tried again.
    BrokeOff(&'a str),
}

/// Hears events from now on, or after the one with this id. It ends when the server does not come back, or never was there.
pub(crate) async fn follow(
    client: &Client,
    path: &str,
    after: Option<String>,
    mut hear: impl FnMut(Followed<'_>) -> Result<(), Failed>,
) -> Result<(), Problem> {
    let mut last = after;
    let mut was_there = false;
    let mut away: Option<Instant> = None;
    loop {
        let mut there = false;
        let why = match once(client, path, &mut last, &mut there, &mut hear).await {
            Ok(why) => why,
            // What was there once may come back.
            Err(problem) if was_there && may_pass(&problem) => problem.failed.reason,
            Err(problem) => return Err(problem),
        };
        if there {
            (was_there, away) = (true, None);
        }
        match away {
            Some(since) if since.elapsed() > AWAY => {
                return Err(Failed::no_server(format!("{why}; it has not come back for {} s", AWAY.as_secs())).into());
            }
            Some(_) => {}
            None => {
                hear(Followed::BrokeOff(&why))?;
                away = Some(Instant::now());
            }
        }
        sleep(PAUSE).await;
    }
}

fn may_pass(problem: &Problem) -> bool {
    problem.failed.is_no_server() || problem.status == Some(StatusCode::SERVICE_UNAVAILABLE)
}

/// One connection's events. Its end, in words.
async fn once(
    client: &Client,
    path: &str,
    last: &mut Option<String>,
    there: &mut bool,
    hear: &mut impl FnMut(Followed<'_>) -> Result<(), Failed>,
) -> Result<String, Problem> {
    let mut headers = vec![("accept", "text/event-stream")];
    if let Some(last) = last {
        headers.push(("last-event-id", &**last));
    }
    let response = tokio::select! {
        response = client.send(Method::GET, path, super::SentBody::None, &headers) => response?,
        silent = client.begins(path) => return Err(silent.into()),
    };
    let status = response.status();
    if !status.is_success() {
        let bytes = client.whole(response.into_body()).await?;
        return Err(Problem::answered(status, serde_json::from_slice(&bytes).ok(), client.token.is_some()));
    }
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        return Err(Failed::from("this server does not let that be followed; ask without -f").into());
    }
    *there = true;
    let mut body = response.into_body();
    let mut reader = EventReader::default();
    loop {
        // A server says now and then that it is still there.
        let Ok(frame) = timeout(STILL_THERE, body.frame()).await else {
            return Ok(format!("the stream of events has been silent for {} s", STILL_THERE.as_secs()));
        };
        let Some(Ok(frame)) = frame else { break };
        let Ok(data) = frame.into_data() else { continue };
        for event in reader.take(&data) {
            let Ok(value) = serde_json::from_str(&event.data) else { continue };
            hear(Followed::Event(value)).map_err(Problem::from)?;
            *last = event.id.or(last.take());
        }
    }
    Ok("the stream of events broke off".to_owned())
}

/// An event as it came.
#[derive(Debug, Default, PartialEq, Eq)]
struct StreamEvent {
    id: Option<String>,
    data: String,
}

/// Makes events of bytes, however they are cut.
#[derive(Debug, Default)]
struct EventReader {
    pending: Vec<u8>,
    event: StreamEvent,
}

impl EventReader {
    fn take(&mut self, bytes: &Bytes) -> Vec<StreamEvent> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    events.push(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.event.id = Some(value.to_owned()),
                "data" => {
                    if !self.event.data.is_empty() {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                }
                // A comment keeps the connection; other fields say nothing to us.
                _ => {}
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = ": hello\n\nid: 1-2\nevent: x\ndata: {\"a\":1,\ndata: \"b\":2}\n\ndata: {}\r\n\r\nid: 7\n\n";
        let expected = [
            StreamEvent { id: Some("1-2".into()), data: "{\"a\":1,\n\"b\":2}".into() },
            StreamEvent { id: None, data: "{}".into() },
        ];
        for size in [1, 2, 3, 7, 1000] {
            let mut reader = EventReader::default();
            let chunks = text.as_bytes().chunks(size).map(Bytes::copy_from_slice);
            let events: Vec<_> = chunks.flat_map(|chunk| reader.take(&chunk)).collect();
            assert_eq!(events, expected, "{size}");
        }
    }
}
