//! A body that comes over a link.

use super::{stream::WayEnd, user::StreamUser, window::FIRST};
use crate::frames::SizeBounds;
use bytes::Bytes;
use camlock_policy::BodyError;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

pub(crate) struct LinkBody {
    user: StreamUser,
    /// What is still to come, by the peer's word.
    left: SizeBounds,
    done: bool,
    /// Nothing is sent before somebody reads.
    waits_for_word: bool,
}

impl LinkBody {
    pub(super) fn new(user: StreamUser, hint: SizeBounds, waits_for_word: bool) -> Self {
        LinkBody { user, left: hint, done: false, waits_for_word }
    }
}

impl http_body::Body for LinkBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut self.waits_for_word) {
            let flush = self.user.with(|link, stream| {
                link.out.writer.credit(stream, FIRST);
                link.flush()
            });
            self.user.link.write(flush);
        }
        let (polled, flush) = self.user.with(|link, stream| {
            let Some(state) = link.streams.get_mut(&stream) else { return (Poll::Ready(None), None) };
            if let Some((bytes, credit)) = state.next(usize::MAX, &mut link.pool) {
                let flush = credit.and_then(|credit| {
                    link.out.writer.credit(stream, credit);
                    link.flush()
                });
                return (Poll::Ready(Some(Ok(Frame::data(bytes)))), flush);
            }
            let polled = match std::mem::replace(&mut state.incoming, WayEnd::Ended) {
                WayEnd::Ended => Poll::Ready(None),
                WayEnd::Trailers(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                WayEnd::Broken(why) => Poll::Ready(Some(Err(why.into()))),
                WayEnd::Open => {
                    state.incoming = WayEnd::Open;
                    match &state.failed {
                        None => {
                            state.reader = Some(context.waker().clone());
                            Poll::Pending
                        }
                        Some(fault) => {
                            let why = fault.as_ref().map_or("the other end gave it up", |fault| &*fault.message);
                            Poll::Ready(Some(Err(why.into())))
                        }
                    }
                }
            };
            (polled, None)
        });
        self.user.link.write(flush);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => match frame.data_ref() {
                Some(data) => {
                    let count = data.len() as u64;
                    self.left.lower = self.left.lower.saturating_sub(count);
                    self.left.upper = self.left.upper.map(|upper| upper.saturating_sub(count));
                }
                None => self.done = true,
            },
            Poll::Ready(_) => self.done = true,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let over = |link: &mut super::state::LinkState, stream| {
            let state = link.streams.get(&stream);
            state.is_none_or(|state| !state.has_bytes() && matches!(state.incoming, WayEnd::Ended))
        };
        self.done || self.user.with(over)
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.left.lower);
        if let Some(upper) = self.left.upper {
            hint.set_upper(upper);
        }
        hint
    }
}

impl Drop for LinkBody {
    fn drop(&mut self) {
        let flush = self.user.with(|link, stream| link.read_no_more(stream));
        self.user.link.write(flush);
    }
}
