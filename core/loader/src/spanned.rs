//! An answer of a built-in plugin, whose records carry its name because its code runs inside a span of the program's.

use camlock_policy::{Answer, Body, BodyError};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tracing::Span;

/// Has the answer's body read inside the span, where it is read later.
pub(crate) fn within(answer: Answer, span: Span) -> Answer {
    let Answer { response, connection } = answer;
    let response = response.map(|body| match body.into_whole() {
        Ok(bytes) => bytes.into(),
        Err(stream) => Body::stream(Spanned { body: Some(stream), span }),
    });
    Answer { response, connection }
}

struct Spanned {
    /// None only while it is dropped.
    body: Option<Body>,
    span: Span,
}

impl http_body::Body for Spanned {
    type Data = bytes::Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, BodyError>>> {
        let Spanned { body, span } = &mut *self;
        let _entered = span.enter();
        body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Spanned {
    fn drop(&mut self) {
        let _entered = self.span.enter();
        self.body = None;
    }
}
