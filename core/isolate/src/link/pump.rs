//! Sending a body, piece by piece, as fast as it is read at the other end.

use super::user::{Finish, SendRoom, StreamUser};
use crate::frames::{FrameKind, INLINE, SizeBounds};
use bytes::Bytes;
use camlock_policy::{Body, BodyError};
use http_body::{Body as _, Frame};
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

/// What a body gives next; nothing at its end.
type NextFrame = Option<Result<Frame<Bytes>, BodyError>>;

/// What of a body goes with its head, and what is left.
pub(crate) struct BegunBody {
    pub(crate) inline: Bytes,
    pub(crate) hint: SizeBounds,
    pub(crate) rest: Option<BodyRest>,
}

/// The rest of a body.
pub(crate) struct BodyRest {
    /// A frame that was there when the head was sent.
    first: Option<Result<Frame<Bytes>, BodyError>>,
    body: Body,
}

/// Looks what of a body is there already: most short ones are.
pub(crate) fn begin(body: Body, look: bool, context: &mut Context<'_>) -> BegunBody {
    let hint = body.size_hint();
    let hint = SizeBounds { lower: hint.lower(), upper: hint.upper() };
    let none = |rest| BegunBody { inline: Bytes::new(), hint, rest };
    let mut body = match body.into_whole() {
        Ok(bytes) if bytes.len() <= INLINE => return BegunBody { inline: bytes, hint, rest: None },
        Ok(bytes) => return none(Some(BodyRest { first: None, body: bytes.into() })),
        Err(body) => body,
    };
    if !look || hint.upper.is_none_or(|upper| upper > INLINE as u64) {
        return none(Some(BodyRest { first: None, body }));
    }
    match Pin::new(&mut body).poll_frame(context) {
        Poll::Pending => none(Some(BodyRest { first: None, body })),
        Poll::Ready(None) => none(None),
        Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(|data| data.len() <= INLINE) => {
            let inline = frame.into_data().unwrap_or_default();
            let rest = (!body.is_end_stream()).then_some(BodyRest { first: None, body });
            BegunBody { inline, hint, rest }
        }
        Poll::Ready(first) => none(Some(BodyRest { first, body })),
    }
}

/// Sends the rest.
pub(crate) async fn send(user: StreamUser, mut rest: BodyRest) {
    loop {
        let next = match rest.first.take() {
            Some(first) => Some(Some(first)),
            None => {
                // Not before there is room: what the client sends only when it is asked for is asked for by the other end.
                if let SendRoom::Unwanted = poll_fn(|context| user.poll_room(context)).await {
                    return;
                }
                poll_fn(|context| next(&user, &mut rest.body, context)).await
            }
        };
        let Some(next) = next else { return };
        match next {
            None => return user.finish(Finish::Ended),
            Some(Err(error)) => return user.finish(Finish::Broken(error.to_string())),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => {
                    let last = rest.body.is_end_stream();
                    if !send_bytes(&user, FrameKind::Body, bytes, last).await || last {
                        return;
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return user.finish(Finish::Trailers(trailers));
                    }
                }
            },
        }
    }
}

/// The body's next frame; nothing if nobody wants it any more.
fn next(user: &StreamUser, body: &mut Body, context: &mut Context<'_>) -> Poll<Option<NextFrame>> {
    if user.is_unwanted(context.waker()) {
        return Poll::Ready(None);
    }
    Pin::new(body).poll_frame(context).map(Some)
}

/// Sends bytes in as many pieces as it takes. False: nobody wants them.
async fn send_bytes(user: &StreamUser, kind: FrameKind, mut bytes: Bytes, last: bool) -> bool {
    while !bytes.is_empty() {
        let room = match poll_fn(|context| user.poll_room(context)).await {
            SendRoom::For(room) => room,
            SendRoom::Unwanted => return false,
        };
        let piece = bytes.split_to(room.min(bytes.len()));
        let ends = last && bytes.is_empty();
        user.send(kind, piece, ends);
        if ends {
            return true;
        }
    }
    if last {
        user.finish(Finish::Ended);
    }
    true
}
