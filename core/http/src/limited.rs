//! Request bodies that may not be larger than so much.

use bytes::Bytes;
use camlock_policy::{Body, BodyError};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

/// Whether a body turned out to be too large.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exceeded(Arc<AtomicBool>);

impl Exceeded {
    pub(crate) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The body, if its length is known not to exceed the limit; otherwise one that breaks off where it does.
pub(crate) fn limit(body: Body, limit: u64) -> (Body, Option<Exceeded>) {
    if body.size_hint().upper().is_some_and(|upper| upper <= limit) {
        return (body, None);
    }
    let exceeded = Exceeded::default();
    (Body::stream(Limited { body, limit, left: limit, exceeded: exceeded.clone() }), Some(exceeded))
}

struct Limited {
    body: Body,
    limit: u64,
    left: u64,
    exceeded: Exceeded,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => {
                    self.exceeded.0.store(true, Ordering::Relaxed);
                    self.body = Body::empty();
                    let reason = format!("the body is larger than the {} bytes that are allowed", self.limit);
                    return Poll::Ready(Some(Err(reason.into())));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};

    #[tokio::test]
    async fn a_body_breaks_off_where_it_is_too_large() {
        for (chunks, allowed, expected) in [
            (&[3, 4][..], 7, Ok(7)),
            (&[3, 4], 6, Err("the body is larger than the 6 bytes that are allowed")),
            (&[0, 0], 0, Ok(0)),
            (&[1], 0, Err("the body is larger than the 0 bytes that are allowed")),
        ] {
            let frames = chunks.iter().map(|length| Ok::<_, BodyError>(Frame::data(Bytes::from(vec![b'x'; *length]))));
            let body = Body::stream(StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>())));
            let (body, exceeded) = limit(body, allowed);
            let outcome = body.collect().await.map(|all| all.to_bytes().len()).map_err(|error| error.to_string());
            assert_eq!(outcome, expected.map_err(str::to_owned), "{chunks:?} {allowed}");
            assert_eq!(exceeded.expect("it is watched").is(), expected.is_err());
        }
    }

    #[test]
    fn a_body_of_known_length_is_left_alone() {
        let (body, exceeded) = limit(Bytes::from_static(b"abc").into(), 3);
        assert!(exceeded.is_none() && !body.is_stream());
    }
}
