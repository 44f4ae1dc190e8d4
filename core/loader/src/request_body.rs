//! A request's body on its way into a plugin.

use crate::firewall::Firewall;
use bytes::Bytes;
use camlock_abi::{Caught, ExportedBody, FailureMessage};
use camlock_policy::{Body, BodyError, Watch};
use http::{HeaderMap, header::EXPECT};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// A body up to this length usually came with its head.
const SHORT: u64 = 64 * 1024;

type Polled = Option<Result<Frame<Bytes>, BodyError>>;

/// Gives a body to the plugin: whole if all of it is there, for a stream costs both sides more.
pub(crate) fn lend(body: Body, headers: &HeaderMap, leases: &Watch, context: &mut Context<'_>) -> camlock_abi::Body {
    let mut body = match body.into_whole() {
        Ok(bytes) if bytes.is_empty() => return camlock_abi::Body::empty(),
        Ok(bytes) => return camlock_abi::Body::whole(bytes),
        Err(stream) => stream,
    };
    let mut first = None;
    // What is long, or of a length that nobody knows, is asked for by the handler alone. So is what the client sends only
    // when it is asked for.
    let short = body.size_hint().exact().is_some_and(|length| length <= SHORT);
    if short
        && !headers.contains_key(EXPECT)
        && let Poll::Ready(polled) = Pin::new(&mut body).poll_frame(context)
    {
        match polled {
            None => return camlock_abi::Body::empty(),
            Some(Ok(frame)) if frame.is_data() && body.is_end_stream() => {
                return camlock_abi::Body::whole(frame.into_data().unwrap_or_default());
            }
            polled => first = polled,
        }
    }
    camlock_abi::Body::stream(RequestBody { first, rest: body }, Firewall::new(leases.clone()))
}

/// The same for what is read later, by whoever asked for it.
pub(crate) fn export(body: Body, leases: &Watch) -> camlock_abi::Body {
    match body.into_whole() {
        Ok(bytes) if bytes.is_empty() => camlock_abi::Body::empty(),
        Ok(bytes) => camlock_abi::Body::whole(bytes),
        Err(rest) => camlock_abi::Body::stream(RequestBody { first: None, rest }, Firewall::new(leases.clone())),
    }
}

struct RequestBody {
    /// What was there when the request crossed.
    first: Polled,
    rest: Body,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Polled> {
        match self.first.take() {
            None => Pin::new(&mut self.rest).poll_frame(context),
            first => Poll::Ready(first),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.rest.size_hint();
        if let Some(Ok(first)) = &self.first
            && let Some(data) = first.data_ref()
        {
            let (len, upper) = (data.len() as u64, hint.upper());
            let lower = hint.lower().saturating_add(len);
            hint = SizeHint::new();
            hint.set_lower(lower);
            if let Some(upper) = upper {
                hint.set_upper(upper.saturating_add(len));
            }
        }
        hint
    }
}

impl ExportedBody for RequestBody {
    fn describe(error: BodyError) -> FailureMessage {
        FailureMessage::error(error.to_string())
    }

    fn dropped_badly(caught: &Caught) {
        tracing::error!("a request body panicked while it was dropped: {caught}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_policy::Lease;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    /// Frames that are there or not, in order; counts how often it was polled.
    struct Script {
        frames: Vec<Option<&'static str>>,
        length: Option<u64>,
        polls: Arc<AtomicUsize>,
    }

    impl http_body::Body for Script {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Polled> {
            self.polls.fetch_add(1, Ordering::Relaxed);
            if self.frames.is_empty() {
                return Poll::Ready(None);
            }
            match self.frames.remove(0) {
                Some(text) => {
                    self.length = self.length.map(|length| length - text.len() as u64);
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
                }
                None => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }

        fn is_end_stream(&self) -> bool {
            self.length == Some(0)
        }

        fn size_hint(&self) -> SizeHint {
            self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
        }
    }

    #[test]
    fn a_short_body_that_is_there_crosses_whole() {
        let lease = Lease::first(|| ());
        // What comes of it: whole or a stream, how often it was polled for that, and what is read in the end.
        for (frames, length, expects, whole, polls) in [
            (vec![Some("abcd")], Some(4), false, true, 1),
            (vec![Some("ab"), None, Some("cd")], Some(4), false, false, 1),
            (vec![None, Some("abcd")], Some(4), false, false, 1),
            (vec![Some("abcd")], Some(4), true, false, 0),
            (vec![Some("abcd")], None, false, false, 0),
            (vec![Some("abcd")], Some(SHORT + 1), false, false, 0),
        ] {
            let polled = Arc::new(AtomicUsize::new(0));
            let body = Body::stream(Script { frames, length, polls: polled.clone() });
            let mut headers = HeaderMap::new();
            if expects {
                headers.insert(EXPECT, http::HeaderValue::from_static("100-continue"));
            }
            let mut context = Context::from_waker(std::task::Waker::noop());
            let lent = lend(body, &headers, &lease.watch(), &mut context);
            assert_eq!(polled.load(Ordering::Relaxed), polls);
            let mut stream = match lent.import(|| ()) {
                Ok(bytes) => {
                    assert_eq!((&bytes[..], whole), (&b"abcd"[..], true));
                    continue;
                }
                Err(stream) => stream,
            };
            assert!(!whole);
            assert_eq!(stream.size_hint().exact(), length);
            let mut read = Vec::new();
            while read.len() < 4 {
                if let Poll::Ready(Some(frame)) = Pin::new(&mut stream).poll_frame(&mut context) {
                    read.extend_from_slice(&frame.unwrap().into_data().unwrap());
                }
            }
            assert_eq!(read, b"abcd");
        }
    }
}
