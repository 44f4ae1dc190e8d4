//! Response bodies that outlive the farewell are ended: events between two events, gRPC with a status, others by breaking off,
//! so that a client sees that something is missing.

use crate::{
    generation::ServedGeneration,
    poll_notes::{note_answer, note_awaits_plugin},
    relay::farewell_said,
    thread_activity::{RequestLine, enter},
};
use bytes::Bytes;
use camlock_policy::{Body, BodyError};
use http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// How long an event that was begun may take to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// From now on a body that is a stream ends at the farewell. One that is whole is left alone.
pub(crate) fn until_farewell(response: &mut Response<Body>, generation: &Arc<ServedGeneration>, line: &RequestLine) {
    note_answer(generation.key);
    if !response.body().is_stream() {
        return;
    }
    let early_end = EarlyEnd::of(response.headers());
    let (generation, line) = (generation.clone(), line.clone());
    let body = std::mem::take(response.body_mut());
    *response.body_mut() = Body::stream(FarewellBody {
        body,
        generation,
        line,
        early_end,
        tail: Tail::default(),
        farewell: None,
        at: BodyStage::Open,
    });
}

type PolledFrame = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// How a body ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EarlyEnd {
    /// Where an event ends, as if there were no more.
    Events,
    /// With a status that says to try again.
    Grpc,
    /// It breaks off.
    Broken,
}

impl EarlyEnd {
    fn of(headers: &HeaderMap) -> Self {
        let is = |prefix: &str| {
            let value = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
            value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        if is("text/event-stream") {
            EarlyEnd::Events
        } else if is("application/grpc") {
            EarlyEnd::Grpc
        } else {
            EarlyEnd::Broken
        }
    }
}

struct FarewellBody {
    body: Body,
    generation: Arc<ServedGeneration>,
    line: RequestLine,
    early_end: EarlyEnd,
    /// The last bytes that were sent, to know whether an event is half sent.
    tail: Tail,
    /// Wakes this body; made when it first waits.
    farewell: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    at: BodyStage,
}

enum BodyStage {
    /// As the plugin likes.
    Open,
    /// The farewell was said, and an event is half sent.
    Leaving(Pin<Box<Sleep>>),
    /// Nothing comes any more.
    Over,
}

impl FarewellBody {
    /// Whether the farewell was said; if not, this is woken when it is.
    fn is_said(&mut self, context: &mut Context<'_>, wait: bool) -> bool {
        let farewell = &self.generation.farewell;
        if farewell.has_changed().unwrap_or(false) && *farewell.borrow() {
            return true;
        }
        if !wait {
            return false;
        }
        let waiting = self.farewell.get_or_insert_with(|| Box::pin(farewell_said(farewell.clone())));
        waiting.as_mut().poll(context).is_ready()
    }

    fn end(&mut self) {
        self.at = BodyStage::Over;
        self.let_go();
    }

    /// Drops the plugin's body, which runs its code too: the generation is free.
    fn let_go(&mut self) {
        let _inside = enter(self.generation.key, &self.line);
        self.body = Body::empty();
    }

    fn leave(&mut self) -> Option<PolledFrame> {
        match self.early_end {
            EarlyEnd::Events if !self.tail.is_between_events() => {
                self.at = BodyStage::Leaving(Box::pin(sleep(PATIENCE)));
                None
            }
            EarlyEnd::Events => {
                self.end();
                Some(Poll::Ready(None))
            }
            EarlyEnd::Grpc => {
                self.end();
                let mut trailers = HeaderMap::new();
                // UNAVAILABLE: clients may try again.
                trailers.insert("grpc-status", HeaderValue::from_static("14"));
                trailers.insert("grpc-message", HeaderValue::from_static("the plugin was replaced"));
                Some(Poll::Ready(Some(Ok(Frame::trailers(trailers)))))
            }
            EarlyEnd::Broken => {
                self.end();
                Some(Poll::Ready(Some(Err("the plugin was replaced, and its time to finish is over".into()))))
            }
        }
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> PolledFrame {
        let polled = {
            let _inside = enter(self.generation.key, &self.line);
            Pin::new(&mut self.body).poll_frame(context)
        };
        if polled.is_pending() {
            note_awaits_plugin();
        }
        if let (EarlyEnd::Events, Poll::Ready(Some(Ok(frame)))) = (self.early_end, &polled)
            && let Some(data) = frame.data_ref()
        {
            self.tail.pass(data);
        }
        polled
    }
}

impl Drop for FarewellBody {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The last bytes of an event stream.
#[derive(Debug, Default)]
struct Tail {
    bytes: [u8; 4],
    passed: bool,
}

impl Tail {
    fn pass(&mut self, data: &[u8]) {
        for byte in &data[data.len().saturating_sub(self.bytes.len())..] {
            self.bytes.rotate_left(1);
            self.bytes[3] = *byte;
            self.passed = true;
        }
    }

    /// A blank line ends an event; nothing at all is no half of one.
    fn is_between_events(&self) -> bool {
        !self.passed || ["\n\n", "\r\r", "\r\n\r\n"].iter().any(|blank| self.bytes.ends_with(blank.as_bytes()))
    }
}

impl http_body::Body for FarewellBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> PolledFrame {
        let this = &mut *self;
        loop {
            match &mut this.at {
                BodyStage::Over => return Poll::Ready(None),
                BodyStage::Open => {
                    if !this.is_said(context, false) {
                        let polled = this.poll_body(context);
                        // It waits for the plugin, and for the farewell.
                        if polled.is_ready() || !this.is_said(context, true) {
                            return polled;
                        }
                    }
                    if let Some(last) = this.leave() {
                        return last;
                    }
                }
                BodyStage::Leaving(patience) => {
                    let late = patience.as_mut().poll(context).is_ready();
                    if late || this.tail.is_between_events() {
                        this.end();
                        return Poll::Ready(None);
                    }
                    return this.poll_body(context);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.at, BodyStage::Over) || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_events_end_however_they_are_cut() {
        for (text, between) in [
            ("", true),
            ("data: 1\n\n", true),
            ("data: 1\r\n\r\n", true),
            ("data: 1\r\r", true),
            (": alive\n\n", true),
            ("data: 1\n", false),
            ("data: 1\r\n", false),
            ("data: 1\n\ndata", false),
            ("d", false),
        ] {
            for cut in 0..=text.len() {
                let mut tail = Tail::default();
                tail.pass(&text.as_bytes()[..cut]);
                tail.pass(&text.as_bytes()[cut..]);
                assert_eq!(tail.is_between_events(), between, "{text:?} {cut}");
            }
        }
    }

    #[test]
    fn how_a_body_ends_is_known_from_its_type() {
        for (content_type, early_end) in [
            (Some("text/event-stream"), EarlyEnd::Events),
            (Some("Text/Event-Stream; charset=utf-8"), EarlyEnd::Events),
            (Some("application/grpc"), EarlyEnd::Grpc),
            (Some("application/grpc+proto"), EarlyEnd::Grpc),
            (Some("text/plain"), EarlyEnd::Broken),
            (None, EarlyEnd::Broken),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(content_type.map(|value| (CONTENT_TYPE, value.parse().unwrap())));
            assert_eq!(EarlyEnd::of(&headers), early_end, "{content_type:?}");
        }
    }
}
