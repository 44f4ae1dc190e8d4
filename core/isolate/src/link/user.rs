//! A part of this side that refers to a stream. With the last of them the stream is over.

use super::{Link, state::LinkState, stream::StreamState};
use crate::frames::{FrameKind, PIECE};
use bytes::Bytes;
use http::HeaderMap;
use std::task::{Context, Poll, Waker};

pub(crate) struct StreamUser {
    pub(super) link: Link,
    pub(super) stream: u64,
}

/// How much may be sent now.
pub(crate) enum SendRoom {
    /// So many bytes, at least one.
    For(usize),
    /// Nobody wants more.
    Unwanted,
}

impl StreamUser {
    /// The one that the stream began with.
    pub(super) fn first(link: Link, stream: u64) -> Self {
        StreamUser { link, stream }
    }

    pub(super) fn with<R>(&self, body: impl FnOnce(&mut LinkState, u64) -> R) -> R {
        body(&mut self.link.0.state.lock(), self.stream)
    }

    /// What is known of the stream; it is there as long as this is.
    fn look<R>(&self, body: impl FnOnce(&mut StreamState) -> R) -> Option<R> {
        self.with(|link, stream| link.streams.get_mut(&stream).map(body))
    }

    /// Waits until more may be sent: the peer reads, and the socket is not behind.
    pub(crate) fn poll_room(&self, context: &Context<'_>) -> Poll<SendRoom> {
        self.with(|link, stream| {
            let Some(state) = link.streams.get_mut(&stream) else { return Poll::Ready(SendRoom::Unwanted) };
            if state.out_ended || state.failed.is_some() || link.closed {
                return Poll::Ready(SendRoom::Unwanted);
            }
            if state.credit == 0 {
                state.sender = Some(context.waker().clone());
                return Poll::Pending;
            }
            let credit = state.credit as usize;
            // Also woken if the stream is over meanwhile.
            state.sender = Some(context.waker().clone());
            if link.out.has_room(context.waker()) {
                Poll::Ready(SendRoom::For(credit.min(PIECE)))
            } else {
                Poll::Pending
            }
        })
    }

    /// Waits until the socket is not behind.
    pub(crate) fn poll_out(&self, context: &Context<'_>) -> Poll<()> {
        let free = self.with(|link, _| link.closed || link.out.has_room(context.waker()));
        if free { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether nobody wants more; else the waker is woken when that is so.
    pub(crate) fn is_unwanted(&self, waker: &Waker) -> bool {
        let told = self.look(|state| {
            state.sender = Some(waker.clone());
            state.out_ended || state.failed.is_some()
        });
        told.unwrap_or(true)
    }

    /// Sends bytes for which there is room.
    pub(crate) fn send(&self, kind: FrameKind, bytes: Bytes, ends: bool) {
        let flush = self.with(|link, stream| {
            let state = link.streams.get_mut(&stream).filter(|state| !state.out_ended && state.failed.is_none())?;
            state.credit = state.credit.saturating_sub(bytes.len() as u32);
            state.out_ended = ends;
            link.out.writer.piece(stream, kind, bytes.len(), ends);
            link.out.payload(bytes);
            link.flush()
        });
        self.link.write(flush);
    }

    /// The whole stream is not wanted any more.
    pub(crate) fn give_up(&self) {
        let woken = self.with(|link, stream| {
            let state = link.streams.get_mut(&stream).filter(|state| state.failed.is_none())?;
            state.failed = Some(None);
            let sender = state.sender.take();
            link.out.writer.reset(stream, None);
            Some((sender, link.flush()))
        });
        let (sender, flush) = woken.unwrap_or_default();
        sender.into_iter().for_each(Waker::wake);
        self.link.write(flush);
    }

    /// Says that nothing more comes, and how it ended.
    pub(crate) fn finish(&self, how: Finish) {
        let flush = self.with(|link, stream| {
            let state = link.streams.get_mut(&stream).filter(|state| !state.out_ended && state.failed.is_none())?;
            state.out_ended = true;
            let writer = &mut link.out.writer;
            match how {
                Finish::Ended => writer.piece(stream, FrameKind::End, 0, false),
                Finish::Broken(why) => writer.broken(stream, &why),
                Finish::Trailers(trailers) => {
                    if let Err(why) = writer.trailers(stream, &trailers) {
                        writer.broken(stream, &why.0);
                    }
                }
            }
            link.flush()
        });
        self.link.write(flush);
    }
}

/// A body's last word.
pub(crate) enum Finish {
    Ended,
    Trailers(HeaderMap),
    Broken(String),
}

impl Clone for StreamUser {
    fn clone(&self) -> Self {
        self.look(|state| state.users += 1);
        StreamUser { link: self.link.clone(), stream: self.stream }
    }
}

impl Drop for StreamUser {
    fn drop(&mut self) {
        let flush = self.with(LinkState::leave);
        self.link.write(flush);
    }
}
